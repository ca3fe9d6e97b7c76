"""The ways of all files together: what they cost, how to say it, and whether to wait for a better one. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.ways import FilePlan, Kind, Offer, Option
from modelcast.schemas.manifest import FileEntry
from modelcast.schemas.records import DeltaHint

WAIT_SECONDS_MAX = 30.0
WAIT_SECONDS_MIN = 1.0
"""Less is not worth a look at the store."""
SAVING_SHARE_MIN = 0.4
"""What a delta that was foretold must save of the time, before anybody waits for it."""
GOOD_ENOUGH = 1.3
"""A plan this much slower than the one foretold is not waited for any longer."""
BETWEEN_MAX = 4
"""How many versions between the one held and the one wanted are asked for deltas that make a chain."""
OLDER_MAX = 8
"""How many versions before the one wanted are asked for compressed wholes of files that stayed the same since."""
LOOK_ODDS = 0.25
"""How often a look at what nobody foretold finds something."""
PACKED_SAVING = 0.2
"""What a compressed whole saves at least, or a publisher would rarely keep it."""


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

    def between(self, held: int) -> list[str]:
        """Manifest digests of versions after the one ``held`` and before the one wanted, the newest few first."""
        return [self.digests[v] for v in sorted(self.digests, reverse=True) if held < v < self.version][:BETWEEN_MAX]

    def older(self, held: int, asked: Iterable[str]) -> list[str]:
        """Manifest digests of versions after the one ``held`` (0: none), less those ``asked``, the newest few first.

        Files that a version shares with an earlier one were packed when they were new, and lie under that one's digest.
        """
        known = set(asked)
        before = [self.digests[v] for v in sorted(self.digests, reverse=True) if held < v < self.version]
        return [digest for digest in before[:OLDER_MAX] if digest not in known]


def unoffered(files: Iterable[FileEntry], offers: Iterable[Offer]) -> int:
    """How many bytes the files have that no offer makes."""
    made = {offer.new for offer in offers}
    return sum(file.size_bytes for file in files if file.digest not in made)


def worth_a_look(size_bytes: int, speeds: Speeds) -> bool:
    """Whether to ask what the store offers, where nobody foretold anything and no base is held.

    Then only compressed wholes can help: they save a part of what ``size_bytes`` take, if there are any.
    """
    return LOOK_ODDS * PACKED_SAVING * speeds.over_the_link(size_bytes, requests=0) > speeds.origin_request_seconds


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
    deltas = max(0, len(option.offers) - 1)  # on top of a compressed whole
    words = {
        Kind.CACHE: "unchanged",
        Kind.REGION: "from the region",
        Kind.DELTA: f"{rest}delta{source}",
        Kind.CHAIN: f"{rest}chain of {len(option.offers)} deltas{source}",
        Kind.PACKED: f"{rest}compressed whole{_ON_TOP[min(deltas, 2)].format(deltas)}",
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
    if " + " in words:
        return f"{_many(words.partition(' + ')[0], count)} + {words.partition(' + ')[2]} each"
    for one, many in (("chain", "chains"), ("delta", "deltas")):
        if words.startswith(one):
            return many + words.removeprefix(one)
    return words + "s" if words.endswith("whole") else words


_REST = "rest of a "
_ON_TOP = ("", " + delta", " + {} deltas")
_NOTHING = Option(Kind.CACHE, 0, 0.0, 0.0)
_RANK = (Kind.CACHE, Kind.REGION, Kind.DELTA, Kind.CHAIN, Kind.PACKED, Kind.BLOCKS, Kind.RESUMED, Kind.WHOLE)
