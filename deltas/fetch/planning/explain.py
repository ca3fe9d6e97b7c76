"""A plan with its reasons: every way that was looked at, what it costs, and why it was taken or not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelcast.consumers.fetch.planning.steps import Step, Way
from modelcast.deltas.fetch.planning.costs import Speeds
from modelcast.deltas.fetch.planning.labels import labelled
from modelcast.deltas.fetch.planning.paths import Detour, FilePlan, Holdings, Offer, Option, plan_files
from modelcast.schemas.manifest import FileEntry


@dataclass(frozen=True, slots=True)
class Considered:
    """One way to one file.

    Attributes:
        label: the way in words.
        origin_bytes: over the long link.
        seconds: predicted; None: it leads nowhere.
        risk_seconds: on top, for what may fail. The least sum of both is taken; ``why`` speaks of that sum, too.
        chosen: this one is taken.
        why: or why not.
    """

    way: Way | Detour
    label: str
    origin_bytes: int
    seconds: float | None
    risk_seconds: float | None
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explained:
    """The ways to one file, the one taken first."""

    path: str
    size_bytes: int
    ways: tuple[Considered, ...]


def explain(
    wanted: Sequence[Step],
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
        needed = plan.chosen.way not in {Way.CACHE, Way.REGION}
        ways += [
            _left_out(offer, have, versions)
            for offer in sorted(offers, key=lambda offer: offer.rank)
            if needed and offer.new == plan.file.digest and offer not in used
        ]
        explained.append(Explained(plan.file.path, plan.file.size_bytes, tuple(ways)))
    return plans, tuple(explained)


def _considered(option: Option, best: Option, versions: Mapping[str, int], *, place: int) -> Considered:
    if option.way is Way.CACHE:
        why = "the bytes are here already"
    elif option.way is Way.REGION:
        why = "the region's bucket holds it"
    elif place:
        why = _compared(option, best)
    elif option.way is Way.BLOCKS:
        why = "other blocks are here already"
    elif isinstance(option.way, Way):
        why = "nothing costs less"
    else:
        why = f"costs least: {option.seconds:.2f} s + {option.risk_seconds:.2f} s risk"
    if option.base_in_region:
        why += "; its base is read from the region's bucket"
    return _explained(option, versions, why, chosen=place == 0)


def _dropped(option: Option, whole: Option, versions: Mapping[str, int]) -> Considered:
    if option.score < whole.score:
        return _explained(option, versions, "enough others cost less")
    return _explained(option, versions, _compared(option, whole, " than the whole"))


def _compared(option: Option, better: Option, than: str = "") -> str:
    more, sooner = option.score - better.score, better.seconds - option.seconds
    if sooner <= 0:
        return f"costs {more:.2f} s more{than}"
    risk = option.risk_seconds - better.risk_seconds
    return f"{sooner:.2f} s sooner{than}, but {risk:.2f} s more risk: a failure would cost more than that saves"


def _explained(option: Option, versions: Mapping[str, int], why: str, *, chosen: bool = False) -> Considered:
    return Considered(
        option.way, _in_words(option, versions), option.origin_bytes, option.seconds, option.risk_seconds, chosen, why
    )


def _left_out(offer: Offer, have: set[str], versions: Mapping[str, int]) -> Considered:
    way = Detour.DELTA if offer.old else Detour.COMPRESSED
    words = _in_words(Option(way, 0, 0.0, 0.0, (offer,), offer.old or ""), versions)
    known = not offer.old or offer.old in have
    whose = f" of version {versions[offer.old]}" if offer.old and offer.old in versions else ""
    why = "not looked at" if known else f"its base{whose} is not held, and nothing leads there"
    return Considered(way, words, offer.size_bytes, None, None, chosen=False, why=why)


def _in_words(option: Option, versions: Mapping[str, int]) -> str:
    way = option.way if isinstance(option.way, Way) else Way.ACCELERATED
    return labelled(Step(_ANY_FILE, way), option, versions).label.one


_ANY_FILE = FileEntry("", 0, "", ())
