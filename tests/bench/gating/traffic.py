"""Simulated rollouts, many at once: what a gate gets to see of a healthy or a bad candidate.

Each row of an array is a rollout, each column a second. Ten minutes at 1, 10 and 50 %. Latencies are log-normal.
scipy is imported where it is used: its signals take a second, and every worker of a test run reads this module.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

STEP_SECONDS = 600
SHARES = (0.01, 0.1, 0.5)
SECONDS = STEP_SECONDS * len(SHARES)
SIGMA = 0.5
"""Of the logarithm of a latency."""
BASE_P99 = float(np.exp(SIGMA * NormalDist().inv_cdf(0.99)))
"""In units of the median latency."""
LIMITS = (1.2, 1.5)
"""Slow answers are counted against the threshold times these: harmful, harmless."""

STRAYS = 1.2
"""How far the versions drift apart by themselves."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Traffic:
    """Requests a second and the control's error rate."""

    name: str
    requests_per_second: float
    error_rate: float


@dataclass(frozen=True)
class Candidate:
    """How many times the control's errors and latencies."""

    name: str
    errors: float = 1.0
    latency: float = 1.0


TRAFFIC = (
    Traffic("200 rps, 0.5 %", 200, 0.005),
    Traffic("50 rps, 0.1 %", 50, 0.001),
    Traffic("1,000 rps, 0.5 %", 1000, 0.005),
)
HEALTHY = Candidate("healthy")
BAD = (Candidate("errors x5", errors=5), Candidate("errors x2", errors=2), Candidate("p99 x1.5", latency=1.5))
PROFILES = ("bursts", "diurnal", "drift", "own noise")


@dataclass(frozen=True)
class Runs:
    """Counts by rollout and second, and the latency's scale, from which windows draw their 99th percentile."""

    share: Floats
    control: Ints
    candidate: Ints
    control_errors: Ints
    candidate_errors: Ints
    control_slow: Ints
    candidate_slow_harmful: Ints
    candidate_slow_harmless: Ints
    control_scale: Floats
    candidate_scale: Floats


def simulate(rng: np.random.Generator, traffic: Traffic, profile: str, candidate: Candidate, rollouts: int) -> Runs:
    """So many rollouts of one candidate in one kind of weather.

    steady: nothing of what follows. bursts: for 20 s, about once in five minutes, both versions err ten times as often
    and answer 1.5 times as slowly. diurnal: traffic swings by 70 %, and latency with it by 10 %. drift: errors triple
    and latency grows by 30 % from start to end. own noise: the versions drift apart, each by itself; the ratio of their
    error rates and of their latencies strays by up to 20 % and stays where it is for minutes. A bad candidate is always
    at least as bad as its name says, whatever the noise.
    """
    shape = (rollouts, SECONDS)
    rate = np.full(shape, traffic.requests_per_second)
    errors, slowness = np.ones(shape), np.ones(shape)
    strays, worst = [np.ones(shape)] * 2, 1.0
    at = np.arange(SECONDS) / SECONDS
    if profile == "bursts":
        starts = (rng.random(shape) < 1 / 300).astype(np.int64).cumsum(axis=1)
        active = starts - np.pad(starts, ((0, 0), (20, 0)))[:, :SECONDS] > 0
        errors, slowness = np.where(active, 10.0, 1.0), np.where(active, 1.5, 1.0)
    elif profile == "diurnal":
        swing = np.sin(2 * np.pi * (at + rng.random((rollouts, 1))))
        rate, slowness = rate * (1 + 0.7 * swing), 1 + 0.1 * swing
    elif profile == "drift":
        errors, slowness = errors * 3**at, slowness * 1.3**at
    elif profile == "own noise":
        strays, worst = [_straying(rng, shape) for _ in range(2)], STRAYS
    share = np.repeat(SHARES, STEP_SECONDS)
    from scipy.special import ndtr

    total = rng.poisson(rate)
    in_candidate = rng.binomial(total, share)
    in_control = total - in_candidate
    more_errors = candidate.errors * worst if candidate.errors > 1 else 1.0
    slower = candidate.latency * worst if candidate.latency > 1 else 1.0
    fails = traffic.error_rate * errors
    scales = [slowness, slowness * strays[1] * slower]
    threshold = _threshold(rng, traffic, rollouts)
    slow, harmful, harmless = (
        ndtr((np.log(scale) - np.log(threshold * limit)) / SIGMA)
        for scale, limit in ((scales[0], 1.0), (scales[1], LIMITS[0]), (scales[1], LIMITS[1]))
    )
    slow_harmful = rng.binomial(in_candidate, harmful)
    return Runs(
        share,
        in_control,
        in_candidate,
        rng.binomial(in_control, fails),
        rng.binomial(in_candidate, np.minimum(fails * strays[0] * more_errors, 0.95)),
        rng.binomial(in_control, slow),
        slow_harmful,
        rng.binomial(slow_harmful, harmless / harmful),
        *scales,
    )


def _straying(rng: np.random.Generator, shape: tuple[int, int], seconds: float = 300.0) -> Floats:
    """A factor of each rollout that wanders between 1 / 1.2 and 1.2, and is often at either end."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / seconds)
    noise = rng.standard_normal(shape) * np.sqrt(1 - keep**2)
    noise[:, 0] = rng.standard_normal(shape[0])
    return np.exp(np.log(STRAYS) * np.clip(lfilter([1.0], [1.0, -keep], noise, axis=1), -1, 1))


def _threshold(rng: np.random.Generator, traffic: Traffic, rollouts: int) -> Floats:
    """The 99th percentile of the ten minutes before, as far as so many requests show it."""
    return percentile(rng, np.full((rollouts, 1), round(600 * traffic.requests_per_second)), np.zeros((rollouts, 1)))


def percentile(rng: np.random.Generator, requests: Ints, log_scale: Floats) -> Floats:
    """The 99th percentile of so many requests, drawn from its own distribution (an order statistic); NaN of none."""
    from scipy.special import ndtri

    rank = np.ceil(0.99 * requests)
    drawn = rng.beta(np.maximum(rank, 1), np.maximum(requests - rank, 0) + 1)
    return np.where(requests > 0, np.exp(log_scale + SIGMA * ndtri(drawn)), np.nan)
