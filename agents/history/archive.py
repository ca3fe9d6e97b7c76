"""One partition's changes on their way into the store: what is archived, what is not yet, and when it is sealed.

Where to go on is read from the store: the last segment tells the offset after its last record, and how all stood then.
Its key follows from what precedes it, so two who archive the same records put the same key, and one of them loses.
"""

from dataclasses import dataclass, field, replace

from modelcast.agents.history.merging import merge_days
from modelcast.schemas import keys
from modelcast.schemas.history.segments import (
    SEGMENT_SIZE_MAX,
    ChangesSegment,
    Pair,
    decode_segment,
    encode_segment,
)
from modelcast.schemas.history.timeline import is_news
from modelcast.schemas.ports import ObjectInfo, ObjectStore, PreconditionFailed
from modelcast.schemas.records import VersionChange

SECOND = 1_000_000
SEALED_AFTER_US = 3600 * SECOND
SEALED_QUIET_US = 720 * SECOND
"""Nothing has changed for so long: what waits is sealed at once, so that the archive is seldom far behind. Longer than
a reader looks ahead (``infra/history/reader.py``): it then needs two segments at most."""
CHANGES_MAX = 60_000
"""About 1 MiB before they are deflated."""
CHECKPOINT_AFTER_US = 24 * 3600 * SECOND
"""A segment without changes, so that a reader finds one within a day of any time that a tracker ran."""
MARK_EVERY_US = 300 * SECOND
MERGE_EVERY_US = 6 * 3600 * SECOND
ON_ITS_WAY_US = 30 * SECOND
"""A change takes less to arrive on Kafka."""


@dataclass(slots=True)
class PartitionArchive:
    """The archive of one partition. For one thread; call ``begin`` first. Every method raises what the store raises.

    Attributes:
        end: the offset of the next record to take.
        stood: the last change of every pair, with all that was taken.
    """

    store: ObjectStore
    partition: int
    registry_id: str
    topic_id: str
    end: int = 0
    stood: dict[Pair, VersionChange] = field(default_factory=dict)
    _before: dict[Pair, VersionChange] = field(default_factory=dict)
    _changes: list[VersionChange] = field(default_factory=list)
    _first: int = 0
    _last_us: int = 0
    _sealed_us: int = 0
    _marked_us: int = 0
    _merged_us: int = 0
    _marks: list[str] = field(default_factory=list)
    _lost: bool = False

    def begin(self, low: int, high: int) -> int:
        """Find out where to go on in a partition that holds the offsets from ``low`` up to ``high``; ``end`` is that.

        Raises:
            ContentError: the last segment is damaged.
        """
        latest = self._latest()
        self._changes, self._lost, self._before, self._last_us = [], False, {}, 0
        self.end = low
        if latest is not None:
            self._before = latest.ends_with()
            goes_on = latest.topic_id == self.topic_id and low <= latest.end_offset <= high
            self.end, self._lost = (latest.end_offset, False) if goes_on else (low, True)
            self._last_us = max((c.changed_at_us for c in self._before.values()), default=0)
        self._last_us = max(self._last_us, self._sealed_us)
        self._first, self.stood = self.end, dict(self._before)
        return self.end

    def _latest(self) -> ChangesSegment | None:
        last: ObjectInfo | None = None
        self._sealed_us, self._marks = 0, []
        for info in self.store.list(keys.changes_prefix(self.partition)):
            parsed = keys.parse_changes(info.key)
            if parsed is not None and parsed[2]:
                last, self._sealed_us = info, parsed[0]
            elif parsed is not None:
                self._marks.append(info.key)
        found = self.store.get(last.key, size_max=SEGMENT_SIZE_MAX) if last is not None else None
        return decode_segment(found.body, f"{self.store.name}/{found.info.key}") if found is not None else None

    def take(self, offset: int, change: VersionChange | None) -> None:
        """Take the record at ``offset``; None: one that can't be used. One that was taken before changes nothing."""
        if offset < self.end:
            return
        self.end = offset + 1
        if change is None or change.registry_id != self.registry_id:
            return
        at_us = max(change.changed_at_us, self._last_us)  # another tracker's clock may be behind
        change = replace(change, changed_at_us=at_us, confirmed_at_us=min(change.confirmed_at_us, at_us))
        pair = (change.model, change.region)
        if is_news(change, self.stood.get(pair)):
            self._last_us = at_us
            self.stood[pair] = change
            self._changes.append(change)

    def is_due(self, now_us: int) -> bool:
        """Whether what was taken is to be sealed."""
        if not self._changes:
            return bool(self.stood) and now_us - max(self._sealed_us, self._last_us) >= CHECKPOINT_AFTER_US
        if len(self._changes) >= CHANGES_MAX or now_us - self._changes[0].changed_at_us >= SEALED_AFTER_US:
            return True
        return now_us - self._changes[-1].changed_at_us >= SEALED_QUIET_US

    def seal(self, now_us: int) -> bool:
        """Write what was taken as a segment; False: another worker was first: call ``begin`` again."""
        segment = ChangesSegment(
            self.registry_id,
            self.topic_id,
            self._first,
            self.end,
            tuple(self._before.values()),
            tuple(self._changes),
            self._lost,
        )
        first_us = self._changes[0].changed_at_us if self._changes else max(now_us, self._last_us)
        key = keys.changes_segment(self.partition, first_us, self._first)
        try:
            self.store.put(key, encode_segment(segment), if_absent=True)
        except PreconditionFailed:
            return False
        self._before, self._changes, self._first, self._lost = dict(self.stood), [], self.end, False
        self._sealed_us = first_us
        self._last_us = max(self._last_us, first_us)
        return True

    def seal_the_rest(self, now_us: int) -> None:
        """Write what was taken, due or not: this worker stops, and others may not run soon."""
        if self._changes:
            self.seal(now_us)

    def merge(self, now_us: int) -> int:
        """Merge the days that are long over, now and then; how many segments are gone."""
        if now_us - self._merged_us < MERGE_EVERY_US:
            return 0
        self._merged_us = now_us
        return merge_days(self.store, self.partition, now_us)

    def wants_mark(self, now_us: int) -> bool:
        """Whether it should be noted that all is archived up to now, if that is so."""
        return bool(self.stood) and not self._changes and now_us - self._marked_us >= MARK_EVERY_US

    def mark(self, now_us: int) -> None:
        """Note that all changes up to a moment before ``now_us`` are archived; later ones may be on their way."""
        key = keys.changes_through(self.partition, max(now_us - ON_ITS_WAY_US, self._last_us), self.end)
        self.store.put(key, b"")
        self._marked_us = now_us
        older, self._marks = self._marks, [key]
        for mark in older:
            if mark != key:
                self.store.delete(mark)
