"""Where the time goes from ``publish()`` to every pod: ``python -m tests.agents.region.measure``."""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.producers import Publisher
from tests.agents.region.stack import Stack, Topics
from tests.support.servers.stores import S3ForTests, required_binary, start_versitygw
from tests.support.waiting import until


class Environment:
    """What ``Stack.use`` expects."""

    def setenv(self, name: str, value: str) -> None:
        os.environ[name] = value


def milliseconds(values: list[float]) -> str:
    ordered = sorted(values)
    middle, least, most = (1000 * v for v in (statistics.median(ordered), ordered[0], ordered[-1]))
    return f"p50 {middle:7.1f} ms   min {least:7.1f}   max {most:7.1f}"


def measure(stack: Stack, publications: int) -> None:
    topics = Topics(stack.settings)
    agent = stack.agent()
    until(lambda: agent.said("partitions assigned"), "the agent runs")
    published, staged, served = [], [], []
    with Publisher(stack.settings) as publisher:
        for version in range(1, publications + 1):
            folder = stack.model(version)
            began = time.monotonic()
            publisher.publish("fraud", folder)
            published.append(time.monotonic() - began)
            until(lambda v=version: (a := topics.latest("fraud")) and a.staged_version == v, "staged")
            staged.append(time.monotonic() - began)
            until(lambda v=version: topics.serving("fraud", v), "served")
            served.append(time.monotonic() - began)
            time.sleep(1.2)  # the pods' spares come back
    stages: dict[str, list[float]] = {}
    for ack in topics.acks:
        if ack.staged_generation == ack.generation:
            for name, seconds in ((s.stage, s.busy_ms / 1000) for s in ack.spans):
                stages.setdefault(name, []).append(seconds)
    print(f"publish() returns      {milliseconds(published[1:])}")
    print(f"staged, and told       {milliseconds(staged[1:])}")
    print(f"served by two, told    {milliseconds(served[1:])}")
    for name, values in stages.items():
        print(f"  fetch: {name:15s} {milliseconds(values)}")
    topics.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--publications", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        server = KafkaServer.start(root / "kafka")
        child, s3 = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), root / "s3")
        try:
            for key, value in s3.env.items():
                os.environ[key] = value
            stack = Stack(root, server.bootstrap_servers, S3ForTests(s3.endpoint_url))
            try:
                stack.use(Environment())
                create_topics(stack.settings)
                measure(stack, arguments.publications)
            finally:
                stack.stop()
        finally:
            child.stop()
            server.stop()


if __name__ == "__main__":
    main()
