"""The archive of changes, read for one model and a span of time. Keys hold times: one listing, and few objects."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

from modelcast.infra.history.recent import RecentSource
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError
from modelcast.schemas.history.segments import SEGMENT_SIZE_MAX, ChangesSegment, decode_segment, lies_within
from modelcast.schemas.history.timeline import Recorded, is_news
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from modelcast.schemas.statuses import Status
from modelcast.schemas.topics import partition_of

SECOND = 1_000_000
BEFORE_US = 49 * 3600 * SECOND
"""While a tracker runs, segments begin at most two days apart: a day is one at last."""
AFTER_US = 11 * 60 * SECOND
"""Who is not heard or read back for ten minutes is silent, which is a change: later ones tell nothing of a time."""
SEGMENTS_MAX = 400
TRIES = 2


class _Merged(ContentError):
    """A segment that was listed is gone: it became part of a day's."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A segment and where it lies."""

    key: str
    at_us: int


class HistoryReader:
    """Reads the archive in one store. Stateless; blocking.

    Args:
        store: the origin store.
        recent: what is not archived yet; None: only the archive answers.
        registry_id: whose changes count.
    """

    def __init__(self, store: ObjectStore, recent: RecentSource | None = None, registry_id: str = "") -> None:
        self._store, self._recent, self._registry_id = store, recent, registry_id

    def recorded(self, model: str, from_us: int, to_us: int) -> Recorded:
        """What is archived of a model that bears on the times from ``from_us`` to ``to_us``.

        Raises:
            ContentError: a segment is damaged, or the span takes more than ``SEGMENTS_MAX`` of them.
        """
        for _ in range(TRIES):
            with suppress(_Merged):
                return self._recorded(model, from_us, to_us)
        return self._recorded(model, from_us, to_us)

    def _recorded(self, model: str, from_us: int, to_us: int) -> Recorded:
        partition = partition_of(model)
        until_us = to_us + AFTER_US
        listed, through_us = self._list(partition, max(0, from_us - BEFORE_US), until_us)
        if not any(each.at_us <= from_us for each in listed):  # no tracker ran for a day, or there is nothing before
            listed, through_us = self._list(partition, 0, until_us)
        first = max((n for n, each in enumerate(listed) if each.at_us <= from_us), default=0)
        segments: list[ChangesSegment] = []
        to_the_end = True
        for each in listed[first:]:
            if each.at_us > until_us and _spoken_after(to_us, segments):
                to_the_end = False
                break
            if len(segments) >= SEGMENTS_MAX:
                raise ContentError(
                    f"that span takes more than {SEGMENTS_MAX} segments of the archive",
                    subject=model,
                    hint="ask for a shorter one",
                )
            segment = self._read(each)
            if not segments or not lies_within(segment, segments[-1]):
                segments.append(segment)
        ends = [c.changed_at_us for s in segments[-1:] for c in (*s.checkpoint, *s.changes)]
        later = [each.at_us for each in listed[first + len(segments) :]]
        recorded = Recorded(tuple(_of(model, segments)), max([through_us, *ends, *later], default=0))
        return self._with_recent(model, segments, recorded) if to_the_end else recorded

    def _with_recent(self, model: str, segments: list[ChangesSegment], recorded: Recorded) -> Recorded:
        """The same with what is not archived yet, taken as the archive will take it."""
        end = segments[-1] if segments else None
        topic_id, end_offset = (end.topic_id, end.end_offset) if end is not None else ("", 0)
        found = self._recent.since(model, topic_id, end_offset) if self._recent is not None else None
        if found is None:
            return recorded
        stood = end.ends_with() if end is not None else {}
        last_us = max((c.changed_at_us for c in stood.values()), default=0)
        changes = list(recorded.changes)
        ours = [c for c in found.changes if c.registry_id == self._registry_id]
        if found.lost and stood:
            first_us = min((c.changed_at_us for c in ours), default=last_us)
            changes.append(VersionChange(self._registry_id, model, ALL_OF_THEM, Status.NONE, first_us, last_us))
        for each in ours:
            at_us = last_us = max(each.changed_at_us, last_us)  # another tracker's clock may be behind
            change = replace(each, changed_at_us=at_us, confirmed_at_us=min(each.confirmed_at_us, at_us))
            if is_news(change, stood.get((change.model, change.region))):
                stood[change.model, change.region] = change
                changes += [change] if change.model == model else []
        return Recorded(tuple(changes), max(recorded.through_us, found.through_us))

    def _list(self, partition: int, from_us: int, until_us: int) -> tuple[list[_Listed], int]:
        """Segments from a time on up to the first after another, and up to when a mark says that all is archived."""
        found, through_us = [], 0
        for info in self._store.list(
            keys.changes_prefix(partition), start_after=keys.changes_segment(partition, from_us, 0)
        ):
            parsed = keys.parse_changes(info.key)
            if parsed is None:
                continue
            if parsed[2]:
                found.append(_Listed(info.key, parsed[0]))
                if parsed[0] > until_us:
                    break
            else:
                through_us = max(through_us, parsed[0])
        return found, through_us

    def _read(self, listed: _Listed) -> ChangesSegment:
        subject = f"{self._store.name}/{listed.key}"
        found = self._store.get(listed.key, size_max=SEGMENT_SIZE_MAX)
        if found is None:
            raise _Merged("a segment is gone", subject=subject, hint="somebody deletes in history/: ask again")
        return decode_segment(found.body, subject)


def _spoken_after(at_us: int, segments: Iterable[ChangesSegment]) -> bool:
    """Whether a tracker is known to have spoken after a time: else the next change may tell that none did."""
    return any(c.changed_at_us > at_us and c.region != ALL_OF_THEM for s in segments for c in s.changes)


def _of(model: str, segments: Iterable[ChangesSegment]) -> Iterable[VersionChange]:
    """A model's changes; where changes were lost between segments, no tracker is taken to have spoken."""
    segments = list(segments)
    if not segments:
        return
    yield from (c for c in segments[0].checkpoint if c.model == model)
    yield from (c for c in segments[0].changes if c.model == model)
    for before, segment in pairwise(segments):
        if segment.lost_before:
            last_us = max((c.changed_at_us for c in (*before.checkpoint, *before.changes)), default=0)
            first_us = min((c.changed_at_us for c in segment.changes), default=last_us)
            yield VersionChange(segment.registry_id, model, ALL_OF_THEM, Status.NONE, first_us, last_us)
        yield from (c for c in segment.changes if c.model == model)
