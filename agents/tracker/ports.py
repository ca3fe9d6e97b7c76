"""What the tracker needs from outside, as small Protocols: clocks, Kafka, the live view, states published before."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence, Set
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from modelcast.infra.kafka.outbox import Delivered
from modelcast.infra.redis_view import Batch, Keys, NotRenewed, Renewal
from modelcast.schemas.records import ModelUpdate, VersionState
from modelcast.schemas.topics import Topic

Table = MutableMapping[bytes, bytes]
"""Where pages of snapshots are kept. Kafka holds a copy of it; it may be written while a record is being taken."""


def _wall_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class WorkerClocks:
    """The three clocks of a worker.

    Attributes:
        monotonic: seconds.
        wall_us: UTC microseconds.
        worked: seconds of processor time that this thread has used.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall_us: Callable[[], int] = _wall_us
    worked: Callable[[], float] = time.thread_time


class ChangeListener(Protocol):
    """Who hears what has changed (``Emitter``)."""

    def changed(self, model: str) -> None:
        """A model's log or rows have changed."""
        ...

    def repeated(self, model: str, region: str) -> None:
        """A region has said of a model what it said before."""
        ...

    def leave_out(self, regions: Set[str]) -> None:
        """These regions are expected no more: a person had them forgotten."""
        ...


class StateListener(Protocol):
    """Who hears what is reported of a model, beside Kafka and the live view (history, traces)."""

    def reported(
        self, state: VersionState, before: VersionState | None, updates: Mapping[int, ModelUpdate], now_us: int
    ) -> None:
        """A state is reported. Never waits.

        Args:
            state: what is reported.
            before: what was reported before, by whichever tracker; None: nothing.
            updates: the log's publications by version.
            now_us: UTC microseconds.
        """
        ...

    def unchanged(self, model: str, reported_at_us: Mapping[str, int], now_us: int) -> None:
        """What was last reported of a model still holds. Never waits.

        Args:
            model: its name.
            reported_at_us: region to when it last reported, by its clock.
            now_us: UTC microseconds.
        """
        ...


class Message(Protocol):
    """A Kafka record as Faust hands it over. ``timestamp``: seconds, by the cluster's clock."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: float
    headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None


class Letters(Protocol):
    """Writes what can't be used to the dead letters (``DeadLetterWriter``)."""

    def __call__(
        self, raw: bytes, *, reason: str, detail: str, topic: str, partition: int, offset: int, key: bytes | None
    ) -> None:
        """Never raises, never waits."""
        ...


class Sender(Protocol):
    """What a daemon writes to Kafka (``Outbox``). Never waits."""

    @property
    def dead_letter(self) -> Letters:
        """The way to the dead letters."""
        ...

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Delivered = ..., /) -> None:
        """Hand a record over; ``on_delivery`` is called later with whether the cluster has it."""
        ...


class View(Protocol):
    """The live view of one registry (``RedisMirror``)."""

    @property
    def keys(self) -> Keys:
        """The keys of the view."""
        ...

    async def take_fence(self) -> int:
        """A number greater than any that was given out before. Raises ``RedisUnavailable``."""
        ...

    async def write(self, batch: Batch) -> int:
        """Write a batch; return how many writes a newer owner's fence refused. Raises ``RedisUnavailable``."""
        ...

    async def renew(self, renewals: Sequence[Renewal]) -> NotRenewed:
        """Renew what has not changed; return what could not be renewed. Raises ``RedisUnavailable``."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class PublishedStates(Protocol):
    """What trackers have published (``Follower``)."""

    async def published(self, partitions: Iterable[int], timeout_seconds: float) -> dict[str, bytes] | None:
        """Model to its newest ``VersionState``, undecoded; None if that could not be read in time."""
        ...

    async def probe_states(self, timeout_seconds: float) -> dict[str, bytes] | None:
        """Partition to its newest ``ProbeState``, undecoded; None if that could not be read in time."""
        ...


@dataclass(frozen=True, slots=True)
class TrackerPorts:
    """What one worker needs from outside.

    Attributes:
        sender: to Kafka.
        open_view: the live view of a registry, by its id.
        published: the states published before.
        stores: threads for reading the origin.
        regions: threads for reading regions' buckets, so that a slow one holds nothing up.
        epoch_of: a region's owner epoch of a model, by its own state object; raises ``ModelcastError``. Blocking.
        clock: of this worker.
        rng: for jitter.
        schemas: threads for fetching schemas that are not known yet; shut down with the intake. None: its own.
    """

    sender: Sender
    open_view: Callable[[str], View]
    published: PublishedStates
    stores: Executor
    regions: Executor
    epoch_of: Callable[[str, str], int]
    clock: WorkerClocks = field(default_factory=WorkerClocks)
    rng: random.Random = field(default_factory=random.Random)
    schemas: Executor | None = None
