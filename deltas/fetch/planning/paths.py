"""The planner: for every file of an artifact, the ways to it, cheapest first. Pure.

Files are the nodes of a graph, known by their digests; an offered delta is an edge from the file that it needs to the
file that it makes (a compressed whole starts at nothing, which everybody has). The cheapest chain to a file is the
shortest path from anything held (Dijkstra). The whole always stands last: it needs nothing but the store.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from modelcast.consumers.fetch.planning.steps import Step, Way
from modelcast.deltas.fetch.planning.costs import Speeds, risk_of
from modelcast.schemas.manifest import FileEntry

CHAIN_MAX = 8
OPTIONS_MAX = 8
NOTHING_HELD = ""
"""The node where compressed wholes start."""


class Detour(StrEnum):
    """A way by deltas."""

    DELTA = "delta"  # one, and its base
    CHAIN = "chain"  # several, one after the other
    COMPRESSED = "compressed"  # a compressed whole, or a chain that starts with one


_RANK = {way: number for number, way in enumerate(Detour)}


@dataclass(frozen=True, slots=True)
class Offer:
    """A delta in the store: makes the file ``new`` of the file ``old`` (None: of nothing). Never trusted.

    Attributes:
        here_bytes: what an interrupted attempt left of it on this machine.
    """

    new: str
    old: str | None
    size_bytes: int
    key: str
    etag: str = ""
    here_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """What it would still bring over the long link."""
        return max(0, self.size_bytes - self.here_bytes)

    @property
    def rank(self) -> tuple[str, str, int, str, str]:
        """Puts offers into one order, however they were listed."""
        return (self.new, self.old or NOTHING_HELD, self.size_bytes, self.key, self.etag)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is held: file digest → size in bytes. A base that only the regional bucket has must be brought first."""

    cached: Mapping[str, int] = field(default_factory=dict)
    regional: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to one file, with what it is predicted to cost.

    Attributes:
        offers: the deltas to apply, in order.
        base: the digest of the file that the first is applied to; "" for none.
        base_in_region: the base has to come from the regional bucket.
        origin_bytes: over the long link.
        seconds: until the file is here and verified.
        score: seconds, and what is put on top for what may fail; the lowest wins.
    """

    way: Way | Detour
    origin_bytes: int
    seconds: float
    score: float
    offers: tuple[Offer, ...] = ()
    base: str = ""
    base_in_region: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether an earlier attempt left something of the deltas."""
        return any(offer.here_bytes for offer in self.offers)

    @property
    def risk_seconds(self) -> float:
        """What stands on top of the seconds for what may fail."""
        return self.score - self.seconds


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The ways to one file, cheapest first; the last needs no delta. ``dropped`` lead there too, and do not pay."""

    file: FileEntry
    options: tuple[Option, ...]
    dropped: tuple[Option, ...] = ()

    @property
    def chosen(self) -> Option:
        """The cheapest."""
        return self.options[0]


def plan_files(wanted: Iterable[Step], held: Holdings, offers: Iterable[Offer], speeds: Speeds) -> tuple[FilePlan, ...]:
    """The ways to each file of ``wanted``, in its order.

    Args:
        wanted: each as the road would bring it.
    """
    files = list(wanted)
    sizes = {**held.regional, **held.cached, **{w.file.digest: w.file.size_bytes for w in files}}
    graph = _Graph(held, offers, speeds, sizes)
    return tuple(_plan(w, held, graph, speeds) for w in files)


def _plan(wanted: Step, held: Holdings, graph: "_Graph", speeds: Speeds) -> FilePlan:
    file = wanted.file
    here = speeds.on_disk(file.size_bytes)
    if file.digest in held.cached:
        return FilePlan(file, (Option(Way.CACHE, 0, here, here),))
    if file.digest in held.regional:
        seconds = speeds.from_the_region(file.size_bytes)
        return FilePlan(file, (Option(Way.REGION, 0, seconds, seconds),))
    whole = _whole(wanted, speeds)
    rebuilt = sorted((_rebuilt(path, wanted, whole, graph, speeds) for path in graph.paths_to(file.digest)), key=_order)
    better = [option for option in rebuilt if option.score < whole.score]
    return FilePlan(file, (*better[:OPTIONS_MAX], whole), tuple(rebuilt[len(better[:OPTIONS_MAX]) :]))


def _whole(wanted: Step, speeds: Speeds) -> Option:
    seconds = speeds.over_the_link(wanted.origin_bytes) + speeds.on_disk(wanted.local_bytes)
    return Option(wanted.way, wanted.origin_bytes, seconds, seconds)


def _rebuilt(path: Sequence[Offer], wanted: Step, whole: Option, graph: "_Graph", speeds: Speeds) -> Option:
    base = path[0].old or NOTHING_HELD
    seconds = graph.start_seconds(base) + sum(graph.seconds_of(offer) for offer in path)
    left = sum(offer.left_bytes for offer in path)
    risked = left / max(1, sum(offer.size_bytes for offer in path))  # what has come before is not lost once more
    way = Detour.COMPRESSED if not base else Detour.DELTA if len(path) == 1 else Detour.CHAIN
    return Option(
        way,
        left,
        seconds,
        seconds + risked * risk_of(len(path), has_base=bool(base)) * whole.seconds,
        tuple(path),
        base,
        bool(base) and graph.must_be_brought(base),
    )


def _order(option: Option) -> tuple[object, ...]:
    return (option.score, option.origin_bytes, _RANK[Detour(option.way)], tuple(offer.rank for offer in option.offers))


class _Graph:
    """The cheapest chain from what is held to every file that deltas lead to."""

    def __init__(self, held: Holdings, offers: Iterable[Offer], speeds: Speeds, sizes: Mapping[str, int]) -> None:
        self._held = held
        self._speeds = speeds
        self._sizes = sizes
        self._size_guessed = max(sizes.values(), default=0)  # of files that only a chain passes through
        self._into: dict[str, list[Offer]] = {}
        self._from: dict[str, list[Offer]] = {}
        for offer in sorted(set(offers), key=lambda offer: offer.rank):
            if offer.new != (offer.old or NOTHING_HELD) and offer.size_bytes >= 0:
                self._into.setdefault(offer.new, []).append(offer)
                self._from.setdefault(offer.old or NOTHING_HELD, []).append(offer)
        self._seconds: dict[str, float] = {}
        self._last: dict[str, Offer] = {}
        self._search()

    def must_be_brought(self, digest: str) -> bool:
        """Whether a base is not on this machine."""
        return digest not in self._held.cached

    def start_seconds(self, digest: str) -> float:
        """What it takes to have a base here."""
        if not digest or digest in self._held.cached:
            return 0.0
        return self._speeds.from_the_region(self._held.regional[digest])

    def seconds_of(self, offer: Offer) -> float:
        """What it takes to bring and apply one delta."""
        size = self._sizes.get(offer.new, self._size_guessed)
        return self._speeds.by_delta(offer.left_bytes, size, has_base=offer.old is not None)

    def paths_to(self, digest: str) -> Iterable[tuple[Offer, ...]]:
        """One chain for each delta that makes the file: the cheapest that ends with it."""
        for last in self._into.get(digest, ()):
            chain = self._chain(last.old or NOTHING_HELD, without=digest)
            if chain is not None and len(chain) < CHAIN_MAX:
                yield (*chain, last)

    def _chain(self, digest: str, *, without: str) -> tuple[Offer, ...] | None:
        if digest not in self._seconds:
            return None
        chain: list[Offer] = []
        while (last := self._last.get(digest)) is not None:
            if digest == without:
                return None
            chain.append(last)
            digest = last.old or NOTHING_HELD
        return None if digest == without else tuple(reversed(chain))

    def _search(self) -> None:
        starts = [NOTHING_HELD, *self._held.cached, *self._held.regional]
        queue = [(self.start_seconds(digest), 0, digest) for digest in dict.fromkeys(starts) if digest in self._from]
        self._seconds = {digest: seconds for seconds, _, digest in queue}
        heapq.heapify(queue)
        done: set[str] = set()
        while queue:
            seconds, hops, digest = heapq.heappop(queue)
            if digest in done or hops >= CHAIN_MAX:
                continue
            done.add(digest)
            for offer in self._from.get(digest, ()):
                reached = seconds + self.seconds_of(offer)
                if offer.new not in done and reached < self._seconds.get(offer.new, float("inf")):
                    self._seconds[offer.new] = reached
                    self._last[offer.new] = offer
                    heapq.heappush(queue, (reached, hops + 1, offer.new))
