"""Whether a problem grows or shrinks: how many pairs it had at the last looks, or how fast its bytes come."""

from collections import deque
from collections.abc import Iterable, Mapping

from modelcast.dashboard.view.problems import Problem

SAMPLES = 24
SAMPLE_SECONDS = 10.0


class Trends:
    """The last samples of each problem, by its id, oldest first."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[float]] = {}
        self._next_at = 0.0

    def sample(self, found: Iterable[Problem], now: float) -> None:
        """Note the problems that there are, every ``SAMPLE_SECONDS``; those that are gone are forgotten."""
        if now < self._next_at:
            return
        self._next_at = now + SAMPLE_SECONDS
        before, self._samples = self._samples, {}
        for problem in found:
            kept = before.get(problem.id) or deque(maxlen=SAMPLES)
            kept.append(_figure(problem))
            self._samples[problem.id] = kept

    def of(self, found: Iterable[Problem]) -> Mapping[str, tuple[float, ...]]:
        """The samples of these problems; of those that were seen once only, none."""
        return {p.id: tuple(kept) for p in found if len(kept := self._samples.get(p.id, ())) > 1}


def _figure(problem: Problem) -> float:
    return problem.bytes_per_second if problem.pairs == 1 and problem.bytes_planned else float(problem.pairs)
