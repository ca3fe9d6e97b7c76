"""The tracker's side: a scrape of its metrics, and an hour in which every model is behind."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.decider.snapshots import EMPTY, repeats
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.ports import WorkerClocks
from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.infra.settings import RegionSettings, Settings
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic
from modelcast.schemas.unchanged import is_unchanged
from tests.agents.tracker.makers import REGISTRY, log_of, pages, pod, update
from tests.agents.tracker.ports import ports_of
from tests.bench.watching.fleet import names, states

MINUTES = 1
SCRAPES = 9


def scrape(models: int, regions: int) -> dict[str, float]:
    """Processor time of one scrape, and how many series it has.

    The median of a few: a collection of garbage that falls into one looks at all states, which are a tracker's own.
    """
    metrics, registry = StateMetrics(), CollectorRegistry()
    registry.register(metrics)
    places = names(regions, "region")
    metrics.show_regions(places, frozenset(), dict.fromkeys(places, time.time_ns() // 1000))
    for each in states(models, regions):
        metrics.show(each)
    generate_latest(registry)
    spent = []
    for _ in range(SCRAPES):
        began = time.process_time()
        text = generate_latest(registry)
        spent.append(time.process_time() - began)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return {"scrape_ms": 1000 * statistics.median(spent), "scrape_max_ms": 1000 * max(spent), "series": series}


class Quiet:
    """A mirror and an outbox that count."""

    def __init__(self) -> None:
        self.states = self.size_bytes = self.writes = 0

    def send(self, _topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None]) -> None:
        self.states += not is_unchanged(key.encode())
        self.size_bytes += len(value)
        on_delivery(True)

    def open(self, _registry_id: str) -> None:
        """Nothing to open."""

    def state(self, *_: Any) -> None:
        self.writes += 1

    def pods(self, *_: Any) -> None:
        self.writes += 1

    def unchanged(self, *_: Any) -> None:
        self.writes += 1


class Fleet:
    """A tracker over a fleet, on a clock of its own.

    Args:
        models: how many.
        regions: how many.
        version: the newest; every pod serves version 1.
    """

    def __init__(self, models: int, regions: int, version: int) -> None:
        self.now, self.spent, self.turn, self.ears = 1_000.0, 0.0, 0, Quiet()
        self.rows, self.heartbeats, self.regions = Rows(), Heartbeats(), names(regions, "region")
        clock = WorkerClocks(lambda: self.now, self.wall_us)
        settings = Settings(regions={name: RegionSettings() for name in self.regions})
        self.rows.owned = frozenset(range(MODEL_PARTITIONS))
        self.pairs = [(model, region) for model in names(models, "model") for region in self.regions]
        for model in names(models, "model"):
            entries = [update(n, n, model=model) for n in range(1, version + 1)]
            self.rows.row(model).log = log_of(*entries, model=model)
        ports = replace(ports_of(sender=self.ears), clock=clock, rng=random.Random(1))
        self.emitter = Emitter(
            settings, self.rows, self.heartbeats, ReadProgress(Epochs()), ports, self.ears,  # type: ignore[arg-type]
            SimpleNamespace(alarm=""),
        )  # fmt: skip
        for number, pair in enumerate(self.pairs):
            self.report(*pair, 1 + number % 2)
        self._beat()
        self.emitter.settle(True)

    def wall_us(self) -> int:
        """The wall clock."""
        return int(self.now * 1e6)

    def report(self, model: str, region: str, sequence: int) -> None:
        """A region reports what it serves, as the tracker's ``Reports`` takes it."""
        pods = [pod(f"{region}-0", 1, 1, read_at_us=self.wall_us())]
        (ack,) = pages(region, pods, sequence=sequence, model=model)
        ack = replace(ack, reported_at_us=self.wall_us())
        began = time.process_time()
        row = self.rows.row(model)
        before = row.regions.get(region, EMPTY).complete
        after = row.take(ack, b"", self.wall_us()).rows.complete
        if after is not None and repeats(after, before):
            self.emitter.repeated(model, region)
        else:
            self.emitter.changed(model)
        self.spent += time.process_time() - began

    def _beat(self) -> None:
        for region in self.regions:
            beat = RegionHeartbeat(REGISTRY, region, "w", 1, 1, self.wall_us())
            self.heartbeats.hear(beat, b"", self.wall_us(), self.wall_us())

    def seconds(self, count: int, reports_per_second: int = 0) -> None:
        """Let time pass."""
        for _ in range(count):
            self._beat()
            for _ in range(reports_per_second):
                self.report(*self.pairs[self.turn % len(self.pairs)], 10 + self.turn)
                self.turn += 1
            began = time.process_time()
            self.emitter._tick()
            while self.rows.waiting:
                self.emitter._fold_waiting(self.now)
                self.now += 1e-6
            self.spent += time.process_time() - began
            self.now += 1.0


def hour_behind(models: int, regions: int) -> dict[str, float]:
    """What a minute of an hour costs in which every model is behind everywhere and nothing is reported."""
    found = _minutes(Fleet(models, regions, version=2), 0)
    return {f"behind_{name}": figure for name, figure in found.items()}


def quiet(models: int, regions: int) -> dict[str, float]:
    """What a minute costs in which all is well, and every region repeats its reports every five minutes."""
    found = _minutes(Fleet(models, regions, version=1), models * regions // 300)
    return {f"quiet_{name}": figure for name, figure in found.items()}


def _minutes(fleet: Fleet, reports_per_second: int) -> dict[str, float]:
    fleet.seconds(40, reports_per_second)  # the first of all is said, and told of once
    fleet.spent, fleet.ears.states, fleet.ears.size_bytes, fleet.ears.writes = 0.0, 0, 0, 0
    seconds = 60 * MINUTES
    fleet.seconds(seconds, reports_per_second)
    ears = fleet.ears
    return {
        "cpu_percent": 100 * fleet.spent / seconds,
        "states_per_second": ears.states / seconds,
        "bytes_per_second": ears.size_bytes / seconds,
        "view_writes_per_second": ears.writes / seconds,
    }
