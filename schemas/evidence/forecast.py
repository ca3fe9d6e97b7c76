"""How long it takes until a candidate is shown to be harmful or harmless, computed before it meets any traffic.

Given an error, which version? That is a walk: each step goes up with the candidate's probability. How likely it has
crossed the line of a verdict after so many errors is summed up exactly, in batches that grow by 6 %; errors become
seconds by their mean rate. Forecasts are for people; unlike verdicts they may differ in the last bit between machines.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from modelcast.schemas.errors import UsageError
from modelcast.schemas.evidence.gates import AnalysisPlan, Gate, Measure
from modelcast.schemas.evidence.ratio import BETTER, WORSE
from modelcast.schemas.evidence.verdict import harm_needed

SECONDS_MAX = 90 * 86_400.0
"""Later than this counts as never."""
_GROWTH = 1 / 16
_NEGLIGIBLE = 1e-7
_ENOUGH = 0.91

Score = Callable[[float, float], float]
Passage = list[tuple[float, float]]
MedianAndLate = tuple[float | None, float | None]
NEVER: MedianAndLate = (None, None)


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds until a verdict has come with a probability of 50 and of 90 %; None: not within ``SECONDS_MAX``.

    Attributes:
        ratio: of the error rates; the candidate's (harmful), or the one that is excluded then (harmless).
    """

    ratio: float
    median_seconds: float | None
    nine_of_ten_seconds: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the errors gate will show at one share.

    Attributes:
        share: of the candidate, 0 to 1.
        harmful: until candidates of these ratios are shown to be harmful.
        harmless: until a candidate that errs exactly as the control is shown to be harmless.
    """

    requests_per_second: float
    error_rate: float
    share: float
    harmful: tuple[Wait, ...]
    harmless: Wait


def forecast(
    requests_per_second: float,
    error_rate: float,
    share: float,
    *,
    plan: AnalysisPlan | None = None,
    ratios: tuple[float, ...] = (5.0, 2.0),
) -> Forecast:
    """The waits at one share of steady traffic.

    Args:
        requests_per_second: of both versions together.
        error_rate: of the control, 0 to below 1.
        share: of the candidate, between 0 and 1.
        plan: its errors gate counts; the default plan if None.
        ratios: how many times the control's error rate the candidate might have.

    Raises:
        UsageError: a number makes no sense, or the plan has no errors gate.
    """
    plan = plan or AnalysisPlan()
    gate = next((gate for gate in plan.gates if gate.measure is Measure.ERRORS), None)
    if gate is None:
        raise UsageError("the plan has no errors gate to forecast", subject="rollout plan")
    for name, value, fits, rule in (
        ("requests per second", requests_per_second, 0 < requests_per_second <= 1e9, "write more than 0, at most 1e9"),
        ("error rate", error_rate, 0 <= error_rate < 1, "write 0% or more, and less than 100%"),
        ("share", share, 0 < share < 1, "write more than 0%, and less than 100%"),
        *(("ratio", ratio, 1 <= ratio <= 1e6, "write 1 to 1e6") for ratio in ratios),
    ):
        if not fits:
            raise UsageError(f"bad {name} {value}", subject="forecast", hint=rule)

    harmful = tuple(
        Wait(ratio, *_until_harmful(requests_per_second, error_rate, share, ratio, gate, harm_needed(plan)))
        for ratio in ratios
    )
    split = 2.0 if gate.acceptable_rate else 1.0  # two ways to harmlessness share the e-value
    needed = math.log(split / plan.alpha_harmless)
    ways = [_until_ratio(requests_per_second, error_rate, share, 1.0, gate.tested_harmless, BETTER, needed)]
    if gate.acceptable_rate:
        ways.append(_until_rate(requests_per_second * share, error_rate, gate.acceptable_rate, needed))
    harmless = Wait(gate.tested_harmless, *min(ways, key=lambda way: math.inf if way[0] is None else way[0]))
    return Forecast(requests_per_second, error_rate, share, harmful, harmless)


def _until_harmful(
    traffic: float, error_rate: float, share: float, ratio: float, gate: Gate, needed: float
) -> MedianAndLate:
    if error_rate * ratio <= gate.acceptable_rate:
        return NEVER
    return _until_ratio(traffic, error_rate, share, ratio, gate.tested_harmful, WORSE, needed)


def _until_ratio(
    traffic: float,
    error_rate: float,
    share: float,
    ratio: float,
    null: float,
    factors: tuple[float, ...],
    needed: float,
) -> MedianAndLate:
    """By the conditional test of errors."""
    in_candidate, in_control = share * min(error_rate * ratio, 1.0), (1 - share) * error_rate
    errors_per_second = traffic * (in_candidate + in_control)
    if not errors_per_second:
        return NEVER
    terms = [
        (math.log(factor), math.log((share * null + 1 - share) / (share * null * factor + 1 - share)))
        for factor in factors
    ]

    def score(errors: float, candidates: float) -> float:
        return _log_mean_exp([candidates * hit + errors * either for hit, either in terms])

    passage = _passage(
        in_candidate / (in_candidate + in_control),
        score,
        needed,
        rising=factors[0] > 1,
        trials_max=SECONDS_MAX * errors_per_second,
    )
    return _wait(passage, errors_per_second)


def _until_rate(
    candidates_per_second: float, error_rate: float, acceptable_rate: float, needed: float
) -> MedianAndLate:
    """By the absolute test: the candidate's error rate is shown to be below the acceptable rate."""
    terms = [(math.log(factor), math.log((1 - acceptable_rate * factor) / (1 - acceptable_rate))) for factor in BETTER]

    def score(requests: float, errors: float) -> float:
        return _log_mean_exp([errors * hit + (requests - errors) * miss for hit, miss in terms])

    trials_max = SECONDS_MAX * candidates_per_second
    return _wait(_passage(error_rate, score, needed, rising=False, trials_max=trials_max), candidates_per_second)


def _wait(passage: Passage, trials_per_second: float) -> MedianAndLate:
    return _quantile(passage, 0.5, trials_per_second), _quantile(passage, 0.9, trials_per_second)


def _quantile(passage: Passage, part: float, trials_per_second: float) -> float | None:
    trials, reached = 0.0, 0.0
    for later, probability in passage:
        if probability >= part:
            between = (part - reached) / (probability - reached)
            seconds = (trials + between * (later - trials)) / trials_per_second
            return max(seconds, 1.0) if seconds <= SECONDS_MAX else None
        trials, reached = later, probability
    return None


def _passage(chance: float, score: Score, needed: float, *, rising: bool, trials_max: float) -> Passage:
    """After how many trials the score has been at ``needed`` with what probability.

    Args:
        chance: of one trial to be a hit.
        score: of (trials, hits); monotone in hits: ``rising`` or falling.
        needed: to cross.
        rising: whether more hits raise the score.
        trials_max: where to end.
    """
    if score(trials_max, trials_max * chance) < needed:
        return []  # on the whole it goes the other way, or too slowly
    first, alive = 0, [1.0]  # alive[i]: the probability of first + i hits, not crossed so far
    trials, crossed = 0, 0.0
    found: Passage = []
    while crossed < _ENOUGH and trials < trials_max and alive:
        # While hits are rarer than one in four batches, single trials would only take time.
        batch = max(1, int(trials * _GROWTH), int(min(0.25 / max(chance, 1e-12), trials_max / 4096)))
        trials += batch
        more, weights = _binomial(batch, chance)
        following = [0.0] * (len(alive) + len(weights) - 1)
        for hits, probability in enumerate(alive):
            for extra, weight in enumerate(weights, hits):
                following[extra] += probability * weight
        first += more
        line = _line(score, trials, needed, rising=rising, low=first, high=first + len(following))
        kept = slice(0, line - first) if rising else slice(line - first, len(following))
        crossed += sum(following) - sum(following[kept])
        first, alive = first + kept.start, following[kept]
        while alive and alive[-1] < _NEGLIGIBLE:
            alive.pop()
        while alive and alive[0] < _NEGLIGIBLE:
            first, alive = first + 1, alive[1:]
        found.append((float(trials), crossed))
    return found


def _line(score: Score, trials: int, needed: float, *, rising: bool, low: int, high: int) -> int:
    """The least number of hits from ``low`` to ``high`` that is across (rising) or no longer across (falling)."""
    while low < high:
        middle = (low + high) // 2
        if (score(trials, middle) >= needed) == rising:
            high = middle
        else:
            low = middle + 1
    return low


def _binomial(trials: int, chance: float) -> tuple[int, list[float]]:
    """The least number of hits that is not negligible, and the probabilities from there on."""
    if chance in (0.0, 1.0):
        return (trials if chance else 0), [1.0]
    mean = trials * chance
    reach = 5.5 * math.sqrt(mean * (1 - chance)) + 5
    log_hit, log_miss, whole = math.log(chance), math.log1p(-chance), math.lgamma(trials + 1)
    low, high = max(0, int(mean - reach)), min(trials, int(mean + reach))
    weights = []
    for hits in range(low, high + 1):
        ways = whole - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
        weights.append(math.exp(ways + hits * log_hit + (trials - hits) * log_miss))
    return low, weights


def _log_mean_exp(logs: list[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(each - top) for each in logs) / len(logs))


def sentence(found: Forecast) -> str:
    """The forecast as people say it."""
    shows = [f"shows {wait.ratio:g}x {about(wait.median_seconds)}" for wait in found.harmful if found.error_rate]
    shows.append(f"proves less than {found.harmless.ratio:g}x {about(found.harmless.median_seconds)}")
    return (
        f"at {found.requests_per_second:,.10g} requests/s and {100 * found.error_rate:.4g} % errors "
        f"a {100 * found.share:g} % step {', '.join(shows)}"
    )


def about(seconds: float | None) -> str:
    """A wait as people say it."""
    if seconds is None:
        return f"not within {SECONDS_MAX / 86400:.0f} days"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            amount = seconds / size
            return f"in about {amount:.0f} {unit}" if amount >= 10 else f"in about {round(2 * amount) / 2:g} {unit}"
    return f"in about {seconds:.0f} s"
