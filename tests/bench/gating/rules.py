"""When each rule stops a rollout, or promotes it: ours, and those of others as their sources have them.

Argo Rollouts has no rule of its own; the one here is the template that its users write: a condition on a one-minute
sample, and ``failureLimit``. Flagger: ``pkg/controller/scheduler_metrics.go``, absolute limits on the canary alone;
failed checks add up over the whole rollout. Kayenta: ``MannWhitneyClassifier.scala``, ``MannWhitney.scala``.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from modelcast.schemas.evidence.counts import SHARES, Arm, Counts
from modelcast.schemas.evidence.gates import AnalysisPlan, Gate, Measure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.ratio import BETTER, WORSE
from modelcast.schemas.evidence.verdict import add_counts, empty, harm_needed, verdict
from tests.bench.gating.traffic import BASE_P99, STEP_SECONDS, Floats, Ints, Runs, percentile

WINDOW_SECONDS = 60
KAYENTA_TOLERANCE, KAYENTA_QUANTILE = 0.25, 2.326347874
"""25 %, and the normal quantile of a confidence of 98 % on both sides."""


@dataclass(frozen=True)
class Ends:
    """The second after which each rollout was stopped or promoted; inf: never."""

    stopped: Floats
    promoted: Floats


@dataclass(frozen=True)
class Windows:
    """One-minute samples: requests, error rate and 99th percentile of either version; NaN without requests."""

    control: Ints
    candidate: Ints
    control_error_rate: Floats
    candidate_error_rate: Floats
    control_p99: Floats
    candidate_p99: Floats


Rule = Callable[[Runs, Windows], Ends]


def windows(rng: np.random.Generator, runs: Runs) -> Windows:
    """The samples that a metrics system would have."""

    def sums(values: Ints) -> Ints:
        return values.reshape(len(values), -1, WINDOW_SECONDS).sum(axis=2)

    def scale(values: Floats) -> Floats:
        return np.log(values).reshape(len(values), -1, WINDOW_SECONDS).mean(axis=2)

    control, candidate = sums(runs.control), sums(runs.candidate)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = sums(runs.control_errors) / control, sums(runs.candidate_errors) / candidate
    p99 = [percentile(rng, n, scale(s)) for n, s in ((control, runs.control_scale), (candidate, runs.candidate_scale))]
    return Windows(control, candidate, *rates, *p99)


def _breach(w: Windows) -> Floats:
    """More than 1.5 times the errors or 1.2 times the p99."""
    return (w.candidate_error_rate > 1.5 * w.control_error_rate) | (w.candidate_p99 > 1.2 * w.control_p99)


def _after(failed: Floats, allowed: int) -> Ends:
    """Stopped by one failed window more than is allowed, else promoted at the end."""
    over = failed.cumsum(axis=1) > allowed
    stopped = np.where(over.any(axis=1), (over.argmax(axis=1) + 1.0) * WINDOW_SECONDS, np.inf)
    return Ends(stopped, np.where(np.isinf(stopped), failed.shape[1] * WINDOW_SECONDS, np.inf))


def naive(runs: Runs, w: Windows) -> Ends:
    """The first window that is worse than 1.5 times (errors) or 1.2 times (p99)."""
    return _after(_breach(w), 0)


def argo(runs: Runs, w: Windows) -> Ends:
    """The same comparison; at least 20 requests, and more than three failed windows."""
    return _after(_breach(w) & (w.candidate >= 20), 3)


def flagger(runs: Runs, w: Windows) -> Ends:
    """99 % success and an absolute p99 of 1.2 times the true one; no data is a failed check; stopped by the fifth."""
    return _after(~((w.candidate_error_rate <= 0.01) & (w.candidate_p99 <= 1.2 * BASE_P99)), 4)


def kayenta(runs: Runs, w: Windows) -> Ends:
    """Mann-Whitney on all minutes so far, judged at the end of each step."""
    stopped = np.full(len(w.control), np.inf)
    for minutes in range(STEP_SECONDS // WINDOW_SECONDS, w.control.shape[1] + 1, STEP_SECONDS // WINDOW_SECONDS):
        high = mann_whitney_high(w.control_error_rate[:, :minutes], w.candidate_error_rate[:, :minutes])
        high |= mann_whitney_high(w.control_p99[:, :minutes], w.candidate_p99[:, :minutes])
        stopped = np.where(np.isinf(stopped) & high, minutes * WINDOW_SECONDS, stopped)
    return Ends(stopped, np.where(np.isinf(stopped), w.control.shape[1] * WINDOW_SECONDS, np.inf))


def mann_whitney_high(control: Floats, experiment: Floats) -> Floats:
    """Whether each row of the experiment is classified as High: the confidence interval of its shift lies above 25 % of
    the estimated shift. The interval is R's (asymptotic, with ties and continuity correction); that its lower end is
    above a value is the same as that the test against this value is significant."""
    control, experiment = np.nan_to_num(control), np.nan_to_num(experiment)
    estimate = np.median((experiment[:, :, None] - control[:, None, :]).reshape(len(control), -1), axis=1)
    moved = experiment - KAYENTA_TOLERANCE * np.abs(estimate)[:, None]
    n, m = experiment.shape[1], control.shape[1]
    pairs = np.sign(moved[:, :, None] - control[:, None, :]).sum(axis=(1, 2)) / 2
    pooled = np.concatenate([moved, control], axis=1)
    alike = (pooled[:, :, None] == pooled[:, None, :]).sum(axis=2)
    ties = (alike.astype(float) ** 2 - 1).sum(axis=1)
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (pairs - 0.5 * np.sign(pairs)) / np.sqrt(variance) > KAYENTA_QUANTILE


def ours(plan: AnalysisPlan) -> Rule:
    """``modelcast.schemas.evidence`` at every second, in arrays; ``agrees`` holds it against the original."""

    def judge(runs: Runs, w: Windows | None = None) -> Ends:
        harmful = np.zeros(runs.control.shape, dtype=bool)
        harmless = np.ones(runs.control.shape, dtype=bool)
        for gate in plan.gates:
            worse, better = _e_values(gate, runs)
            shown = worse >= math.exp(harm_needed(plan))
            harmful |= shown
            harmless &= (better >= 1 / plan.alpha_harmless) & ~shown
        bad, good = _first(harmful), _first(harmless)
        return Ends(np.where(bad <= good, bad, np.inf), np.where(good < bad, good, np.inf))

    return judge


def _first(shown: Floats) -> Floats:
    return np.where(shown.any(axis=1), shown.argmax(axis=1) + 1.0, np.inf)


def _e_values(gate: Gate, runs: Runs) -> tuple[Floats, Floats]:
    if gate.measure is Measure.LATENCY:
        slow = runs.control_slow
        return (
            _mean(_ratio(1.0, WORSE, runs, slow, runs.candidate_slow_harmful)),
            _mean(_ratio(1.0, BETTER, runs, slow, runs.candidate_slow_harmless)),
        )
    events = runs.control_errors, runs.candidate_errors
    worse = _mean(_ratio(gate.harmful, WORSE, runs, *events))
    better = _ratio(gate.harmless, BETTER, runs, *events)
    if gate.acceptable_rate:
        worse = np.minimum(worse, _mean(_rate(gate.acceptable_rate, WORSE, runs)))
        return worse, _mean(chain(better, _rate(gate.acceptable_rate, BETTER, runs)))
    return worse, _mean(better)


def _mean(logs: Iterable[Floats]) -> Floats:
    """Of e-values given by their logarithms. In single precision, as their terms: a verdict needs no more digits."""
    count, total = 0, np.float32(0)
    for log in logs:
        count, total = count + 1, total + np.exp(np.clip(log, -80, 80))
    return total / count


def _ratio(null: float, factors: tuple[float, ...], runs: Runs, control: Ints, candidate: Ints) -> Iterator[Floats]:
    either = np.where((runs.control > 0) & (runs.candidate > 0), control + candidate, 0)
    hits = np.where(either > 0, candidate, 0).cumsum(axis=1).astype(np.float32)
    either = either.astype(np.float32)
    candidates, controls = (runs.candidate * null).astype(np.float32), runs.control.astype(np.float32)
    base = np.log(np.maximum(candidates + controls, 1))
    for factor in factors:
        other = np.log(np.maximum(candidates * np.float32(factor) + controls, 1))
        yield hits * np.float32(math.log(factor)) + (either * (base - other)).cumsum(axis=1)


def _rate(null: float, factors: tuple[float, ...], runs: Runs) -> Iterator[Floats]:
    events = runs.candidate_errors.cumsum(axis=1).astype(np.float32)
    others = runs.candidate.cumsum(axis=1).astype(np.float32) - events
    for factor in factors:
        rate = min(null * factor, 0.95)
        yield events * np.float32(math.log(rate / null)) + others * np.float32(math.log((1 - rate) / (1 - null)))


def agrees(runs: Runs, ends: Ends, plan: AnalysisPlan, rollout: int) -> bool:
    """Whether the original comes to the same verdict in the same second, of one of the rollouts."""
    state = empty(plan)
    for at in range(runs.control.shape[1]):
        control = Arm(int(runs.control[rollout, at]), int(runs.control_errors[rollout, at]), _int(runs, rollout, at, 0))
        candidate = Arm(
            int(runs.candidate[rollout, at]),
            int(runs.candidate_errors[rollout, at]),
            _int(runs, rollout, at, 1),
            _int(runs, rollout, at, 1),
            _int(runs, rollout, at, 2),
        )
        share = round(float(runs.share[at]) * SHARES)
        state = add_counts(state, Counts(at, "all", control, candidate, share), plan)
        kind = verdict(state, plan).kind
        if kind is not Kind.UNDECIDED:
            return bool((ends.stopped if kind is Kind.HARMFUL else ends.promoted)[rollout] == at + 1)
    return bool(np.isinf(ends.stopped[rollout]) and np.isinf(ends.promoted[rollout]))


def _int(runs: Runs, rollout: int, at: int, which: int) -> int:
    slow = (runs.control_slow, runs.candidate_slow_harmful, runs.candidate_slow_harmless)[which]
    return int(slow[rollout, at])


def rules(plan: AnalysisPlan) -> dict[str, Rule]:
    """Every rule by its name."""
    return {"naive": naive, "argo style": argo, "flagger": flagger, "kayenta": kayenta, "modelcast": ours(plan)}
