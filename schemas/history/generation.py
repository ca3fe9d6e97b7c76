"""How one generation of a model went, once it is over: what each region did when, and who was slowest. Pure."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import RegionState, StageSpan, VersionState
from modelcast.schemas.statuses import counts, serves_aspired

FORMAT = 1
RECORD_SIZE_MAX = 4 * 1024 * 1024
SERVED, SUPERSEDED = "served", "superseded"
_WHOLE = ("wait", "fetch", "load")


@dataclass(frozen=True, slots=True)
class RegionRollout:
    """One region: when each stage ran, in milliseconds from ``since_us`` on the region's own clock."""

    region: str
    state: str
    served_version: int | None
    left_out: str
    since_us: int
    spans: tuple[StageSpan, ...]
    way: str
    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    pods: int
    error: str

    @property
    def took_ms(self) -> int | None:
        """Until its last stage ended; None: one has not."""
        ends = [span.ended_ms for span in self.spans]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """One generation.

    Attributes:
        version: the newest that a counted region should serve by it; None: none.
        how: "served": by every counted region; "superseded": a newer one came before.
        over_us: when the tracker knew, its clock.
        regions: by name.
        p50_ms: of the regions that served it, from reading the log to the last read-back.
        slowest: the region that took longest.
        slowest_stage: where it spent most of that.
    """

    model: str
    generation: int
    version: int | None
    how: str
    over_us: int
    regions: tuple[RegionRollout, ...]
    p50_ms: int | None
    p95_ms: int | None
    last_ms: int | None
    slowest: str
    slowest_stage: str


def newest_generation(state: VersionState) -> int:
    """The generation that was last set for a counted region; 0: none."""
    return max((row.aspired_generation for row in state.regions if counts(row)), default=0)


def is_served(state: VersionState) -> bool:
    """Whether every counted region serves what it should."""
    counted = [row for row in state.regions if counts(row)]
    return bool(counted) and all(row.serves and serves_aspired(row) for row in counted)


def rollout_record(state: VersionState, how: str, over_us: int) -> GenerationRecord:
    """The newest generation of a state as a record."""
    generation = newest_generation(state)
    rows = [row for row in state.regions if row.aspired_generation == generation]
    regions = tuple(_region(row) for row in rows)
    served = {row.region for row in rows if serves_aspired(row)}
    took = {each.region: each.took_ms for each in regions if each.region in served}
    times = sorted(ms for ms in took.values() if ms is not None)
    slowest = max((each for each in regions if took.get(each.region) is not None), key=_took, default=None)
    return GenerationRecord(
        state.model,
        generation,
        max((row.aspired_version for row in rows if row.aspired_version is not None), default=None),
        how,
        over_us,
        regions,
        _share(times, 0.5),
        _share(times, 0.95),
        times[-1] if times else None,
        slowest.region if slowest else "",
        _longest_stage(slowest.spans) if slowest else "",
    )


def _region(row: RegionState) -> RegionRollout:
    return RegionRollout(
        row.region,
        row.state.value if row.state else "",
        row.served_version,
        row.left_out,
        row.spans_since_us,
        row.spans,
        row.way,
        row.bytes_moved,
        row.bytes_saved,
        row.bytes_total,
        row.pods_expected,
        row.error,
    )


def _took(region: RegionRollout) -> int:
    return region.took_ms or 0


def _longest_stage(spans: Iterable[StageSpan]) -> str:
    """The stage that took most of the time; within a fetch, the part that did, if that is most of it."""
    took = {span.stage: (span.ended_ms or span.begun_ms) - span.begun_ms for span in spans}
    whole = {stage: ms for stage, ms in took.items() if stage in _WHOLE}
    longest = max(whole, key=lambda stage: whole[stage], default="")
    parts = {stage: ms for stage, ms in took.items() if stage not in _WHOLE}
    part = max(parts, key=lambda stage: parts[stage], default="")
    return f"fetch: {part}" if longest == "fetch" and part and parts[part] > whole["fetch"] / 2 else longest


def _share(ordered: Sequence[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


# --- bytes -------------------------------------------------------------------------------------------------------


def encode_generation(record: GenerationRecord) -> bytes:
    """A record's bytes: JSON, gzipped; regions in columns and stages by number, so that equals lie together."""
    stages = sorted({span.stage for region in record.regions for span in region.spans})
    number = {stage: place for place, stage in enumerate(stages)}
    body = {
        "format": FORMAT,
        **{name: getattr(record, name) for name in _HEAD},
        "stages": stages,
        "regions": {name: [getattr(region, name) for region in record.regions] for name in _COLUMNS},
        "spans": _columns_of(record.regions, number),
    }
    return gzip.compress(json.dumps(body, separators=(",", ":")).encode(), 9, mtime=0)


def decode_generation(body: bytes, subject: str) -> GenerationRecord:
    """The record that ``body`` holds.

    Raises:
        ContentError: it holds none.
    """
    try:
        read = json.loads(gzip.decompress(body))
        if read["format"] != FORMAT:
            raise ValueError("a newer modelcast may have written it")
        return GenerationRecord(**{name: read[name] for name in _HEAD}, regions=tuple(_regions(read)))
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        told = f"no record of a generation: {type(error).__name__}: {error}"
        raise ContentError(told[:300], subject=subject, hint="it was damaged: nothing rests on it") from None


_HEAD = (
    "model", "generation", "version", "how", "over_us", "p50_ms", "p95_ms", "last_ms", "slowest", "slowest_stage",
)  # fmt: skip
_COLUMNS = (
    "region", "state", "served_version", "left_out", "since_us", "way", "bytes_moved", "bytes_saved", "bytes_total",
    "pods", "error",
)  # fmt: skip


_SPAN = ("stage", "gap", "took", "idle")


def _regions(read: Mapping[str, Any]) -> Iterable[RegionRollout]:
    columns, stages, spans = read["regions"], read["stages"], read["spans"]
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    stretches = zip(*(spans[name] for name in _SPAN), strict=True)
    for row, count in zip(rows, spans["count"], strict=True):
        at, found = 0, []
        for number, gap, took, idle in islice(stretches, count):
            begun = at + gap
            at = begun + (took or 0)
            found.append(StageSpan(stages[number], begun, None if took is None else at, (took or 0) - idle))
        yield RegionRollout(**dict(zip(_COLUMNS, row, strict=True)), spans=tuple(found))


def _columns_of(regions: Iterable[RegionRollout], number: Mapping[str, int]) -> dict[str, list[int | None]]:
    """All spans in columns: from the end of the one before, how long, and how much of that without work."""
    found: dict[str, list[int | None]] = {name: [] for name in ("count", *_SPAN)}
    for region in regions:
        at = 0
        found["count"].append(len(region.spans))
        for span in region.spans:
            took = None if span.ended_ms is None else span.ended_ms - span.begun_ms
            row = (number[span.stage], span.begun_ms - at, took, (took or 0) - span.busy_ms)
            for name, value in zip(_SPAN, row, strict=True):
                found[name].append(value)
            at = span.begun_ms + (took or 0)
    return found
