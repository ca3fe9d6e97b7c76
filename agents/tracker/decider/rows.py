"""What this worker knows of each model that it owns: the tracker's state between fold and fold. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelcast.agents.tracker.decider import trim
from modelcast.agents.tracker.decider.fold import ALARM_CHARS_MAX, Everywhere, Known
from modelcast.agents.tracker.decider.snapshots import EMPTY, Change, Place, RegionRows, Snapshot, restore, take
from modelcast.agents.tracker.decider.waiting import Waiting
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, VersionState
from modelcast.schemas.topics import partition_of

STRANGER_SECONDS = 300.0
"""How long the alarm about a record of another registry outlasts the last one: one may be made up, a true registry's
regions and publishers keep sending."""

_ROW, _ANNOUNCED = b"row", b"announced"


def page_key(model: str, region: str, place: Place) -> bytes:
    """Where a page lies in the table."""
    return f"row/{model}/{region}/{place[0]}/{place[1]}".encode()


def announced_key(model: str) -> bytes:
    """Where the highest announced generation of a model lies in the table."""
    return f"announced/{model}".encode()


def parse_page_key(key: bytes) -> tuple[str, str, Place] | None:
    """(model, region, place) of a page's key, or None."""
    parts = key.split(b"/")
    if len(parts) != 5 or parts[0] != _ROW:
        return None
    try:
        return parts[1].decode(), parts[2].decode(), (int(parts[3]), int(parts[4]))
    except ValueError:
        return None


def parse_announced_key(key: bytes) -> str | None:
    """The model of an ``announced_key``, or None."""
    kind, _, model = key.partition(b"/")
    return model.decode(errors="replace") if kind == _ANNOUNCED and b"/" not in model else None


@dataclass(frozen=True, slots=True)
class Stranger:
    """What a region or a topic reported for another registry; ``heard_at``: the last time, monotonic seconds."""

    text: str
    heard_at: float


@dataclass(slots=True)
class ModelRow:
    """What is known of one model, and what was last published of it."""

    model: str
    log: ModelLog | None = None
    entry_times_us: dict[int, int] = field(default_factory=dict)
    regions: dict[str, RegionRows] = field(default_factory=dict)
    unwritten: dict[bytes, bytes | None] = field(
        default_factory=dict
    )  # for the table, at the next chance; None: delete
    previous: VersionState | None = None
    alarm: str = ""
    strangers: dict[str, Stranger] = field(default_factory=dict)  # region or topic -> what came from there last
    unheld: dict[str, int] = field(default_factory=dict)  # region -> generation it reported, which a read did not find
    announced: int | None = None  # highest that was announced and is in the log; None: unknown

    def take(self, ack: ModelAck, raw: bytes, now_us: int) -> Change:
        """Fold one page in, at ``now_us`` (UTC microseconds)."""
        change = take(self.regions.get(ack.region, EMPTY), ack, now_us, raw)
        self.regions[ack.region] = change.rows
        self.unwritten.update((page_key(self.model, ack.region, place), None) for place in change.delete)
        if change.write is not None:
            self.unwritten[page_key(self.model, ack.region, change.write)] = raw
        return change

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """Each region's highest complete snapshot."""
        return {region: rows.complete for region, rows in self.regions.items() if rows.complete is not None}

    def epoch(self, region: str) -> int:
        """The owner epoch of what is believed of a region; 0: nothing is."""
        complete = self.regions.get(region, EMPTY).complete
        return complete.order[0] if complete is not None else 0

    def forget(self, region: str) -> bool:
        """Drop all that is believed of a region; whether there was anything."""
        rows = self.regions.pop(region, None)
        if rows is None:
            return False
        kept = (*((rows.complete,) if rows.complete is not None else ()), *rows.pending)
        self.unwritten.update((page_key(self.model, region, place), None) for s in kept for place in s.places)
        self.strangers.pop(region, None)
        self.unheld.pop(region, None)
        return True

    def read(self, log: ModelLog, times_us: Mapping[int, int]) -> None:
        """The log was read further."""
        self.log = log
        self.entry_times_us.update(times_us)
        self.drop_foreign()

    def drop_foreign(self) -> None:
        """Forget what the table kept of another registry: a tracker that starts may find its store replaced."""
        if self.log is None:
            return
        for region, rows in list(self.regions.items()):
            if rows.complete is not None and rows.complete.header.registry_id != self.log.registry_id:
                self.forget(region)

    def accepted(self) -> dict[str, int]:
        """The generation that each region reports to have accepted."""
        return {r: rows.complete.header.generation for r, rows in self.regions.items() if rows.complete is not None}

    def ended(self, accepted: Mapping[str, int]) -> bool:
        """The log ends where it was just read to, although regions had ``accepted`` more; whether that is news."""
        unheld = {region: generation for region, generation in sorted(accepted.items()) if generation > self._head}
        news, self.unheld = unheld != self.unheld, unheld
        return news

    @property
    def beyond(self) -> dict[str, str]:
        """Region to what it has accepted above the end of the log, by the reports that stand now."""
        accepted, head = self.accepted(), self._head
        return {
            region: f"{region} has accepted generation {generation}, but the log ends at {head}"
            for region, generation in self.unheld.items()
            if head < generation <= accepted.get(region, 0)
        }

    @property
    def _head(self) -> int:
        return self.log.head if self.log is not None else 0

    def hear_stranger(self, source: str, registry_id: str, now: float) -> bool:
        """A region or a topic reported for another registry, at ``now`` (monotonic seconds); whether that is news."""
        text, before = f"{source} reports for another registry ({registry_id[:40]})", self.strangers.get(source)
        self.strangers[source] = Stranger(text, now)
        return before is None or before.text != text

    def end_strangers(self, now: float) -> bool:
        """Drop the strangers that were not heard for ``STRANGER_SECONDS``; whether there was any."""
        old = [source for source, s in self.strangers.items() if now - s.heard_at >= STRANGER_SECONDS]
        for source in old:
            del self.strangers[source]
        return bool(old)

    def heard_announced(self, generation: int) -> None:
        """Note an announcement that the log bears out."""
        if self.announced is not None and generation <= self.announced:
            return
        self.announced = generation
        self.unwritten[announced_key(self.model)] = str(generation).encode()

    def known(self, everywhere: Everywhere, as_of_us: int = 0) -> Known | None:
        """What the fold needs; None while the log was not read."""
        if self.log is None:
            return None
        return Known(
            log=self.log,
            entry_times_us=self.entry_times_us,
            snapshots=self.snapshots,
            heard_us=everywhere.heard_us,
            ahead_of_us=everywhere.ahead_of_us,
            expected=everywhere.expected,
            previous=self.previous if self.previous and self.previous.registry_id == self.log.registry_id else None,
            silent_after_seconds=everywhere.silent_after_seconds,
            unread_after_seconds=everywhere.unread_after_seconds,
            as_of_us=as_of_us,
            alarm="; ".join(
                filter(
                    None,
                    (
                        everywhere.alarm,
                        self.alarm,
                        *(stranger.text for stranger in self.strangers.values()),
                        *self.beyond.values(),
                    ),
                )
            ),
        )


def reported_before(row: ModelRow, alarm: str, now_us: int) -> VersionState | None:
    """What was said of a model before its log could not be read: with the alarm that says so, and as old as it is.

    None where nothing was said, or nothing is wrong.
    """
    alarm = row.alarm or alarm
    if row.previous is None or not alarm:
        return None
    as_of_us = row.previous.as_of_us or row.previous.updated_at_us
    return replace(row.previous, alarm=trim.cut(alarm, ALARM_CHARS_MAX), updated_at_us=now_us, as_of_us=as_of_us)


class Rows:
    """The rows of the models whose partitions this worker owns."""

    def __init__(self) -> None:
        self.models: dict[str, ModelRow] = {}
        self.owned: frozenset[int] = frozenset()
        self.waiting = Waiting()

    def owns(self, model: str) -> bool:
        """Whether the model's partition is this worker's."""
        return partition_of(model) in self.owned

    def row(self, model: str) -> ModelRow:
        """The model's row; a new one if there is none."""
        row = self.models.get(model)
        if row is None:
            row = self.models[model] = ModelRow(model)
        return row

    def reassign(self, owned: frozenset[int]) -> frozenset[int]:
        """Other partitions are owned now: clear the rows of those lost; return those gained."""
        gained = owned - self.owned
        self.owned = owned
        for model in [m for m in self.models if not self.owns(m)]:
            del self.models[model]
        self.waiting.keep(self.models)
        return gained

    def restore(self, model: str, region: str, pages: Iterable[tuple[Place, ModelAck, bytes]]) -> None:
        """Put back what a table held of one region; what arrived meanwhile stays."""
        row = self.row(model)
        restored = restore(pages)
        row.regions[region] = restored.rows
        row.unwritten.update((page_key(model, region, place), None) for place in restored.leftovers)
        row.drop_foreign()
        self.waiting.add(model)
