"""A segment of the archive: changes of one partition of ``version-changes`` in columns, and how all stood before them.

An Avro object container file with one record, deflated. Names, digests and statuses stand once, times as differences in
milliseconds: a change takes under ten bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any, cast

import fastavro

from modelcast.schemas.avro.record_checks import check
from modelcast.schemas.avro.value_checks import BadValue
from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import VersionChange

SEGMENT_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a segment that are read. One is sealed at about 1 MiB of changes; its checkpoint grows with the fleet."""
MS = 1000
_NEVER = -1

Pair = tuple[str, str]
"""(model, region)."""

_COLUMNS = ("model", "region", "status", "version", "digest", "generation", "serving", "expected")
_TIMES = ("changed_ms", "confirmed_ms", "reported_ms")
_LONGS = {"type": "array", "items": "long"}
_TEXTS = {"type": "array", "items": "string"}
_ROWS = {
    "type": "record",
    "name": "Rows",
    "fields": [{"name": name, "type": _LONGS} for name in (*_COLUMNS, *_TIMES)],
}
_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "ChangesSegment",
        "namespace": "modelcast",
        "fields": [
            {"name": "registry_id", "type": "string"},
            {"name": "topic_id", "type": "string"},
            {"name": "first_offset", "type": "long"},
            {"name": "end_offset", "type": "long"},
            {"name": "lost_before", "type": "boolean"},
            {"name": "names", "type": _TEXTS},
            {"name": "digests", "type": _TEXTS},
            {"name": "statuses", "type": _TEXTS},
            {"name": "checkpoint", "type": _ROWS},
            {"name": "changes", "type": "Rows"},
        ],
    }
)


@dataclass(frozen=True, slots=True)
class ChangesSegment:
    """Changes of one partition, in the order of their offsets.

    Attributes:
        registry_id: whose changes.
        topic_id: the topic that they come from; a topic that was made anew counts its offsets anew.
        first_offset: of the records that it covers.
        end_offset: where the next segment begins.
        checkpoint: the last change of every pair before the first of ``changes``.
        changes: none of them repeats what was so already.
        lost_before: records between the segment before and this one were gone before they could be archived.
    """

    registry_id: str
    topic_id: str
    first_offset: int
    end_offset: int
    checkpoint: tuple[VersionChange, ...] = ()
    changes: tuple[VersionChange, ...] = ()
    lost_before: bool = False

    def ends_with(self) -> dict[Pair, VersionChange]:
        """The last change of every pair at its end."""
        return folded(self.checkpoint, self.changes)


def folded(*runs: Iterable[VersionChange]) -> dict[Pair, VersionChange]:
    """The last change of every pair."""
    return {(change.model, change.region): change for run in runs for change in run}


def lies_within(segment: ChangesSegment, before: ChangesSegment) -> bool:
    """Whether all that a segment covers is covered by one before it: a merge was cut off before it was deleted."""
    return (
        segment.topic_id == before.topic_id
        and before.first_offset <= segment.first_offset
        and segment.end_offset <= before.end_offset
    )


def content(change: VersionChange) -> tuple[object, ...]:
    """What a change says is so; two in a row that say the same are one."""
    return (change.status, change.version, change.manifest_digest, change.generation)


def encode_segment(segment: ChangesSegment) -> bytes:
    """A segment's bytes."""
    tables = _Tables()
    row = {
        "registry_id": segment.registry_id,
        "topic_id": segment.topic_id,
        "first_offset": segment.first_offset,
        "end_offset": segment.end_offset,
        "lost_before": segment.lost_before,
        "checkpoint": tables.columns(segment.checkpoint),
        "changes": tables.columns(segment.changes),
        "names": list(tables.names),
        "digests": list(tables.digests),
        "statuses": list(tables.statuses),
    }
    out = BytesIO()
    fastavro.writer(out, _SCHEMA, [row], codec="deflate", codec_compression_level=9, sync_marker=bytes(16))
    return out.getvalue()


def decode_segment(body: bytes, subject: str) -> ChangesSegment:
    """The segment that ``body`` holds.

    Raises:
        ContentError: it holds none.
    """
    try:
        (row,) = islice(fastavro.reader(BytesIO(body), reader_schema=_SCHEMA), 2)
        row = cast(dict[str, Any], row)
        registry_id = row["registry_id"]

        def changes(name: str) -> tuple[VersionChange, ...]:
            return tuple(_changes(registry_id, row[name], row["names"], row["digests"], row["statuses"]))

        return ChangesSegment(
            registry_id,
            row["topic_id"],
            row["first_offset"],
            row["end_offset"],
            changes("checkpoint"),
            changes("changes"),
            row["lost_before"],
        )
    except BadValue as error:
        raise ContentError(f"no segment of changes: {error}", subject=subject, hint=_HINT) from None
    except Exception as error:  # fastavro raises whatever its Python was doing at the time
        told = f"no segment of changes: {type(error).__name__}: {error}"
        raise ContentError(told[:300], subject=subject, hint=_HINT) from None


_HINT = "it was damaged: put it back from a copy of the store"


@dataclass(slots=True)
class _Tables:
    """Texts by number, as they are met."""

    names: dict[str, int] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=lambda: {"": 0})
    statuses: dict[str, int] = field(default_factory=dict)

    def columns(self, changes: Sequence[VersionChange]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in (*_COLUMNS, *_TIMES)}
        before_ms = 0
        for change in changes:
            changed_ms = change.changed_at_us // MS
            row = (
                self.names.setdefault(change.model, len(self.names)),
                self.names.setdefault(change.region, len(self.names)),
                self.statuses.setdefault(change.status, len(self.statuses)),
                change.version or 0,
                self.digests.setdefault(change.manifest_digest, len(self.digests)),
                change.generation,
                change.pods_serving,
                change.pods_expected,
                changed_ms - before_ms,
                _age(changed_ms, change.confirmed_at_us),
                _age(changed_ms, change.reported_at_us),
            )
            before_ms = changed_ms
            for name, value in zip((*_COLUMNS, *_TIMES), row, strict=True):
                found[name].append(value)
        return found


def _age(changed_ms: int, at_us: int) -> int:
    """How long before a change something was, zigzagged: a region's clock may be ahead. ``_NEVER``: it never was."""
    if not at_us:
        return _NEVER
    age = changed_ms - at_us // MS
    return 2 * age if age >= 0 else -2 * age - 1


def _at(changed_ms: int, age: int) -> int:
    if age == _NEVER:
        return 0
    return (changed_ms - (age // 2 if age % 2 == 0 else -(age + 1) // 2)) * MS


def _changes(
    registry_id: str,
    rows: Mapping[str, Sequence[int]],
    names: Sequence[str],
    digests: Sequence[str],
    statuses: Sequence[str],
) -> Iterator[VersionChange]:
    changed_ms = 0
    for row in zip(*(rows[name] for name in (*_COLUMNS, *_TIMES)), strict=True):
        model, region, status, version, digest, generation, serving, expected, step_ms, confirmed, reported = row
        if min(model, region, status, digest) < 0:
            raise IndexError("a text's number is negative")
        changed_ms += step_ms
        change = VersionChange(
            registry_id,
            names[model],
            names[region],
            statuses[status],
            changed_ms * MS,
            _at(changed_ms, confirmed),
            version or None,
            digests[digest],
            generation,
            serving,
            expected,
            _at(changed_ms, reported),
        )
        check(change)
        yield change
