"""Puts every change of what regions serve on ``version-changes``: compares what is so with what is recorded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from modelcast.agents.history.decider.pairs import MS, change_of, row_traits
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ContentError
from modelcast.schemas.history.segments import content
from modelcast.schemas.records import ALL_OF_THEM, VersionChange, VersionState
from modelcast.schemas.statuses import Status
from modelcast.schemas.topics import Topic, partition_of

OUTSTANDING_MAX = 5_000
"""Changes on their way at once; what changes meanwhile waits, and only its newest state goes."""

log = structlog.get_logger(__name__)


class ChangeSender(Protocol):
    """Hands records over without waiting (``Outbox``)."""

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None], /) -> None:
        """``on_delivery`` is called once, later, with whether the cluster has it."""
        ...


@dataclass(slots=True)
class _PairRecord:
    """One pair as it is recorded, or will be once what was sent has arrived."""

    change: VersionChange | None = None  # None: not known
    confirmed_us: int = 0  # when the last report came that bears it out
    reported_at_us: int = 0  # of that report
    traits: tuple[object, ...] = ()
    unread: int = 0  # changes that were sent and not read back yet


@dataclass(slots=True)
class _ModelRecord:
    reported_us: int = 0  # when the tracker last reported of it; 0: not known
    pairs: dict[str, _PairRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reported:
    state: VersionState
    digests: Mapping[int, str]
    now_us: int


class Recorder:
    """Sends the changes of a worker's models, once what is recorded of their partition was read. On one event loop.

    Args:
        sender: to Kafka.
        quiet_seconds: the tracker speaks of a model more often; a longer pause is recorded.
    """

    def __init__(self, sender: ChangeSender, quiet_seconds: float) -> None:
        self._sender, self._quiet_us = sender, int(quiet_seconds * 1_000_000)
        self._models: dict[str, _ModelRecord] = {}
        self._waiting: dict[str, _Reported] = {}
        self._ready: set[int] = set()
        self._outstanding = 0

    def reported(self, state: VersionState, digests: Mapping[int, str], before_us: int, now_us: int) -> None:
        """The tracker says this of a model.

        Args:
            state: what it says.
            digests: of the model's versions.
            before_us: when a tracker last spoke of it before this worker did; 0: not known.
            now_us: tracker's clock, UTC microseconds.
        """
        record = self._models.setdefault(state.model, _ModelRecord())
        record.reported_us = record.reported_us or before_us
        self._waiting[state.model] = _Reported(state, digests, now_us)
        self._send_waiting()

    def confirmed(self, model: str, reported_at_us: Mapping[str, int], now_us: int) -> None:
        """What was last said of a model still holds.

        Args:
            model: its name.
            reported_at_us: region to when it last reported, by its clock.
            now_us: tracker's clock, UTC microseconds.
        """
        record = self._models.get(model)
        if record is None or not record.reported_us or model in self._waiting:
            return  # it is not recorded yet what was said
        record.reported_us = now_us
        for region, at_us in reported_at_us.items():
            pair = record.pairs.get(region)
            if pair is None or pair.change is None or not pair.traits or at_us == pair.reported_at_us:
                continue
            pair.reported_at_us = at_us
            if pair.change.status != Status.SILENT:
                pair.confirmed_us = now_us

    def ready(self, partition: int, recorded: Iterable[VersionChange]) -> None:
        """All that is recorded in the partition was read: the last changes of its pairs."""
        for change in recorded:
            self._taken(change)
        self._ready.add(partition)
        self._send_waiting()

    def read(self, change: VersionChange) -> None:
        """A change was read back, this worker's or another's."""
        record = self._models.get(change.model)
        pair = record.pairs.get(change.region) if record is not None else None
        if pair is not None and pair.unread:
            pair.unread -= 1  # its own; what it sent after it counts
        else:
            self._taken(change)

    def lost(self, partition: int) -> None:
        """The partition is another worker's now."""
        self._ready.discard(partition)
        self._models = {m: each for m, each in self._models.items() if partition_of(m) != partition}
        self._waiting = {m: each for m, each in self._waiting.items() if partition_of(m) != partition}

    def _taken(self, change: VersionChange) -> None:
        pair = self._models.setdefault(change.model, _ModelRecord()).pairs.setdefault(change.region, _PairRecord())
        if pair.change is None or content(pair.change) != content(change):
            pair.change, pair.traits = change, ()
            pair.confirmed_us = change.changed_at_us

    def _send_waiting(self) -> None:
        for model in [m for m in self._waiting if partition_of(m) in self._ready]:
            if self._outstanding >= OUTSTANDING_MAX:
                return
            self._compare(self._models.setdefault(model, _ModelRecord()), self._waiting.pop(model))

    def _compare(self, record: _ModelRecord, reported: _Reported) -> None:
        state, now_us = reported.state, reported.now_us
        known_us = record.reported_us or max(
            (p.change.changed_at_us for p in record.pairs.values() if p.change), default=0
        )
        record.reported_us = now_us
        if known_us and now_us - known_us > self._quiet_us:
            self._send(record, _silence(state, known_us, now_us))
        for row in state.regions:
            pair = record.pairs.setdefault(row.region, _PairRecord())
            traits = row_traits(state, row)
            if pair.change is not None and pair.traits == traits:
                continue
            first, pair.traits = not pair.traits, traits
            change = change_of(state, row, reported.digests, now_us)
            if first and pair.change is not None:
                pair.confirmed_us = max(pair.confirmed_us, min(known_us, now_us))
            if pair.change is None or content(pair.change) != content(change):
                confirmed_us = pair.confirmed_us if pair.change is not None else 0
                if change.status == Status.SILENT and pair.change is not None:
                    confirmed_us = max(confirmed_us, min(row.heard_at_us, now_us))
                self._send(record, replace(change, confirmed_at_us=min(confirmed_us, now_us) // MS * MS))
            if row.reported_at_us != pair.reported_at_us and change.status != Status.SILENT:
                pair.confirmed_us = now_us  # it was reported; what the log or time alone changes is not
            pair.reported_at_us = row.reported_at_us
        for region in record.pairs.keys() - {row.region for row in state.regions} - {ALL_OF_THEM}:
            gone = record.pairs[region].change
            if gone is not None and gone.status != Status.OUT:
                out = VersionChange(state.registry_id, state.model, region, Status.OUT, now_us // MS * MS)
                self._send(record, replace(out, confirmed_at_us=record.pairs[region].confirmed_us // MS * MS))

    def _send(self, record: _ModelRecord, change: VersionChange) -> None:
        pair = record.pairs.setdefault(change.region, _PairRecord())
        try:
            raw = encode(change)
        except ContentError as error:
            log.error("a change can't be recorded", model=change.model, region=change.region, error=error)
            return
        pair.change = change
        pair.unread += 1
        self._outstanding += 1

        def delivered(done: bool) -> None:
            self._outstanding -= 1
            if not done:
                pair.unread = max(0, pair.unread - 1)
                pair.change, pair.traits = None, ()  # what is recorded is not known: say it again
            self._send_waiting()

        self._sender.send(Topic.VERSION_CHANGES, change.model, raw, delivered)


def _silence(state: VersionState, from_us: int, now_us: int) -> VersionChange:
    """No tracker spoke of the model in between."""
    return VersionChange(
        state.registry_id, state.model, ALL_OF_THEM, Status.NONE, now_us // MS * MS, from_us // MS * MS
    )
