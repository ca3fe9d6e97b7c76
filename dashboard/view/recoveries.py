"""What was wrong and is well again: a problem is over once no pair that it was about is in any trouble."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import Pair
from modelcast.dashboard.view.problems import FoundProblem, Problem
from modelcast.schemas.statuses import TROUBLE, Status, rank

KEPT_MAX = 1_000
"""So many problems are followed; of more, those that began first."""


@dataclass(slots=True)
class _Followed:
    """A problem as it was at its worst, and every pair that it was ever about: (model, region)."""

    worst: Problem
    pairs: set[tuple[str, str]] = field(default_factory=set)

    def take(self, problem: Problem, pairs: Sequence[Pair]) -> None:
        if rank(problem.status) <= rank(self.worst.status):
            self.worst = problem
        self.pairs.update((pair.model, pair.row.region) for pair in pairs)


class Recoveries:
    """Follows problems until they are over.

    A line that vanishes has not recovered by that: its pairs may stand in another line, by a worse status or as part of
    a region's; of a consumer group, a probe or a candidate nothing may be known now. A rollout is no problem, so its
    end is no recovery.
    """

    def __init__(self) -> None:
        self._followed: dict[str, _Followed] = {}

    def look(
        self, found: Iterable[FoundProblem], overview: Overview, undecided: Callable[[Problem], bool] = lambda _: False
    ) -> list[Problem]:
        """The problems that are over since the last look, each as it was at its worst.

        Args:
            found: all that is wrong now.
            overview: how all pairs stand now.
            undecided: whether the line of a problem may be missing because nothing is known of it now.
        """
        here = set()
        for problem, pairs in found:
            followed = self._followed.get(problem.id)
            if followed is None and (rank(problem.status) >= rank(Status.LAG) or len(self._followed) >= KEPT_MAX):
                continue
            if followed is None:
                followed = self._followed[problem.id] = _Followed(problem)
            followed.take(problem, pairs)
            here.add(problem.id)
        over: list[Problem] = []
        for id_ in self._followed.keys() - here:
            followed = self._followed[id_]
            if undecided(followed.worst):
                continue
            left = [pair for model, region in followed.pairs if (pair := _pair(overview, model, region)) is not None]
            if any(pair.status in TROUBLE for pair in left):
                continue
            del self._followed[id_]
            if left or not followed.pairs:  # else all that it was about is gone
                over.append(followed.worst)
        return sorted(over, key=lambda problem: (rank(problem.status), problem.id))


def _pair(overview: Overview, model: str, region: str) -> Pair | None:
    view = overview.models.get(model)
    pair = view.pairs.get(region) if view is not None else None
    return pair if pair is not None and pair.counted else None
