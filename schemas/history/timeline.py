"""What a region served at a time, from its changes: confirmed, between two reports, or unknown; and why. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelcast.schemas.history.segments import content
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from modelcast.schemas.statuses import Status


class Certainty(StrEnum):
    """How well it is known what was served at a time."""

    CONFIRMED = "CONFIRMED"
    """Reports before and after agree."""
    BETWEEN = "BETWEEN"
    """It changed between two reports."""
    UNKNOWN = "UNKNOWN"
    """The region was silent, no tracker ran, or nothing was recorded."""


@dataclass(frozen=True, slots=True)
class ServedAt:
    """What a region served of a model at a time.

    Attributes:
        at_us: the time that was asked for, UTC microseconds.
        change: what was so by the last report before it; None: there is none.
        after: what was so by the next report, where it says something else.
        from_us: since when this is how it is known; 0: since ever.
        until_us: until when; 0: it is not over, as far as is archived.
        why: why it is not known, for people; "" if it is.
    """

    region: str
    at_us: int
    certainty: Certainty
    change: VersionChange | None
    after: VersionChange | None = None
    from_us: int = 0
    until_us: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is archived of one model.

    Attributes:
        changes: in their order; those of ``ALL_OF_THEM`` tell when no tracker spoke.
        through_us: all changes up to then are archived.
    """

    changes: tuple[VersionChange, ...]
    through_us: int


def regions_of_changes(changes: Iterable[VersionChange]) -> tuple[str, ...]:
    """The regions that they speak of, sorted."""
    return tuple(sorted({change.region for change in changes} - {ALL_OF_THEM}))


def served_at(recorded: Recorded, region: str, at_us: int) -> ServedAt:
    """What ``region`` served at ``at_us``."""
    own = [change for change in recorded.changes if change.region == region]
    earlier = [change for change in own if change.changed_at_us <= at_us]
    last = earlier[-1] if earlier else None
    quiet = _quiet(recorded.changes, at_us)
    if quiet is not None:
        return ServedAt(region, at_us, Certainty.UNKNOWN, last, None, *quiet, "no tracker reported the model")
    following = next((c for c in own[len(earlier) :] if last is None or serves(c) != serves(last)), None)
    if last is None:
        until_us = following.changed_at_us if following else 0
        return ServedAt(region, at_us, Certainty.UNKNOWN, None, following, 0, until_us, "nothing was recorded before")
    begun_us = _begun(earlier).changed_at_us
    end_us = following.changed_at_us if following else 0
    if last.status == Status.SILENT:
        since_us = _begun(earlier).confirmed_at_us or begun_us
        return ServedAt(region, at_us, Certainty.UNKNOWN, last, following, since_us, end_us, "the region was silent")
    if following is None:
        if at_us <= recorded.through_us:
            return ServedAt(region, at_us, Certainty.CONFIRMED, last, None, begun_us, 0)
        told = "it is not recorded yet"
        return ServedAt(region, at_us, Certainty.UNKNOWN, last, None, recorded.through_us, 0, told)
    confirmed_us = max(begun_us, following.confirmed_at_us)
    if at_us <= confirmed_us:
        return ServedAt(region, at_us, Certainty.CONFIRMED, last, None, begun_us, confirmed_us)
    if following.status == Status.SILENT:
        after = next((c for c in own if c.changed_at_us > end_us and c.status != Status.SILENT), None)
        back_us = after.changed_at_us if after else 0
        return ServedAt(region, at_us, Certainty.UNKNOWN, last, after, confirmed_us, back_us, "the region was silent")
    return ServedAt(region, at_us, Certainty.BETWEEN, last, following, confirmed_us, end_us)


def serves(change: VersionChange) -> tuple[object, ...]:
    """What is served by a change, and whether that is known."""
    return (change.status == Status.SILENT, change.version, change.manifest_digest)


def is_news(change: VersionChange, before: VersionChange | None) -> bool:
    """Whether a change says anything that the last one of its pair does not."""
    if before is None:
        return True
    if change.region == ALL_OF_THEM:
        return before.changed_at_us < change.changed_at_us
    return content(before) != content(change)


def _begun(earlier: Sequence[VersionChange]) -> VersionChange:
    """The first of the last ones in a row that serve the same."""
    begun = earlier[-1]
    for change in reversed(earlier):
        if serves(change) != serves(begun):
            break
        begun = change
    return begun


def _quiet(changes: Iterable[VersionChange], at_us: int) -> tuple[int, int] | None:
    """The time around ``at_us`` in which no tracker spoke; None: one did."""
    for change in changes:
        if change.region == ALL_OF_THEM and change.confirmed_at_us < at_us < change.changed_at_us:
            return change.confirmed_at_us, change.changed_at_us
    return None
