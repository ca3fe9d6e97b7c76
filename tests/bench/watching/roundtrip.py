"""From an acknowledgement to the page, beside a plain consumer of it; and a look at 200 consumer groups."""

import json
import queue
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from modelcast.dashboard.groups import GroupReader
from modelcast.infra.kafka.client import make_admin, make_consumer, make_producer
from modelcast.infra.local.ports import free_ports
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ModelAck, RegionHeartbeat
from modelcast.schemas.states import State
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic
from tests.bench.fold import DIGEST, MODELS, REGISTRY, Bench, acks

MODEL = MODELS[0]
WAIT_SECONDS = 90.0
PAUSE_SECONDS = 0.15
BEAT_SECONDS = 3.0


class Dashboard:
    """``modelcast run dashboard``, and one stream of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: queue.Queue[float] = queue.Queue()
        threading.Thread(target=self._follow, daemon=True).start()

    def ready(self) -> bool:
        """Whether it shows the model."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/models/{MODEL}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _follow(self) -> None:
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/v1/events", timeout=60) as stream:
                    for line in stream:
                        if line.startswith(b"data: ") and b'"' + MODEL.encode() + b'"' in line:
                            self.heard.put(time.monotonic())
            except OSError:
                time.sleep(0.2)


@contextmanager
def _beating(bench: Bench) -> Iterator[None]:
    """The regions are alive."""
    over, producer = threading.Event(), make_producer(bench.settings)

    def beat() -> None:
        while not over.is_set():
            now_us = time.time_ns() // 1000
            for region in ("ap", "eu", "us"):
                sent = RegionHeartbeat(REGISTRY, region, f"{region}-0", 1, 1, now_us)
                producer.produce(str(Topic.REGION_HEARTBEATS), key=f"{region}/{region}-0", value=encode(sent))
            producer.flush(5)
            over.wait(BEAT_SECONDS)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(10)


def _newest(queue_: "queue.Queue[float]", since: float) -> float:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        at = queue_.get(timeout=20)
        if at >= since:
            return at
    raise SystemExit("nothing was heard for 20 s")


def measure(folder: Path, samples: int) -> dict[str, float]:
    """Seconds from a report to who reads the topic itself, and to who watches the page's stream."""
    bench = Bench(folder)
    try:
        (port,) = free_ports(1)
        bench.produce(1, 3 * len(MODELS), 1)
        with (
            _beating(bench),
            bench.process("modelcast.agents.tracker"),
            bench.process("modelcast.cli.main", "run", "dashboard", MODELCAST_DASHBOARD__PORT=str(port)),
        ):
            dashboard = Dashboard(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + WAIT_SECONDS
            while not dashboard.ready():
                if time.monotonic() > deadline:
                    raise SystemExit(f"the dashboard did not show {MODEL}; see {folder}")
                time.sleep(0.2)
            time.sleep(5)
            return _timed(bench, dashboard, samples) | _groups(bench)
    finally:
        bench.close()


def _timed(bench: Bench, dashboard: Dashboard, samples: int) -> dict[str, float]:
    raw: queue.Queue[float] = queue.Queue()
    consumer, over = make_consumer(bench.settings), threading.Event()
    consumer.assign([TopicPartition(str(Topic.MODEL_ACKS), n, -1) for n in range(MODEL_PARTITIONS)])

    def follow() -> None:
        while not over.is_set():
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                raw.put(time.monotonic())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(2)
    producer = make_producer(bench.settings)
    first: ModelAck = next(_one())
    to_consumer, to_page = [], []
    for number in range(samples):
        state = State.FETCHING if number % 2 else State.SERVING
        ack = replace(
            first, sequence=10_000 + number, state=state, bytes_moved=number + 1, reported_at_us=time.time_ns() // 1000,
            version=1, manifest_digest=DIGEST,
        )  # fmt: skip
        began = time.monotonic()
        headers = AckHeaders.of(ack).written()
        producer.produce(str(Topic.MODEL_ACKS), key=MODEL.encode(), value=encode(ack), headers=headers)
        producer.poll(0)
        to_consumer.append(_newest(raw, began) - began)
        to_page.append(_newest(dashboard.heard, began) - began)
        time.sleep(PAUSE_SECONDS)
    over.set()
    thread.join(5)
    consumer.close()
    producer.flush(5)
    found = {}
    for name, values in (("consumer", to_consumer), ("page", to_page)):
        ordered = sorted(values)
        found[f"ack_to_{name}_p50_ms"] = 1000 * statistics.median(ordered)
        found[f"ack_to_{name}_p95_ms"] = 1000 * ordered[int(0.95 * (len(ordered) - 1))]
    found["page_to_consumer_p95"] = found["ack_to_page_p95_ms"] / found["ack_to_consumer_p95_ms"]
    return found


def _one() -> Iterator[ModelAck]:
    from modelcast.schemas.codec import decode_as

    for _model, raw, _headers in acks(1, 1, 1):
        yield decode_as(ModelAck, raw)


def _groups(bench: Bench, count: int = 200) -> dict[str, float]:
    """Processor time and seconds of one look at so many consumer groups."""
    admin, reader = make_admin(bench.settings), GroupReader(bench.settings)
    for number in range(count):
        places = [TopicPartition(str(Topic.MODEL_UPDATES), n, 0) for n in range(MODEL_PARTITIONS)]
        group = ConsumerGroupTopicPartitions(f"modelcast-region-r{number:03}", places)
        for future in admin.alter_consumer_group_offsets([group]).values():
            future.result(30)
    reader.look()
    cpu, wall = [], []
    for _ in range(5):
        spent, began = time.process_time(), time.monotonic()
        found = reader.look()
        cpu.append(time.process_time() - spent)
        wall.append(time.monotonic() - began)
        if len(found) < count:
            print(f"only {len(found)} groups were found", file=sys.stderr)
    reader.close()
    return {"groups_200_cpu_ms": 1000 * statistics.median(cpu), "groups_200_wall_ms": 1000 * statistics.median(wall)}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(measure(Path(made), 20), indent=1))
