"""Segments of a day become one, so that a year of history is some hundred objects a partition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError
from modelcast.schemas.history.segments import (
    SEGMENT_SIZE_MAX,
    ChangesSegment,
    decode_segment,
    encode_segment,
    lies_within,
)
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

SECOND = 1_000_000
LEFT_ALONE_US = 36 * 3600 * SECOND
"""Segments that are younger may have a writer that slept, and comes back."""
MERGED_SIZE_MAX = SEGMENT_SIZE_MAX // 4
"""Bytes of segments that go into one."""


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """A segment as a listing has it."""

    key: str
    at_us: int
    first_offset: int
    size_bytes: int


def days_to_merge(segments: Sequence[SegmentKey], now_us: int) -> list[tuple[SegmentKey, ...]]:
    """Runs of segments, in their order, each of one UTC day that is long over and of a size that goes together."""
    runs: list[list[SegmentKey]] = []
    for segment in segments:
        if now_us - segment.at_us < LEFT_ALONE_US:
            break
        last = runs[-1] if runs else []
        fits = sum(each.size_bytes for each in last) + segment.size_bytes <= MERGED_SIZE_MAX
        if last and _day(last[-1].at_us) == _day(segment.at_us) and fits:
            last.append(segment)
        else:
            runs.append([segment])
    return [tuple(run) for run in runs if len(run) > 1]


def _day(at_us: int) -> object:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).date()


def merge_days(store: ObjectStore, partition: int, now_us: int) -> int:
    """Merge the days that are long over; how many segments are gone.

    The first segment of a day is replaced by the whole day, which is read back before the others are deleted: who is
    killed in between leaves segments that lie within another, which readers pass over and the next merge deletes.

    Raises:
        ContentError: a segment is damaged; nothing more is merged.
        StoreUnavailable: the store does not answer.
    """
    gone = 0
    for run in days_to_merge(_listed(store, partition), now_us):
        gone += _merge(store, run)
    return gone


def _listed(store: ObjectStore, partition: int) -> list[SegmentKey]:
    found = []
    for info in store.list(keys.changes_prefix(partition)):
        parsed = keys.parse_changes(info.key)
        if parsed is not None and parsed[2]:
            found.append(SegmentKey(info.key, parsed[0], parsed[1], info.size_bytes))
    return found


def _merge(store: ObjectStore, run: Sequence[SegmentKey]) -> int:
    bodies = [store.get(each.key, size_max=SEGMENT_SIZE_MAX) for each in run]
    if any(body is None for body in bodies):
        return 0  # another worker merges it
    read = [decode_segment(body.body, body.info.key) for body in bodies if body is not None]
    merged = merged_segment(read)
    first = bodies[0]
    if merged is None or first is None:
        return 0
    if merged != read[0]:
        try:
            store.put(run[0].key, encode_segment(merged), if_match=first.info.etag)
        except PreconditionFailed:
            return 0
    back = store.get(run[0].key, size_max=SEGMENT_SIZE_MAX)
    if back is None or decode_segment(back.body, run[0].key) != merged:
        raise ContentError("a merged segment does not read as it was written", subject=run[0].key)
    for each in run[1:]:
        store.delete(each.key)
    return len(run) - 1


def merged_segment(segments: Iterable[ChangesSegment]) -> ChangesSegment | None:
    """Segments that follow each other as one; None: they do not."""
    merged: ChangesSegment | None = None
    for segment in segments:
        if merged is None:
            merged = segment
        elif lies_within(segment, merged):
            continue
        elif segment.lost_before or segment.topic_id != merged.topic_id or segment.first_offset != merged.end_offset:
            return None
        else:
            merged = replace(merged, end_offset=segment.end_offset, changes=(*merged.changes, *segment.changes))
    return merged
