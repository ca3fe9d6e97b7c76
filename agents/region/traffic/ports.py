"""What the traffic of rollouts needs from outside, as small Protocols."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelcast.agents.region.traffic.decider.knowledge import RegionTraffic, TrafficEffect, TrafficEvent, TrafficPace
from modelcast.agents.region.traffic.notices import LoggedTraffic
from modelcast.infra.kafka.outbox import Delivered
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.table import TrafficTable

ASKED_AT_ONCE = 64
"""Pods of one model that are asked at a time."""


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class TableStore(Protocol):
    """The origin's tables (``OriginTables``). Blocking, thread-safe."""

    def look(self, model: str) -> TrafficTable | None:
        """The model's table; None: there is none that can be read. Raises ``StoreUnavailable``."""
        ...


class TrafficOutbox(Protocol):
    """Hands records over without waiting (``Outbox``)."""

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Delivered, headers: Mapping[str, bytes], /
    ) -> None:
        """``on_delivery`` is called once, on the event loop, with whether the cluster has the record."""
        ...


class TrafficObserver(Protocol):
    """Sees every step about traffic, before its effects begin."""

    def divided(
        self,
        before: RegionTraffic,
        event: TrafficEvent,
        after: RegionTraffic,
        effects: tuple[TrafficEffect, ...],
    ) -> None:
        """``event`` has turned ``before`` into ``after``."""
        ...


@dataclass(frozen=True, slots=True)
class TrafficPorts:
    """Everything that the rollouts of one worker share.

    Attributes:
        tables: of the origin.
        outbox: to Kafka.
        worker: who speaks.
        pace: how often pods and store are asked.
        observer: sees each step.
        wall_clock_us: UTC microseconds.
        pod_seconds_max: how long a pod may take to answer.
    """

    tables: TableStore
    outbox: TrafficOutbox
    worker: str
    pace: TrafficPace = field(default_factory=TrafficPace)
    observer: TrafficObserver = field(default_factory=LoggedTraffic)
    wall_clock_us: Callable[[], int] = _wall_clock_us
    pod_seconds_max: float = 3.0
