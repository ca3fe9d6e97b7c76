"""How long to wait before the next attempt: one rule for all who try again by themselves."""

DOUBLINGS_MAX = 30
"""More overflow nothing and change nothing: every bound is reached before."""


def backoff_seconds(first: float, failures: int, longest: float = float("inf")) -> float:
    """Seconds to wait after ``failures`` failures in a row: ``first``, then doubling, never more than ``longest``.

    Jitter is the caller's: a pure decider draws it from names, others at random.
    """
    return min(longest, first * 2.0 ** min(max(failures - 1, 0), DOUBLINGS_MAX))
