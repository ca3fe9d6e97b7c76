"""What a candidate is tested for, and how sure a verdict must be."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from modelcast.schemas.errors import UsageError


class Measure(StrEnum):
    """What a gate compares."""

    ERRORS = "errors"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Gate:
    """One comparison of the candidate with the control.

    Tolerance is part of the null hypothesis: *harmful* needs proof that the candidate is worse than ``harmful`` times
    the control, *harmless* needs proof that it is better than ``harmless`` times the control.

    Attributes:
        measure: errors (ratio of error rates) or latency (ratio of 99th percentiles).
        harmful: the ratio that is still tolerated.
        harmless: the ratio that must be excluded before a promotion.
        acceptable_rate: fine whatever the control does, for controls without errors: harm must exceed
            it as well, and a rate that is proven to be lower is harmless. 0: none. Of errors only.

    Raises:
        UsageError: a limit makes no sense.
    """

    measure: Measure
    harmful: float
    harmless: float
    acceptable_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.harmful <= self.harmless <= 100 or self.harmless <= 1:
            raise UsageError(
                f"bad limits: harmful {self.harmful}, harmless {self.harmless}",
                subject=f"gate {self.measure}",
                hint="1 <= harmful <= harmless <= 100, and harmless above 1",
            )
        if not 0 <= self.acceptable_rate <= 0.5 or (self.acceptable_rate and self.measure is not Measure.ERRORS):
            raise UsageError(
                f"bad acceptable_rate {self.acceptable_rate}",
                subject=f"gate {self.measure}",
                hint="a rate of errors from 0 to 0.5; other gates have none",
            )

    @property
    def tested_harmful(self) -> float:
        """The ratio of rates on the border of harm; of slow answers 1, for their threshold holds the limit already."""
        return self.harmful if self.measure is Measure.ERRORS else 1.0

    @property
    def tested_harmless(self) -> float:
        """The ratio of rates on the border of harmlessness."""
        return self.harmless if self.measure is Measure.ERRORS else 1.0


ERRORS = Gate(Measure.ERRORS, harmful=1.5, harmless=2.0, acceptable_rate=0.0001)
LATENCY = Gate(Measure.LATENCY, harmful=1.2, harmless=1.5)


OUTCOME_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
OUTCOMES_MAX = 16


@dataclass(frozen=True, slots=True)
class OutcomeGate:
    """A comparison of what users did, or of labels that come late: the means of one number of each.

    Attributes:
        name: of the outcome.
        tolerated: by what part of the control's mean the candidate's may be worse; 0: it must not be worse at all.
        higher_is_better: whether a lower mean is the worse one.
        planned: how many outcomes, of both versions together, are awaited: about there the proof is quickest.

    Raises:
        UsageError: the name is none, or a number makes no sense.
    """

    name: str
    tolerated: float = 0.01
    higher_is_better: bool = True
    planned: int = 10_000

    def __post_init__(self) -> None:
        if not OUTCOME_NAME.fullmatch(self.name):
            raise UsageError(
                f"bad outcome name {self.name[:80]!r}", subject="rollout plan", hint="letters, digits, _ . -"
            )
        if not 0 <= self.tolerated <= 1 or not 1 <= self.planned <= 10**12:
            raise UsageError(
                f"bad limits: tolerated {self.tolerated}, planned {self.planned}",
                subject=f"gate outcome:{self.name}",
                hint="0 to 1 (100 %), and 1 or more values",
            )

    def factor(self, control_mean: float) -> float:
        """How many times the control's mean the candidate's must at least (or at most) be."""
        worse = -self.tolerated if self.higher_is_better else self.tolerated
        return 1.0 + worse if control_mean >= 0 else 1.0 - worse


SCORE_EDGES: tuple[float, ...] = (
    -1e6, -1e4, -1e3, -100.0, -30.0, -10.0, -5.0, -3.0, -2.0, -1.0, -0.5, -0.1, 0.0,
    1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98,
    0.99, 0.997, 0.999, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e6,
)  # fmt: skip
"""Between the bins of scores; close to each other where probabilities are."""
SCORE_BINS = len(SCORE_EDGES) + 1


class PredictionMeasure(StrEnum):
    """What a gate on predictions compares; no label is needed."""

    EMPTY = "empty"  # answers whose outputs hold nothing
    CONSTANT = "constant"  # answers just like the one before, to another request
    SCORES = "scores"  # the distribution of scores, with the control's at the same time
    DRIFT = "drift"  # the same, with a reference that came with the version
    DIFFER = "differ"  # copies of requests that the shadow answers otherwise than the control


@dataclass(frozen=True, slots=True)
class PredictionGate:
    """A comparison of what the outputs of both versions are like.

    Attributes:
        measure: what is compared.
        tolerated: by how much a part of the candidate's answers may be larger than the same part of the control's, as a
            difference of fractions: 0.1 are ten of a hundred answers. Of scores, larger or smaller, up to any score.
        excluded: the difference that must be excluded before a promotion.
        reference: of drift: how many scores of the reference fall into each of the bins of scores.

    Raises:
        UsageError: a number makes no sense, or a reference is missing or given where none belongs.
    """

    measure: PredictionMeasure
    tolerated: float
    excluded: float
    reference: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.tolerated < self.excluded <= 1:
            raise UsageError(
                f"bad limits: tolerated {self.tolerated}, excluded {self.excluded}",
                subject=f"gate {self.measure}",
                hint="0% <= tolerated < excluded <= 100%",
            )
        if (self.measure is PredictionMeasure.DRIFT) != bool(sum(self.reference)):
            raise UsageError("drift, and nothing else, is compared with a reference", subject=f"gate {self.measure}")


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """How a rollout's evidence is analysed: its gates, and how often each may err.

    Attributes:
        gates: each measure once.
        outcomes: each name once.
        predictions: each measure once.
        alpha_harmful: the probability that a version within all ``harmful`` limits is ever called harmful, over the
            whole rollout and however often one looks. The gates share it.
        alpha_harmless: the probability that a version beyond some ``harmless`` limit is ever called harmless. Not
            shared: all gates must agree.
        alpha_sample_ratio: the probability of a false alarm of the sample-ratio check.
        sample_ratio_tolerance: by how much the odds of the observed share may differ from the intended ones, as a
            factor of at least 1: requests of one user go together, so small differences are normal.

    Raises:
        UsageError: no gate, one twice, or a probability or tolerance out of range.
    """

    gates: tuple[Gate, ...] = field(default=(ERRORS, LATENCY))
    alpha_harmful: float = 0.01
    alpha_harmless: float = 0.01
    alpha_sample_ratio: float = 0.001
    sample_ratio_tolerance: float = 1.1
    outcomes: tuple[OutcomeGate, ...] = ()
    predictions: tuple[PredictionGate, ...] = ()

    def __post_init__(self) -> None:
        measures = [*(str(gate.measure) for gate in self.gates), *(str(gate.measure) for gate in self.predictions)]
        if not self.gates or len(set(measures)) != len(measures):
            raise UsageError("a plan has at least one gate, and each measure once", subject="rollout plan")
        names = [gate.name for gate in self.outcomes]
        if len(set(names)) != len(names) or len(names) > OUTCOMES_MAX:
            raise UsageError(f"a plan has each outcome once, and at most {OUTCOMES_MAX}", subject="rollout plan")
        for name in ("alpha_harmful", "alpha_harmless", "alpha_sample_ratio"):
            if not 1e-12 <= getattr(self, name) < 1:
                raise UsageError(f"bad {name} {getattr(self, name)}", subject="rollout plan", hint="1e-12 to below 1")
        if not 1 <= self.sample_ratio_tolerance <= 100:
            raise UsageError(f"bad sample_ratio_tolerance {self.sample_ratio_tolerance}", subject="rollout plan")

    @property
    def tests(self) -> int:
        """How many gates share alpha."""
        return len(self.gates) + len(self.outcomes) + len(self.predictions)
