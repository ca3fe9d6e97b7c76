"""How fast the tracker folds: pod states a second at 1, 10, 100 and 1,000 pods a snapshot.

Compared with a plain Faust agent that writes one table row a message, in the same run, on the same broker. Both
read a backlog, and both count what they have done in a metric that is sampled from outside; the rate is that
between the first sample that shows work and the last.

    python -m tests.bench.fold --json fold.json [--rounds 5] [--share 1.0]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelcast.infra.kafka_admin import create_topics
from modelcast.infra.kafka_client import make_producer
from modelcast.infra.local.kafka import KafkaServer
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.redis import RedisServer
from modelcast.infra.local.s3 import CREDENTIALS, S3Server, client_for
from modelcast.infra.settings import Settings
from modelcast.infra.stores import open_store
from modelcast.schemas import keys
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ArtifactRef, ModelAck, ModelUpdate, PodReport
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import Topic

REGISTRY = "bench"
MODELS = tuple(f"model-{n}" for n in range(24))
REGIONS = ("ap", "eu", "us")
SNAPSHOTS = {1: 40_000, 10: 30_000, 100: 12_000, 1_000: 2_000}
PLAIN_MESSAGES = 40_000
DIGEST = "sha256:" + "ab" * 32
SAMPLE_SECONDS = 0.1
METRIC = "modelcast_folded_pods_total"
OVERTAKEN = 'modelcast_records_total{outcome="overtaken",topic="model-acks"}'
"""Snapshots that were never decoded, for a newer one of the same model and region was at hand; their pods count."""


def acks(pods: int, count: int, epoch: int) -> Iterator[tuple[str, bytes]]:
    """(model, encoded) of one-page snapshots, dealt out to models and regions."""
    reports = tuple(
        PodReport(f"fraud-{n:04d}.pods.example", PodState.SERVING, 1, DIGEST, 1, f"i-{n:04d}", 1_700_000_000_000_000)
        for n in range(pods)
    )
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        region = REGIONS[number // len(MODELS) % len(REGIONS)]
        yield (
            model,
            encode(
                ModelAck(
                    registry_id=REGISTRY,
                    model=model,
                    region=region,
                    worker=f"{region}-0",
                    epoch=epoch,
                    sequence=1 + number,
                    page=0,
                    pages=1,
                    generation=1,
                    version=1,
                    manifest_digest=DIGEST,
                    state=State.SERVING,
                    reported_at_us=1_700_000_000_000_000,
                    pods=reports,
                    pods_expected=pods,
                )
            ),
        )


class Bench:
    """Servers of one round, and the measuring."""

    def __init__(self, folder: Path, share: float) -> None:
        self.folder, self.share = folder, share
        self.kafka = KafkaServer.start(folder / "kafka")
        self.s3 = S3Server.start(folder / "s3")
        self.redis = RedisServer.start(folder / "redis")
        self.settings = Settings(kafka={"bootstrap_servers": self.kafka.bootstrap_servers})  # type: ignore[arg-type]
        create_topics(self.settings)
        client_for(self.s3.endpoint_url).create_bucket(Bucket="origin")
        store = open_store(
            "s3://origin",
            endpoint_url=self.s3.endpoint_url,
            access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        store.put(keys.REGISTRY_ID, json.dumps({"registry_id": REGISTRY}).encode())
        for model in MODELS:
            artifact = ArtifactRef("origin", "manifests/1", DIGEST, 1, 1, "onnx")
            store.put(keys.log_entry(model, 1), encode(ModelUpdate(REGISTRY, f"e-{model}", model, 1, 1, artifact, 1)))

    def close(self) -> None:
        self.kafka.stop()
        self.s3.stop()
        self.redis.stop()

    def produce(self, pods: int, count: int, epoch: int) -> int:
        """Fill ``model-acks``; return how many records."""
        producer = make_producer(self.settings)
        for model, value in acks(pods, count, epoch):
            while True:
                try:
                    producer.produce(str(Topic.MODEL_ACKS), key=model.encode(), value=value)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0
        return count

    @contextmanager
    def process(self, *arguments: str) -> Iterator[int]:
        """A process that serves metrics on the port that is yielded."""
        (port,) = free_ports(1)
        env = {
            **os.environ,
            **CREDENTIALS,
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "MODELCAST_REDIS__URL": self.redis.url,
            "MODELCAST_STORES__ORIGIN__URL": "s3://origin",
            "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": self.s3.endpoint_url,
            "MODELCAST_REGIONS": json.dumps({r: {} for r in REGIONS}),
            "MODELCAST_DAEMON__PORT": str(port),
            "MODELCAST_DAEMON__DATA_DIR": str(self.folder / "data"),
        }
        with (self.folder / "process.log").open("ab") as log:
            child = subprocess.Popen([sys.executable, "-m", *arguments], env=env, stdout=log, stderr=log)
            try:
                yield port
            finally:
                child.terminate()
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()

    def rate(self, port: int, total: int) -> float:
        """Units a second, from the first sample that shows work to the one that shows all of it."""
        first: tuple[float, float] | None = None
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            now, done = time.monotonic(), counted(port)
            if first is None and done > 0:
                first = (now, done)
            if first is not None and done >= total:
                if done == first[1]:
                    raise SystemExit("too few messages for a rate: all were done at the first sample")
                return (done - first[1]) / (now - first[0])
            time.sleep(SAMPLE_SECONDS)
        raise SystemExit(f"only {counted(port)} of {total} within 180 s; see {self.folder}")

    def plain(self) -> float:
        """Messages a second of a plain agent."""
        count = self.produce(1, int(PLAIN_MESSAGES * self.share), 1)
        with self.process("tests.bench.plain_agent") as port:
            return self.rate(port, count)

    def tracker(self, pods: int, epoch: int) -> tuple[float, float]:
        """Pod states a second of the tracker, and the share of snapshots that it left out as overtaken."""
        count = self.produce(pods, int(SNAPSHOTS[pods] * self.share), epoch)
        with self.process("modelcast.agents.tracker") as port:
            return self.rate(port, count * pods), counted(port, OVERTAKEN) / count


def counted(port: int, metric: str = METRIC) -> float:
    """The counter's value; 0 while there is nothing to ask yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(metric + " ")), 0.0)


def one_round(share: float) -> dict[str, float]:
    """Every size once, on fresh servers."""
    with tempfile.TemporaryDirectory(prefix="fold-bench-") as folder:
        bench = Bench(Path(folder), share)
        try:
            figures = {"plain": bench.plain()}
            # The plain agent's backlog is read by the tracker too: skip it by letting its first run eat it.
            with bench.process("modelcast.agents.tracker") as port:
                bench.rate(port, int(PLAIN_MESSAGES * share))
            for epoch, pods in enumerate(SNAPSHOTS, start=2):
                figures[str(pods)], figures[f"overtaken_{pods}"] = bench.tracker(pods, epoch)
            return figures
        finally:
            bench.close()


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians with minimum and maximum, and each size's ratio to the plain agent of the same round."""

    def spread(values: list[float]) -> dict[str, float]:
        return {"median": statistics.median(values), "min": min(values), "max": max(values)}

    sizes = {
        str(pods): {
            "pod_states_per_second": spread([r[str(pods)] for r in rounds]),
            "ratio_to_plain": spread([r[str(pods)] / r["plain"] for r in rounds]),
            "overtaken_share": spread([r[f"overtaken_{pods}"] for r in rounds]),
        }
        for pods in SNAPSHOTS
    }
    return {
        "rounds": len(rounds),
        "plain_messages_per_second": spread([r["plain"] for r in rounds]),
        "pods_per_snapshot": sizes,
    }


def main() -> None:
    """Run the rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the messages, for a quick look")
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        rounds.append(one_round(options.share))
        print(f"round {number + 1}:", {k: round(v, 2) for k, v in rounds[-1].items()}, file=sys.stderr, flush=True)
    found = summary(rounds)
    print(f"plain agent: {found['plain_messages_per_second']['median']:,.0f} messages/s")
    for pods, row in found["pods_per_snapshot"].items():
        rate, ratio, left = row["pod_states_per_second"], row["ratio_to_plain"], row["overtaken_share"]
        print(
            f"{pods:>5} pods: {rate['median']:>10,.0f} pod states/s  {ratio['median']:.2f}x plain"
            f"  ({left['median']:.0%} of the snapshots overtaken)"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
