"""A plan with its reasons: every way that was looked at, what it costs, and why it was taken or not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.course import in_words
from modelcast.consumers.fetch.ways import FilePlan, Holdings, Kind, Offer, Option, Wanted, plan_files


@dataclass(frozen=True, slots=True)
class Considered:
    """One way to one file.

    Attributes:
        way: in words.
        origin_bytes: over the long link.
        seconds: predicted; None: it leads nowhere.
        chosen: this one is taken.
        why: or why not.
    """

    kind: Kind
    way: str
    origin_bytes: int
    seconds: float | None
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explained:
    """The ways to one file, the one taken first."""

    path: str
    size_bytes: int
    ways: tuple[Considered, ...]


def explain(
    wanted: Sequence[Wanted],
    held: Holdings,
    offers: Sequence[Offer],
    speeds: Speeds,
    versions: Mapping[str, int],
) -> tuple[tuple[FilePlan, ...], tuple[Explained, ...]]:
    """The plan, and its reasons file by file.

    Args:
        versions: which version a base file belongs to.
    """
    plans = plan_files(wanted, held, offers, speeds)
    have = {*held.cached, *held.regional}
    explained = []
    for plan in plans:
        ways = [
            _considered(option, plan.options[0], versions, place=place) for place, option in enumerate(plan.options)
        ]
        ways += [_dropped(option, plan.options[-1], versions) for option in plan.dropped]
        used = {option.offers[-1] for option in (*plan.options, *plan.dropped) if option.offers}
        needed = not {Kind.CACHE, Kind.REGION} & {plan.chosen.kind}
        ways += [
            _left_out(offer, have, versions)
            for offer in sorted(offers, key=lambda offer: offer.rank)
            if needed and offer.new == plan.file.digest and offer not in used
        ]
        explained.append(Explained(plan.file.path, plan.file.size_bytes, tuple(ways)))
    return plans, tuple(explained)


def _considered(option: Option, best: Option, versions: Mapping[str, int], *, place: int) -> Considered:
    why = {
        Kind.CACHE: "the bytes are here already",
        Kind.REGION: "the region's bucket holds it",
        Kind.WHOLE: "nothing costs less" if place == 0 else _slower(option, best),
        Kind.BLOCKS: "other blocks are here already" if place == 0 else _slower(option, best),
    }.get(option.kind, "costs least" if place == 0 else _slower(option, best))
    if option.base_in_region:
        why += "; its base is read from the region's bucket"
    return Considered(option.kind, in_words([option], versions), option.origin_bytes, option.seconds, place == 0, why)


def _slower(option: Option, best: Option) -> str:
    more = option.seconds - best.seconds
    return f"{more:.2f} s more" if more > 0 else "a failed delta would cost more than it saves"


def _dropped(option: Option, whole: Option, versions: Mapping[str, int]) -> Considered:
    more = option.seconds - whole.seconds
    share = option.origin_bytes / max(whole.origin_bytes, 1)
    why = f"{more:.2f} s more than the whole" if more >= 0 else f"{share:.0%} of the whole's bytes: not worth a failure"
    return Considered(
        option.kind, in_words([option], versions), option.origin_bytes, option.seconds, chosen=False, why=why
    )


def _left_out(offer: Offer, have: set[str], versions: Mapping[str, int]) -> Considered:
    kind = Kind.DELTA if offer.old else Kind.PACKED
    words = in_words([Option(kind, 0, 0.0, 0.0, (offer,), offer.old or "")], versions)
    known = not offer.old or offer.old in have
    why = "not looked at" if known else "its base is not held, and nothing leads there"
    return Considered(kind, words, offer.size_bytes, None, chosen=False, why=why)
