"""From ``publish()`` to *staged* and *serving* in three regions, against a raw produce-consume round trip.

One stack, a 1 KiB artifact a publication, the store a versitygw on real files (named by ``MODELCAST_VERSITYGW`` or on
the PATH). *staged*: all three regions' staged generation stands in a ``version-state`` record that was read back from
Kafka. The raw round trip is one 1 KiB record of a confluent-kafka producer (``acks=all``, linger 0) read by a consumer
of the same process, on the same broker, in turn with the publications.

Publications come in turn with ``activation`` STAGED and IMMEDIATE. ``staged`` is that of the first kind: nothing but
the road to *staged* goes on. ``staged_while_loading`` is that of the second, where pods of the first region load (all
on this machine's processors) while the last region still stages; ``serving`` is theirs. ``cpu_…`` is processor time
a publication of either kind, all that it causes included, without what the processes take at rest.

    python -m tests.bench.road --json road.json [--rounds 5] [--publications 20]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic
from onnx import TensorProto, helper

from modelcast.infra.kafka.client import consumer_properties, make_admin, make_producer
from modelcast.infra.local.layout import ORIGIN_BUCKET, REGIONS, bucket_name
from modelcast.infra.local.servers.s3 import client_for
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import Settings, load_settings
from modelcast.producers.publish.publisher import Publisher
from modelcast.schemas.codec import decode
from modelcast.schemas.records import Activation, ModelAck, VersionState
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic, partition_of
from tests.bench.cpu import CpuMeter
from tests.bench.figures import conditions, spread
from tests.support.servers.stores import required_binary, start_versitygw

MODEL = "bench"
ARTIFACT_BYTES = 1024
RAW_TOPIC = "bench-raw"
RAW_ROUND_TRIPS = 40
WAIT_SECONDS = 60.0
WARM_UP = 3
SETTLE_SECONDS = 1.5
"""After a version was served: pods warm up the next spare worker, as they would have long done between real ones."""
SETTLE_STAGED_SECONDS = 0.8
REST_SECONDS = 3.0


def small_model(number: int) -> bytes:
    """An ONNX model of about 1 KiB that adds ``number``; its doc string fills it up."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("c", TensorProto.FLOAT, [1], [float(number)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.doc_string = "."
    lacking = ARTIFACT_BYTES - len(model.SerializeToString())
    model.doc_string = "." * max(1, lacking)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@dataclass(slots=True)
class Seen:
    """When things stood on Kafka, by the clock of this process when it read them (``time.perf_counter``)."""

    states: list[tuple[float, VersionState]] = field(default_factory=list)
    acks: list[tuple[float, ModelAck]] = field(default_factory=list)


def listening(settings: Settings) -> Consumer:
    """A consumer that takes little of the broker's time while there is nothing to hear."""
    return Consumer(consumer_properties(settings) | {"fetch.wait.max.ms": 500})


class Listener:
    """Reads ``version-state`` and ``model-acks`` as they grow, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.seen = Seen()
        self._changed = threading.Condition()
        self._consumer = listening(settings)
        partition = partition_of(MODEL)
        self._consumer.assign([TopicPartition(str(t), partition, 0) for t in (Topic.VERSION_STATE, Topic.MODEL_ACKS)])
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            message = self._consumer.poll(0.5)
            if message is None or message.error() is not None:
                continue
            now, record = time.perf_counter(), decode(message.value())
            with self._changed:
                if isinstance(record, VersionState):
                    self.seen.states.append((now, record))
                elif isinstance(record, ModelAck):  # else a probe's answer
                    self.seen.acks.append((now, record))
                self._changed.notify_all()

    def first(self, condition: Callable[[VersionState], bool]) -> float:
        """When a state that fulfils ``condition`` was first read."""
        deadline = time.monotonic() + WAIT_SECONDS
        at = 0
        with self._changed:
            while True:
                while at < len(self.seen.states):
                    when, state = self.seen.states[at]
                    if condition(state):
                        return when
                    at += 1
                if not self._changed.wait(deadline - time.monotonic()):
                    last = self.seen.states[-1:] or "nothing"
                    raise SystemExit(f"not within {WAIT_SECONDS:.0f} s; last: {last}")

    def staged_acks(self, generation: int) -> list[tuple[float, ModelAck]]:
        """Those of all regions; the state that came of them may have been read before them."""
        with self._changed:
            while True:
                found = [(at, ack) for at, ack in self.seen.acks if ack.staged_generation >= generation]
                if {ack.region for _, ack in found} >= set(REGIONS):
                    return found
                if not self._changed.wait(WAIT_SECONDS):
                    raise SystemExit(f"not every region's acknowledgement came within {WAIT_SECONDS:.0f} s")


class RawRoundTrip:
    """One record produced and consumed, as directly as confluent-kafka can."""

    def __init__(self, settings: Settings) -> None:
        self._producer = make_producer(settings)
        self._consumer = listening(settings)
        where = TopicPartition(RAW_TOPIC, 0)
        admin = make_admin(settings)  # named, for its futures die with it
        for future in admin.create_topics([NewTopic(RAW_TOPIC, 1, 1)]).values():
            future.result(10)
        self._producer.produce(RAW_TOPIC, value=b"first", partition=0)
        self._producer.flush(10)
        _low, high = self._consumer.get_watermark_offsets(where, timeout=10)
        self._consumer.assign([TopicPartition(RAW_TOPIC, 0, high)])
        self._consumer.poll(1.0)

    def seconds(self) -> float:
        """How long one takes."""
        began = time.perf_counter()
        self._producer.produce(RAW_TOPIC, value=b"." * ARTIFACT_BYTES, partition=0)
        while True:
            self._producer.poll(0)
            message = self._consumer.poll(0.001)
            if message is not None and message.error() is None:
                return time.perf_counter() - began
            if time.perf_counter() - began > 10:
                raise SystemExit("the raw record did not come back")


@contextmanager
def stack_on_real_files(folder: Path) -> Iterator[tuple[dict[str, str], dict[str, list[int]]]]:
    """The local stack, with a versitygw as the store; the environment that it is reached by, and who is who."""
    program = required_binary("versitygw", "MODELCAST_VERSITYGW")
    gateway, s3 = start_versitygw(program, folder / "versitygw")
    try:
        client = client_for(s3.endpoint_url)
        for bucket in (ORIGIN_BUCKET, *map(bucket_name, REGIONS)):
            client.create_bucket(Bucket=bucket)
        env = {"MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url}
        env |= {f"MODELCAST_REGIONS__{r.upper()}__STORE__ENDPOINT_URL": s3.endpoint_url for r in REGIONS}
        with LocalStack.start(folder / "stack", extra_env=env) as stack:
            yield {**stack.env, **env}, {"store": [gateway.pid], **processes(stack)}
    finally:
        gateway.stop()


def processes(stack: LocalStack) -> dict[str, list[int]]:
    """Process ids by what they are."""
    found: dict[str, list[int]] = {"publisher": [os.getpid()]}
    for name, service in stack.services.items():
        kind = "regions" if name.startswith("region") else "pods" if name.startswith("pod") else name
        found.setdefault(kind, []).append(service.child.pid)
    return {kind: pids for kind, pids in found.items() if kind not in {"s3", "pods"}}


def one_publication(
    publisher: Publisher,
    listener: Listener,
    path: Path,
    number: int,
    activation: Activation = Activation.IMMEDIATE,
) -> dict[str, float]:
    """Publish once; seconds to each milestone since ``publish()`` was called."""
    path.write_bytes(small_model(number))
    began = time.perf_counter()
    publication = publisher.publish(MODEL, path, activation=activation)
    returned = time.perf_counter()
    generation, version = publication.generation, publication.version

    def staged(state: VersionState) -> bool:
        rows = state.regions
        here = (r.staged_generation >= generation and r.staged_version == version for r in rows)
        return len(rows) == len(REGIONS) and all(here)

    staged_at = listener.first(staged)
    serves = activation is Activation.IMMEDIATE
    serving_at = listener.first(lambda s: s.consistent_version == version) if serves else None
    acks = listener.staged_acks(generation)
    first_acks = {region: min(at for at, a in acks if a.region == region) for region in REGIONS}
    if serving_at is not None:
        return {"staged_while_loading": staged_at - began, "serving": serving_at - began}
    reports = {a.region: {s.stage: s.busy_ms / 1000 for s in a.spans} for _, a in acks}
    found = {
        "staged": staged_at - began,
        "publish_returned": returned - began,
        "last_staged_ack_read": max(first_acks.values()) - began,
        "first_staged_ack_read": min(first_acks.values()) - began,
        "fold_and_state_read": staged_at - max(first_acks.values()),
    }
    found |= {f"publish_{name}": seconds for name, seconds in publication.step_seconds.items()}
    for stage in {name for report in reports.values() for name in report}:
        found[f"region_{stage}"] = statistics.median(r.get(stage, 0.0) for r in reports.values())
    return found


def one_round(publications: int) -> dict[str, Any]:
    """A fresh stack; medians over its publications of either kind, and the raw round trips made between them."""
    with tempfile.TemporaryDirectory(prefix="road-bench-") as name, stack_on_real_files(Path(name)) as (env, pids):
        os.environ.update(env)
        settings = load_settings()
        listener, raw = Listener(settings), RawRoundTrip(settings)
        path, trips = Path(name) / "model.onnx", []
        rows: list[dict[str, float]] = []
        with Publisher(settings) as publisher:
            for number in range(2 * WARM_UP):
                one_publication(publisher, listener, path, number, kind_of(number))
            time.sleep(SETTLE_SECONDS)
            meter = CpuMeter(pids)
            time.sleep(REST_SECONDS)
            meter.rested(REST_SECONDS)
            meter.begin()
            started = time.monotonic()
            for number in range(2 * WARM_UP, 2 * (WARM_UP + publications)):
                rows.append(one_publication(publisher, listener, path, number, kind := kind_of(number)))
                trips += [raw.seconds() for _ in range(RAW_ROUND_TRIPS // (2 * publications) + 1)]
                time.sleep(SETTLE_SECONDS if kind is Activation.IMMEDIATE else SETTLE_STAGED_SECONDS)
            spent = meter.beyond_rest(time.monotonic() - started)
        keys = {key: None for row in reversed(rows) for key in row}
        medians = {key: statistics.median(r[key] for r in rows if key in r) for key in keys}
        cpu = {f"cpu_{kind}": seconds / len(rows) for kind, seconds in spent.items()}
        return {"raw_round_trip": statistics.median(trips), **medians, **cpu, "cpu_all": sum(cpu.values())}


def kind_of(number: int) -> Activation:
    """Staged and immediate ones in turn."""
    return Activation.IMMEDIATE if number % 2 else Activation.STAGED


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians with minimum and maximum over the rounds, and ratios made within each round."""
    keys = [k for k in rounds[0] if all(k in r for r in rounds)]
    return {
        "rounds": len(rounds),
        "partitions": MODEL_PARTITIONS,
        "seconds": {key: spread([r[key] for r in rounds]) for key in keys},
        "staged_to_raw": spread([r["staged"] / r["raw_round_trip"] for r in rounds]),
        "staged_while_loading_to_raw": spread([r["staged_while_loading"] / r["raw_round_trip"] for r in rounds]),
        "serving_to_raw": spread([r["serving"] / r["raw_round_trip"] for r in rounds]),
    }


def main() -> None:
    """Run the rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publications", type=int, default=10, help="of either kind, a round")
    options = parser.parse_args()
    begun, rounds = conditions(), []
    for number in range(options.rounds):
        rounds.append(one_round(options.publications))
        shown = {k: f"{v * 1000:.1f} ms" for k, v in rounds[-1].items()}
        print(f"round {number + 1}: {shown}", file=sys.stderr, flush=True)
    found = {"conditions": begun, **summary(rounds)}
    for key, row in found["seconds"].items():
        print(f"{key:>28}: {row['median'] * 1000:8.1f} ms  ({row['min'] * 1000:.1f} to {row['max'] * 1000:.1f})")
    for key in ("staged_to_raw", "staged_while_loading_to_raw", "serving_to_raw"):
        print(f"{key:>28}: {found[key]['median']:8.1f} x   ({found[key]['min']:.1f} to {found[key]['max']:.1f})")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
