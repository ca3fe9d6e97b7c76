"""What the outputs of either version are like, without a label: how often they are empty, constant, and their scores.

For each part that is watched (answers that are empty; answers just like the one before; answers whose score is at most
one of ``SCORE_EDGES``) the candidate's rate is compared with the control's *of the same pod and seconds*. With n_b and
n_c answers and k_b and k_c of the part, an interval adds w (k_c/n_c - k_b/n_b) to the sum ``ahead`` and w = n_b n_c /
(n_b + n_c) to the sum ``weight``. If no interval's true difference is above d, then for every x > 0

    exp(x (ahead - d weight) - x^2 weight / 8)

is a supermartingale (Hoeffding's lemma: a mean of n numbers between 0 and 1 is sub-Gaussian with variance 1 / (4 n)),
so the probability that it ever reaches 1/alpha is at most alpha. It holds for any traffic, drift and share: what
changes for both versions cancels out. Sources: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform Chernoff bounds via
nonnegative supermartingales" (2020). Copies in a shadow that are answered otherwise, and scores compared with a
reference, are the same with a control that is known: then w = n_c. Answers count as independent of each other.

Only whole numbers are summed: reports may come in any order, and the same sums give the same verdict on every machine.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from modelcast.schemas.errors import ContentError
from modelcast.schemas.evidence.gates import SCORE_BINS, SCORE_EDGES, PredictionGate, PredictionMeasure
from modelcast.schemas.evidence.portable_math import UNITS_PER_NAT, log_mean_exp, units_of

BETS = (0.1, 0.3, 0.8, 2.0, 4.0)
"""Each is four times the difference beyond the limit that it finds soonest."""


def score_bin(score: float) -> int:
    """The bin of a finite score: of the first output of floats (else of integers), the last number of its first row."""
    return bisect_left(SCORE_EDGES, score)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Counts of one version.

    Attributes:
        looked: answers whose outputs were looked at, copies among them.
        empty: of these, outputs that hold nothing.
        repeated: of these, outputs just like those of the answer before, to another request.
        copies: answered by a shadow.
        differ: of these, otherwise than by the control.
        scores: answers by ``score_bin``; bins at the end that are empty may be missing.

    Raises:
        ContentError: a count is negative, or larger than what it is a part of.
    """

    looked: int = 0
    empty: int = 0
    repeated: int = 0
    copies: int = 0
    differ: int = 0
    scores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        counts = (self.looked, self.empty, self.repeated, self.copies, self.differ, *self.scores)
        if any(type(count) is not int or count < 0 for count in counts) or len(self.scores) > SCORE_BINS:
            raise ContentError("bad counts of predictions", hint=f"whole numbers from 0, {SCORE_BINS} scores at most")
        if max(self.empty, self.repeated) > self.looked or self.differ > self.copies:
            raise ContentError("more empty, repeated or different predictions than there are")

    def plus(self, other: "Predictions") -> "Predictions":
        """Both together."""
        return Predictions(
            self.looked + other.looked,
            self.empty + other.empty,
            self.repeated + other.repeated,
            self.copies + other.copies,
            self.differ + other.differ,
            _added(self.scores, other.scores),
        )


@dataclass(frozen=True, slots=True)
class PredictionSums:
    """All evidence about predictions so far.

    Attributes:
        control: totals of the control.
        candidate: totals of the candidate.
        weight: of the answers that were looked at, in units.
        empty: by how much the candidate is ahead, times the weight, in units.
        repeated: the same.
        score_weight: of the answers that have a score, in units.
        scores: of each edge, by how much the candidate is ahead with scores up to it, in units; (): nothing yet.
    """

    control: Predictions = field(default_factory=Predictions)
    candidate: Predictions = field(default_factory=Predictions)
    weight: int = 0
    empty: int = 0
    repeated: int = 0
    score_weight: int = 0
    scores: tuple[int, ...] = ()

    def plus(self, control: Predictions, candidate: Predictions) -> "PredictionSums":
        """With what one pod counted of both in the same seconds."""
        answers = (control.looked, candidate.looked)
        scored = (sum(control.scores), sum(candidate.scores))
        scores = self.scores
        if scored[0] and scored[1]:
            below = (_up_to_edges(control.scores), _up_to_edges(candidate.scores))
            ahead = tuple(_ahead(scored, each) for each in zip(*below, strict=True))
            scores = _added(scores, ahead)
        return PredictionSums(
            self.control.plus(control),
            self.candidate.plus(candidate),
            self.weight + _weight(answers),
            self.empty + _ahead(answers, (control.empty, candidate.empty)),
            self.repeated + _ahead(answers, (control.repeated, candidate.repeated)),
            self.score_weight + _weight(scored),
            scores,
        )


@dataclass(frozen=True, slots=True)
class PredictionEvidence:
    """What the sums say of one gate: see ``GateVerdict``."""

    log_e_harmful: float
    log_e_harmless: float
    control_events: int
    candidate_events: int


def judge_predictions(gate: PredictionGate, sums: PredictionSums) -> PredictionEvidence:
    """The evidence against "no part differs by more than is tolerated", and against "some part differs by more than
    must be excluded"."""
    control, candidate = sums.control, sums.candidate
    match gate.measure:
        case PredictionMeasure.EMPTY:
            return _judged(gate, [sums.empty], sums.weight, (control.empty, candidate.empty))
        case PredictionMeasure.CONSTANT:
            return _judged(gate, [sums.repeated], sums.weight, (control.repeated, candidate.repeated))
        case PredictionMeasure.DIFFER:
            ahead, weight = candidate.differ * UNITS_PER_NAT, candidate.copies * UNITS_PER_NAT
            return _judged(gate, [ahead], weight, (0, candidate.differ))
        case PredictionMeasure.SCORES:
            scored = (sum(control.scores), sum(candidate.scores))
            return _judged(gate, [each for a in sums.scores for each in (a, -a)], sums.score_weight, scored)
    scored_, reference = sum(candidate.scores), sum(gate.reference)
    below = zip(_up_to_edges(candidate.scores), _up_to_edges(gate.reference), strict=True)
    gaps = [(mine * reference - scored_ * known) * UNITS_PER_NAT // reference for mine, known in below]
    both = [each for gap in gaps for each in (gap, -gap)]
    return _judged(gate, both if scored_ else [], scored_ * UNITS_PER_NAT, (reference, scored_))


def _judged(gate: PredictionGate, parts: list[int], weight: int, events: tuple[int, int]) -> PredictionEvidence:
    """Harm: a mean over all parts, which is an e-value of "none is beyond". No harm: the least, for all must agree."""
    parts = parts or [0]
    harmful = log_mean_exp([units for ahead in parts for units in _bets(ahead, weight, gate.tolerated)])
    farthest = max(parts)  # what is least ahead of the limit is shown first: the others need no look
    harmless = log_mean_exp(_bets(-farthest, weight, -gate.excluded))
    return PredictionEvidence(harmful, harmless, *events)


def _bets(ahead: int, weight: int, limit: float) -> list[int]:
    over, size = ahead / UNITS_PER_NAT - limit * (weight / UNITS_PER_NAT), weight / UNITS_PER_NAT
    return [units_of(bet * over - bet * bet * size / 8.0) for bet in BETS]


def _weight(answers: tuple[int, int]) -> int:
    control, candidate = answers
    both = control + candidate
    return control * candidate * UNITS_PER_NAT // both if both else 0


def _ahead(answers: tuple[int, int], events: tuple[int, int]) -> int:
    """By how much the candidate's rate is higher, times the weight, in units; rounded toward nothing."""
    both = answers[0] + answers[1]
    if not both or not answers[0] or not answers[1]:
        return 0
    gap = (answers[0] * events[1] - answers[1] * events[0]) * UNITS_PER_NAT
    return gap // both if gap >= 0 else -(-gap // both)


def _up_to_edges(scores: Sequence[int]) -> tuple[int, ...]:
    """How many scores are at most each edge."""
    return tuple(accumulate((*scores, *[0] * (SCORE_BINS - len(scores)))))[:-1]


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return tuple(a + b for a, b in zip(longer, (*shorter, *[0] * (len(longer) - len(shorter))), strict=True))
