"""Where deltas are looked for, and how long one that was announced is waited for. Pure."""

from collections.abc import Iterable, Sequence

from modelcast.consumers.fetch.planning.candidates import BaseCandidates
from modelcast.deltas.fetch.planning.costs import Speeds
from modelcast.deltas.fetch.planning.paths import FilePlan, Offer
from modelcast.schemas.manifest import FileEntry
from modelcast.schemas.records import DeltaHint

WAIT_SECONDS_MAX = 30.0
WAIT_SECONDS_MIN = 1.0
"""Less is not worth a look at the store."""
SAVING_SHARE_MIN = 0.4
"""What a delta that was announced must save of the time, as a share, before a fetch waits for it."""
GOOD_ENOUGH = 1.3
"""A plan this much slower than the expected one is not waited for any longer."""
BETWEEN_MAX = 4
"""How many versions between the one held and the one wanted are asked for deltas that make a chain."""
OLDER_MAX = 8
"""How many versions before the one wanted are asked for compressed wholes of files that stayed the same since."""
LOOK_ODDS = 0.25
"""Estimated probability that a listing finds a delta that was not announced."""
COMPRESSED_SAVING = 0.2
"""What a compressed whole saves at least, or a publisher would rarely keep it."""


def between(candidates: BaseCandidates, held: int) -> list[str]:
    """Manifest digests of versions after the one ``held`` and before the one wanted, the newest few first."""
    return _before(candidates, held)[:BETWEEN_MAX]


def older(candidates: BaseCandidates, held: int, asked: Iterable[str]) -> list[str]:
    """Manifest digests of versions after the one ``held`` (0: none), less those ``asked``, the newest few first.

    Files that a version shares with an earlier one were compressed when they were new, and lie under that one's digest.
    """
    known = set(asked)
    return [digest for digest in _before(candidates, held)[:OLDER_MAX] if digest not in known]


def _before(candidates: BaseCandidates, held: int) -> list[str]:
    versions = sorted(candidates.digests, reverse=True)
    return [candidates.digests[v] for v in versions if held < v < candidates.version]


def unoffered(files: Iterable[FileEntry], offers: Iterable[Offer]) -> int:
    """How many bytes the files have that no offer makes."""
    made = {offer.new for offer in offers}
    return sum(file.size_bytes for file in files if file.digest not in made)


def worth_a_look(size_bytes: int, speeds: Speeds) -> bool:
    """Whether to ask what the store offers, where no delta was announced and no base is held.

    Then only compressed wholes can help: they save a part of what ``size_bytes`` take, if there are any.
    """
    return LOOK_ODDS * COMPRESSED_SAVING * speeds.over_the_link(size_bytes, requests=0) > speeds.origin_request_seconds


def transfer_seconds(files: Sequence[FilePlan]) -> float:
    """What the chosen ways are predicted to take, one after the other."""
    return sum(file.chosen.seconds for file in files)


def patience(files: Sequence[FilePlan], usable: Sequence[DeltaHint], speeds: Speeds) -> tuple[float, float]:
    """How many seconds to wait for a delta that was announced, and how fast a plan need not be waited for.

    At most half of what it would save: a wait in vain costs little. Without a measured link there is no wait.

    Args:
        files: the plan without it.
        usable: what was announced and starts from a version that is held, or from nothing.
        speeds: measured.
    """
    now = transfer_seconds(files)
    if not usable or not speeds.measured:
        return 0.0, now
    size = sum(file.file.size_bytes for file in files)
    best = min(speeds.by_delta(hint.size_bytes, size, has_base=hint.base_version > 0) for hint in usable)
    saving = now - best
    wait = min(WAIT_SECONDS_MAX, saving / 2)
    if saving < SAVING_SHARE_MIN * now or wait < WAIT_SECONDS_MIN:
        return 0.0, now
    return wait, best * GOOD_ENOUGH
