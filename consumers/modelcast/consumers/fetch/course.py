"""The ways of all files together: what they cost, how to say it, and whether to wait for a better one. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.ways import FilePlan, Kind, Option
from modelcast.schemas.records import DeltaHint

WAIT_SECONDS_MAX = 30.0
WAIT_SECONDS_MIN = 1.0
"""Less is not worth a look at the store."""
SAVING_SHARE_MIN = 0.4
"""What a delta that was foretold must save of the time, before anybody waits for it."""
GOOD_ENOUGH = 1.3
"""A plan this much slower than the one foretold is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class Kin:
    """What the log says of other versions of a model.

    Attributes:
        version: the one wanted.
        hints: the deltas that its publication foretold.
        digests: manifest digests by version.
    """

    version: int = 0
    hints: tuple[DeltaHint, ...] = ()
    digests: Mapping[int, str] = field(default_factory=dict)


def seconds_of(files: Sequence[FilePlan]) -> float:
    """What the chosen ways are predicted to take, one after the other."""
    return sum(file.chosen.seconds for file in files)


def origin_bytes_of(files: Sequence[FilePlan]) -> int:
    """What the chosen ways bring over the long link."""
    return sum(file.chosen.origin_bytes for file in files)


def patience(files: Sequence[FilePlan], usable: Sequence[DeltaHint], speeds: Speeds) -> tuple[float, float]:
    """How many seconds to wait for a delta that was foretold, and how fast a plan need not be waited for.

    At most half of what it would save: whoever waits in vain loses little. Without a measured link nobody waits.

    Args:
        files: the plan without it.
        usable: what was foretold and starts from a version that is held, or from nothing.
        speeds: measured.
    """
    now = seconds_of(files)
    if not usable or not speeds.measured:
        return 0.0, now
    size = sum(file.file.size_bytes for file in files)
    best = min(speeds.by_delta(hint.size_bytes, size, has_base=hint.base_version > 0) for hint in usable)
    saving = now - best
    wait = min(WAIT_SECONDS_MAX, saving / 2)
    if saving < SAVING_SHARE_MIN * now or wait < WAIT_SECONDS_MIN:
        return 0.0, now
    return wait, best * GOOD_ENOUGH


def in_words(chosen: Sequence[Option], versions: Mapping[str, int]) -> str:
    """The ways of an artifact's files for people, as in "3 files unchanged, 1 delta from 3".

    Args:
        chosen: one a file.
        versions: which version a base file belongs to.
    """
    counts = Counter(_words(option, versions) for option in chosen)
    if not counts:
        return "nothing to move"
    ordered = sorted(counts.items(), key=lambda item: (_RANK.index(item[0][0]), item[0]))
    if len(chosen) == 1:
        return ordered[0][0][1]
    return ", ".join(f"{count} {_many(words, count)}" for (_, words), count in ordered)


def main_kind(chosen: Sequence[Option]) -> Kind:
    """The way that brings most over the long link; where nothing does, the furthest that was gone."""
    return max(chosen, key=lambda option: (option.origin_bytes, _RANK.index(option.kind)), default=_NOTHING).kind


def _words(option: Option, versions: Mapping[str, int]) -> tuple[Kind, str]:
    source = f" from {versions[option.base]}" if option.base in versions else ""
    rest = _REST if option.goes_on else ""
    words = {
        Kind.CACHE: "unchanged",
        Kind.REGION: "from the region",
        Kind.DELTA: f"{rest}delta{source}",
        Kind.CHAIN: f"{rest}chain of {len(option.offers)} deltas{source}",
        Kind.PACKED: f"{rest}compressed whole",
        Kind.BLOCKS: "in changed blocks",
        Kind.RESUMED: "resumed whole" if option.origin_bytes else "brought before",
        Kind.WHOLE: "whole",
    }
    return option.kind, words[option.kind]


def _many(words: str, count: int) -> str:
    if count == 1:
        return words
    if words.startswith(_REST):
        return "rests of " + _many(words.removeprefix(_REST), count)
    for one, many in (("chain", "chains"), ("delta", "deltas")):
        if words.startswith(one):
            return many + words.removeprefix(one)
    return words + "s" if words.endswith("whole") else words


_REST = "rest of a "
_NOTHING = Option(Kind.CACHE, 0, 0.0, 0.0)
_RANK = (Kind.CACHE, Kind.REGION, Kind.DELTA, Kind.CHAIN, Kind.PACKED, Kind.BLOCKS, Kind.RESUMED, Kind.WHOLE)
