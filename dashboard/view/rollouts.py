"""Versions that are on their way: how many regions serve them, and how long that took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import ModelView, Pair
from modelcast.schemas.statuses import BEHIND, LOOKS, Status, rank, worst

CLOCKS_US = 2_000_000
"""How far the store's clock and the tracker's may be apart."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One version of a model that some regions serve, and others do not yet.

    Attributes:
        model: its name.
        version: what is on its way.
        status: the worst of the regions that are behind.
        since_us: when the store received the entry, UTC microseconds.
        serving: how many counted regions serve it.
        counted: of how many.
        p50_seconds: the median of the regions that serve it; None: none does.
        p95_seconds: of 20 of them, the slowest but one.
        late_seconds: behind for longer is late.
        slowest: a region that is behind, the one for longest.
    """

    model: str
    version: int
    status: Status
    since_us: int
    serving: int
    counted: int
    p50_seconds: float | None
    p95_seconds: float | None
    late_seconds: float
    slowest: str


def rollouts(overview: Overview) -> list[Rollout]:
    """All rollouts under way, worst first; among equals, the longest under way first."""
    found = [
        each for view in overview.models.values() if view.troubled for each in _of(view, overview.limits.late_seconds)
    ]
    return sorted(found, key=lambda r: (rank(r.status), r.since_us, r.model, r.version))


def _of(view: ModelView, late_seconds: float) -> Iterable[Rollout]:
    behind: dict[int, list[Pair]] = defaultdict(list)
    done: dict[int, list[Pair]] = defaultdict(list)
    for pair in view.pairs.values():
        version = pair.row.aspired_version
        if not pair.counted or version is None:
            continue
        if pair.status in BEHIND:
            behind[version].append(pair)
        elif LOOKS[pair.status].serves_aspired:
            done[version].append(pair)
    for version, waiting in behind.items():
        slowest = min(waiting, key=lambda p: (p.row.behind_since_us or 1 << 62, p.row.region))
        since_us, served = slowest.row.behind_since_us, done[version]
        if not since_us or any(p.row.moved_at_us < since_us - CLOCKS_US for p in served):
            continue  # others served it before: this is a relapse, such as a pod that restarts
        took = sorted(max(0, p.row.moved_at_us - since_us) / 1e6 for p in served)
        yield Rollout(
            view.state.model,
            version,
            worst(p.status for p in waiting),
            since_us,
            len(served),
            sum(p.counted and p.row.aspired_version == version for p in view.pairs.values()),
            _quantile(took, 0.5),
            _quantile(took, 0.95),
            late_seconds,
            slowest.row.region,
        )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest rank's value; None of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
