"""The tracker's side: a scrape of its metrics, and an hour in which every model is behind."""

import random
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.ports import WorkerClocks
from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.infra.settings import RegionSettings, Settings
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import MODEL_PARTITIONS
from tests.agents.tracker.makers import REGISTRY, log_of, pages, pod, update
from tests.agents.tracker.ports import ports_of
from tests.bench.watching.fleet import names, states

MINUTES = 1


def scrape(models: int, regions: int) -> dict[str, float]:
    """Processor time of one scrape, and how many series it has."""
    metrics, registry = StateMetrics(), CollectorRegistry()
    registry.register(metrics)
    places = names(regions, "region")
    metrics.show_regions(places, frozenset(), dict.fromkeys(places, time.time_ns() // 1000))
    for each in states(models, regions):
        metrics.show(each)
    generate_latest(registry)
    began = time.process_time()
    text = generate_latest(registry)
    spent = time.process_time() - began
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return {"scrape_ms": 1000 * spent, "series": series}


class Quiet:
    """A mirror and an outbox that count."""

    def __init__(self) -> None:
        self.records = 0

    def send(self, *_: Any) -> None:
        self.records += 1

    def open(self, _registry_id: str) -> None:
        """Nothing to open."""

    def state(self, *_: Any) -> None:
        """Nothing to write."""

    def pods(self, *_: Any) -> None:
        """Nothing to write."""


def hour_behind(models: int, regions: int) -> dict[str, float]:
    """What a minute of an hour costs in which every model is behind everywhere and nothing is reported."""
    clock, ears, rows, heartbeats = [1_000.0], Quiet(), Rows(), Heartbeats()
    wall_us = lambda: int(clock[0] * 1e6)  # noqa: E731
    clocks = WorkerClocks(lambda: clock[0], wall_us)
    places = names(regions, "region")
    settings = Settings(regions={name: RegionSettings() for name in places})
    rows.owned = frozenset(range(MODEL_PARTITIONS))
    for model in names(models, "model"):
        row = rows.row(model)
        row.log = log_of(update(1, 1, model=model), update(2, 2, model=model), model=model)
        for region in places:
            (ack,) = pages(region, [pod(f"{region}-0", 1, 1, read_at_us=wall_us())], model=model)
            row.take(ack, b"", wall_us())
    ports = replace(ports_of(sender=ears), clock=clocks, rng=random.Random(1))
    emitter = Emitter(
        settings, rows, heartbeats, ReadProgress(Epochs()), ports, ears, SimpleNamespace(alarm="")  # type: ignore[arg-type]
    )  # fmt: skip

    def beat() -> None:
        for region in places:
            heartbeats.hear(RegionHeartbeat(REGISTRY, region, "w", 1, 1, wall_us()), b"", wall_us(), wall_us())

    def second() -> None:
        beat()
        began = time.process_time()
        emitter._tick()
        while rows.waiting:
            emitter._fold_waiting(clock[0])
            clock[0] += 1e-6
        spent[0] += time.process_time() - began
        clock[0] += 1.0

    spent = [0.0]
    beat()
    emitter.settle(True)
    for _ in range(40):  # the first of all is said, and once more
        second()
    spent[0], ears.records = 0.0, 0
    for _ in range(60 * MINUTES):
        second()
    return {"behind_cpu_percent": 100 * spent[0] / (60 * MINUTES), "behind_records_per_second": ears.records / 60}
