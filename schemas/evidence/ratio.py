"""E-processes for a ratio of rates, for an absolute rate, and for the share of the requests.

An e-process is a bet against a null hypothesis: it starts at 1, and as long as the null is true its expectation is at
most 1 at every time. So the probability that it *ever* reaches 1/alpha is at most alpha (Ville's inequality), however
often one looks. A mean of e-processes is one, too: each test here is a mean over a fixed grid of alternatives.
Sources: Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference" (2023); Robbins,
"Statistical methods related to the law of the iterated logarithm" (1970), for the mixture; Lindon and Malek,
"Anytime-valid inference for multinomial count data" (2022), for the sample ratio.

**Ratio.** Given an error, which version? With n_b and n_c requests and rates p_c = r p_b, it is the candidate's with
probability q(r) = n_c r / (n_c r + n_b). The likelihood ratio of r against the null r0 is

    (q(r)/q(r0))^x_c  ((1 - q(r))/(1 - q(r0)))^x_b

It does not contain p_b, which may be another one in every second and stratum: bursts that hit both versions, drift and
the shape of the traffic cancel out. It is an e-value for independent requests of *any* rate, not only rare errors: its
expectation is (1 + p_c (q/q0 - 1))^n_c (1 + p_b ((1-q)/(1-q0) - 1))^n_b, and log(1 + x) <= x bounds its logarithm by
(q - q0) (n_c p_c / q0 - n_b p_b / (1 - q0)), which is 0 at p_c = r0 p_b and negative on the side of the null.
"""

from functools import lru_cache

from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.portable_math import log, units_of

WORSE = (1.25, 1.5, 2.0, 2.6, 3.4, 5.0, 8.0, 15.0, 35.0, 100.0, 300.0, 1000.0)
"""Alternatives to "at most this ratio (or rate)", as factors of it."""
BETTER = (0.15, 0.3, 0.4, 0.5, 0.62, 0.78)
"""Alternatives to "at least this ratio (or rate)", as factors of it."""
_ODDS = (1.1, 1.25, 1.6, 2.5, 6.0, 20.0)
_RATE_MAX = 0.95

Factors = tuple[float, ...]
Units = tuple[int, ...]


@lru_cache(maxsize=64)
def _logs(factors: Factors) -> tuple[float, ...]:
    return tuple(log(factor) for factor in factors)


def ratio_terms(null: float, factors: Factors, requests: tuple[int, int], events: tuple[int, int]) -> Units | None:
    """What one second and stratum adds to the log e-values, an alternative each; None where it adds nothing.

    Args:
        null: the ratio on the border of the null hypothesis.
        factors: the alternatives, all above 1 (null: at most) or all below (null: at least).
        requests: of control and candidate.
        events: of control and candidate.
    """
    in_control, in_candidate = requests
    either = events[0] + events[1]
    if not either or not in_control or not in_candidate:
        return None
    expected = in_candidate * null
    base = expected + in_control
    return tuple(
        units_of(events[1] * log_factor + either * log(base / (expected * factor + in_control)))
        for factor, log_factor in zip(factors, _logs(factors), strict=True)
    )


@lru_cache(maxsize=64)
def _rate_logs(null: float, factors: Factors) -> tuple[tuple[float, float], ...]:
    rates = [min(null * factor, max(_RATE_MAX, null)) for factor in factors]
    return tuple((log(rate / null), log((1.0 - rate) / (1.0 - null))) for rate in rates)


def rate_units(null: float, factors: Factors, requests: int, events: int) -> Units:
    """The log e-values of all counts so far against the null hypothesis that a rate is at most (at least) ``null``."""
    return tuple(
        units_of(events * hit) + units_of((requests - events) * miss) for hit, miss in _rate_logs(null, factors)
    )


def sample_ratio_size(arms: int) -> int:
    """How many alternatives the sample-ratio check of so many versions has."""
    return 2 * len(_ODDS) * (1 if arms == 2 else arms)


@lru_cache(maxsize=1024)
def _odds_logs(share: int, tolerance: float) -> tuple[tuple[float, float], ...]:
    """(log of the share's ratio, log of the rest's) of every alternative."""
    odds = share / (SHARES - share)
    found = []
    for factor in _ODDS:
        for null, other in (
            (odds * tolerance, odds * tolerance * factor),
            (odds / tolerance, odds / tolerance / factor),
        ):
            rest = log((1.0 + null) / (1.0 + other))
            found.append((log(other / null) + rest, rest))
    return tuple(found)


def sample_ratio_terms(requests: tuple[int, ...], shares: tuple[int, ...], tolerance: float) -> Units | None:
    """What one second adds against the null hypothesis that requests fall by the shares (multinomial).

    Each version is tested against all others; a version whose share is nothing or everything is left out.

    Args:
        requests: of each version.
        shares: intended, in ten-thousandths.
        tolerance: by what factor its odds may be off.
    """
    total = sum(requests)
    if not total:
        return None
    found: list[int] = []
    for arm in range(1, 2) if len(requests) == 2 else range(len(requests)):
        share, hits = shares[arm], requests[arm]
        if 0 < share < SHARES:
            logs = _odds_logs(share, tolerance)
            found.extend(units_of(hits * hit) + units_of((total - hits) * miss) for hit, miss in logs)
        else:
            found.extend([0] * (2 * len(_ODDS)))
    return tuple(found)
