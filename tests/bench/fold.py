"""How fast the tracker folds: pod states a second at 1, 10, 100 and 1,000 pods a snapshot.

Compared with a plain Faust agent that writes one table row a message, in the same run, on the same broker, and at one
pod on the very same records; who goes first changes from round to round. Both read a backlog, and both count what
they have done in a metric that is sampled from outside; the rate is that between the first sample that shows work and
the last. Beside it stands the ratio by processor time, which other work on the machine hardly changes.

    python -m tests.bench.fold --json fold.json [--rounds 5] [--share 1.0]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.local.servers.s3 import CREDENTIALS, S3Server, client_for
from modelcast.infra.settings import Settings
from modelcast.infra.stores import open_store
from modelcast.schemas import keys
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import encode
from modelcast.schemas.log.chain import origin_digest
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import ArtifactRef, ModelAck, ModelUpdate, PodReport
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import Topic
from tests.bench.cpu import cpu_seconds
from tests.bench.figures import conditions, spread

REGISTRY = "bench"
MODELS = tuple(f"model-{n}" for n in range(24))
REGIONS = ("ap", "eu", "us")
SNAPSHOTS = {1: 24_000, 10: 20_000, 100: 8_000, 1_000: 1_500}
PLAIN = "plain"
DIGEST = "sha256:" + "ab" * 32
SAMPLE_SECONDS = 0.1
METRIC = "modelcast_folded_pods_total"
OVERTAKEN = 'modelcast_records_total{outcome="overtaken",topic="model-acks"}'
"""Snapshots that were never decoded, for a newer one of the same model and region was at hand; their pods count."""


def acks(pods: int, count: int, epoch: int) -> Iterator[tuple[str, bytes, dict[str, bytes]]]:
    """(model, encoded, headers) of one-page snapshots, dealt out to models and regions."""
    reports = tuple(
        PodReport(f"fraud-{n:04d}.pods.example", PodState.SERVING, 1, DIGEST, 1, f"i-{n:04d}", 1_700_000_000_000_000)
        for n in range(pods)
    )
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        region = REGIONS[number // len(MODELS) % len(REGIONS)]
        ack = ModelAck(
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
        yield model, encode(ack), AckHeaders.of(ack).written()


class Bench:
    """Servers of one round, and the measuring."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        store.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
        for model in MODELS:
            artifact = ArtifactRef("origin", "manifests/1", DIGEST, 1, 1, "onnx")
            entry = ModelUpdate(REGISTRY, f"e-{model}", model, 1, 1, artifact, 1)
            store.put(keys.log_entry(model, 1), state(entry, origin_digest(REGISTRY, model)).body)

    def close(self) -> None:
        self.kafka.stop()
        self.s3.stop()
        self.redis.stop()

    def produce(self, pods: int, count: int, epoch: int) -> int:
        """Fill ``model-acks``; return how many records."""
        producer = make_producer(self.settings)
        for model, value, headers in acks(pods, count, epoch):
            while True:
                try:
                    producer.produce(str(Topic.MODEL_ACKS), key=model.encode(), value=value, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0
        return count

    @contextmanager
    def process(self, *arguments: str, **more: str) -> Iterator[tuple[int, int]]:
        """A process that serves metrics, with ``more`` in its environment: its id and port."""
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
            **more,
        }
        with (self.folder / "process.log").open("ab") as log:
            child = subprocess.Popen([sys.executable, "-m", *arguments], env=env, stdout=log, stderr=log)
            try:
                yield child.pid, port
            finally:
                child.terminate()
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()

    def rate(self, pid: int, port: int, total: int) -> tuple[float, float]:
        """Units a second, and a second of processor time, from the first sample that shows work to the one that shows
        all of it."""
        first: tuple[float, float, float] | None = None
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            now, spent, done = time.monotonic(), cpu_seconds(pid), counted(port)
            if first is None and done > 0:
                first = (now, spent, done)
            if first is not None and done >= total:
                units = done - first[2]
                if not units:
                    raise SystemExit("too few messages for a rate: all were done at the first sample")
                return units / (now - first[0]), units / max(spent - first[1], 0.01)
            time.sleep(SAMPLE_SECONDS)
        raise SystemExit(f"only {counted(port)} of {total} within 180 s; see {self.folder}")

    def plain(self, count: int) -> dict[str, float]:
        """Messages a second of a plain agent."""
        with self.process("tests.bench.plain_agent") as (pid, port):
            rate, per_cpu = self.rate(pid, port, count)
        return {PLAIN: rate, f"cpu_{PLAIN}": per_cpu}

    def tracker(self, pods: int, count: int) -> dict[str, float]:
        """Pod states a second of the tracker, and the share of snapshots that it left out as overtaken."""
        with self.process("modelcast.agents.tracker") as (pid, port):
            rate, per_cpu = self.rate(pid, port, count * pods)
            left_out = counted(port, OVERTAKEN) / count
        return {str(pods): rate, f"cpu_{pods}": per_cpu, f"overtaken_{pods}": left_out}


def counted(port: int, metric: str = METRIC) -> float:
    """The counter's value; 0 while there is nothing to ask yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(metric + " ")), 0.0)


def one_round(number: int, share: float, sizes: Iterable[int]) -> dict[str, float]:
    """Every size once, on fresh servers."""
    with tempfile.TemporaryDirectory(prefix="fold-bench-") as folder:
        bench = Bench(Path(folder))
        figures: dict[str, float] = {}
        try:
            for epoch, pods in enumerate(sizes, start=1):
                count = bench.produce(pods, int(SNAPSHOTS[pods] * share), epoch)
                both: list[Callable[[], dict[str, float]]] = [partial(bench.tracker, pods, count)]
                if pods == 1:
                    both.insert(number % 2, partial(bench.plain, count))
                for measure in both:
                    figures |= measure()
            return figures
        finally:
            bench.close()


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians with minimum and maximum, and each size's ratio to the plain agent of the same round."""

    sizes = {
        str(pods): {
            "pod_states_per_second": spread([r[str(pods)] for r in rounds]),
            "ratio_to_plain": spread([r[str(pods)] / r[PLAIN] for r in rounds]),
            "cpu_ratio_to_plain": spread([r[f"cpu_{pods}"] / r[f"cpu_{PLAIN}"] for r in rounds]),
            "overtaken_share": spread([r[f"overtaken_{pods}"] for r in rounds]),
        }
        for pods in SNAPSHOTS
        if str(pods) in rounds[0]
    }
    return {
        "rounds": len(rounds),
        "plain_messages_per_second": spread([r[PLAIN] for r in rounds]),
        "pods_per_snapshot": sizes,
    }


def main() -> None:
    """Run the rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the messages, for a quick look")
    parser.add_argument("--pods", type=int, nargs="+", choices=SNAPSHOTS, default=[], help="besides 1")
    options = parser.parse_args()
    sizes = [pods for pods in SNAPSHOTS if pods == 1 or not options.pods or pods in options.pods]
    begun, rounds = conditions(), []
    for number in range(options.rounds):
        rounds.append(one_round(number, options.share, sizes))
        print(f"round {number + 1}:", {k: round(v, 2) for k, v in rounds[-1].items()}, file=sys.stderr, flush=True)
    found = {"conditions": begun, **summary(rounds)}
    print(f"plain agent: {found['plain_messages_per_second']['median']:,.0f} messages/s")
    for pods, row in found["pods_per_snapshot"].items():
        rate, ratio, cpu = row["pod_states_per_second"], row["ratio_to_plain"], row["cpu_ratio_to_plain"]
        print(
            f"{pods:>5} pods: {rate['median']:>10,.0f} pod states/s"
            f"  {ratio['median']:7.2f}x plain ({ratio['min']:.2f} to {ratio['max']:.2f})"
            f"  by processor time {cpu['median']:7.2f}x ({cpu['min']:.2f} to {cpu['max']:.2f})"
            f"  {row['overtaken_share']['median']:.0%} of the snapshots overtaken"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
