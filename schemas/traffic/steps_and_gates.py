"""What a rollout does, step by step, and what lets it go on: written once into the log, at its start.

A candidate goes through the waves of regions one after the other, and in each through the steps. A step ends once every
pod was read back with its share, its seconds have passed, nothing has shown harm, and, where the step asks for proof,
the verdict is *harmless*. After the last step of the last wave it is promoted.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from modelcast.schemas.errors import ContentError, DecodeError, UsageError
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.gates import (
    OUTCOMES_MAX,
    SCORE_BINS,
    AnalysisPlan,
    Gate,
    Measure,
    OutcomeGate,
    PredictionGate,
    PredictionMeasure,
)
from modelcast.schemas.names import REGION_PATTERN
from modelcast.schemas.traffic.json_fields import JsonFields, json_bytes
from modelcast.schemas.traffic.request_key import AT_RANDOM, RequestKey

PLAN_SIZE_MAX = 16 * 1024
STEPS_MAX = 100
REGIONS_MAX = 256
SECONDS_MAX = 366 * 86_400.0
YEAR_10000_US = 253_402_300_800 * 1_000_000
_FORMAT = 1


class Strategy(StrEnum):
    """How a candidate meets traffic."""

    CANARY = "canary"  # a small share first; leaves its last small step by proof only
    GRADUAL = "gradual"  # by the clock, as long as nothing shows harm
    BLUE_GREEN = "blue-green"  # none, then all, in all regions at one instant
    SHADOW = "shadow"  # copies of requests; answers nothing
    AB = "ab"  # fixed shares until a verdict
    BANDIT = "bandit"  # shares by what outcomes say, batch by batch


class Blind(StrEnum):
    """What happens while there is no fresh evidence, or no word of the controller for ``silence_seconds``."""

    HOLD = "hold"  # shares stay as they are
    ZERO = "zero"  # the control answers everything


class OnHarm(StrEnum):
    """What harm in one region means for the others."""

    ABORT = "abort"  # the rollout ends everywhere
    HOLD = "hold"  # the others stay where they are until a person decides


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One share.

    Attributes:
        share: of the candidate, in ten-thousandths.
        seconds: that it stays at least, from when every pod was read back with it.
        proof: whether it stays until the verdict is *harmless*, however long that takes.

    Raises:
        UsageError: share or seconds are out of range.
    """

    share: int
    seconds: float = 0.0
    proof: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= SHARES or not 0 <= self.seconds <= SECONDS_MAX:
            raise UsageError(
                f"bad step of {self.share / 100:g} % for {self.seconds:g} s",
                subject="rollout plan",
                hint="a step has 0 to 100 % of the requests and at most a year",
            )


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """A plan.

    Attributes:
        strategy: what kind of rollout it is.
        steps: in order; no share is below the one before.
        gates: what the candidate is tested for.
        waves: of regions, one after the other; those that are not named follow in one last wave. None: one wave of all.
        standby: regions that load the candidate and send it nothing before it is promoted.
        key: who asks.
        bake_seconds: for which the old version stays loaded after the promotion.
        deadline_seconds: after which a rollout that is not promoted is aborted.
        blind: what happens without evidence or controller.
        silence_seconds: without a word of the controller, after which a region does what ``blind`` says.
        on_harm: what harm in one region means for the others.
        switch_at_us: when all regions of a blue-green rollout are to switch, UTC microseconds, or as soon after it as
            every pod has both versions loaded; 0: as soon as they have.

    Raises:
        UsageError: it can't be carried out; the message says what is wrong.
    """

    strategy: Strategy
    steps: tuple[PlanStep, ...]
    gates: AnalysisPlan = field(default_factory=AnalysisPlan)
    waves: tuple[tuple[str, ...], ...] = ()
    standby: tuple[str, ...] = ()
    key: RequestKey = AT_RANDOM
    bake_seconds: float = 3600.0
    deadline_seconds: float = 7 * 86_400.0
    blind: Blind = Blind.HOLD
    silence_seconds: float = 300.0
    on_harm: OnHarm = OnHarm.ABORT
    switch_at_us: int = 0

    def __post_init__(self) -> None:
        shares = [step.share for step in self.steps]
        if not shares or len(shares) > STEPS_MAX or shares != sorted(shares):
            raise bad_plan(f"steps of {shares}", f"1 to {STEPS_MAX} steps, none below the one before: 1,10,50,100")
        if self.strategy is Strategy.SHADOW and shares[-1]:
            raise bad_plan("a shadow that answers", "a shadow's steps have a share of 0")
        if any(step.proof and step.share == SHARES for step in self.steps):
            raise bad_plan("proof at 100 %", "nothing is left to compare with there: ask for it one step before")
        if self.strategy is Strategy.BANDIT:
            _check_bandit(self)
        if self.switch_at_us and self.strategy is not Strategy.BLUE_GREEN:
            raise bad_plan(
                f"a time to switch at for {self.strategy}", "only blue-green switches all regions at one instant"
            )
        if self.switch_at_us and self.waves:
            raise bad_plan("a time to switch at, and waves", "one after the other is not at one instant: leave out one")
        if not 0 <= self.switch_at_us < YEAR_10000_US:
            raise bad_plan(f"switch_at_us {self.switch_at_us}", "UTC microseconds, up to the year 9999")
        named = [region for wave in self.waves for region in wave] + list(self.standby)
        wrong = [region for region in named if not REGION_PATTERN.fullmatch(region)]
        if wrong or len(set(named)) != len(named) or len(named) > REGIONS_MAX or not all(self.waves):
            raise bad_plan(f"waves of {named[:8]}", "each region once, as in --waves eu/us,ap")
        for name in ("bake_seconds", "deadline_seconds", "silence_seconds"):
            if not 0 <= getattr(self, name) <= SECONDS_MAX:
                raise bad_plan(f"{name} {getattr(self, name):g}", "0 s to a year")
        if self.silence_seconds < 10 or self.deadline_seconds < sum(step.seconds for step in self.steps):
            raise bad_plan(
                "a deadline that comes before the end of the steps, or a silence below 10 s",
                "give it more time than its steps take",
            )

    @property
    def floor(self) -> int:
        """Of a bandit: what either version gets at least, in ten-thousandths."""
        return SHARES - self.steps[-1].share

    def wave_of(self, region: str) -> int:
        """The number of the wave that a region belongs to; -1: standby."""
        if region in self.standby:
            return -1
        return next((number for number, wave in enumerate(self.waves) if region in wave), len(self.waves))


def _check_bandit(plan: RolloutPlan) -> None:
    (step, *more), outcomes = plan.steps, plan.gates.outcomes
    if more or not SHARES // 2 < step.share < SHARES or step.seconds < 10:
        raise bad_plan(
            "steps of a bandit", "one step: the most that a version gets, and how long a batch is, as 95@15m"
        )
    if not outcomes:
        raise bad_plan("a bandit without an outcome", "name what it is to raise or lower: --gate 'outcome:ctr>=-1%'")


CANARY = RolloutPlan(
    Strategy.CANARY,
    (PlanStep(100, 300), PlanStep(1_000, 300), PlanStep(5_000, 300, proof=True), PlanStep(SHARES, 300)),
)
"""1, 10, 50 and 100 %: errors at most 1.5 times the control's, 99th percentile at most 1.2 times."""
GRADUAL = RolloutPlan(
    Strategy.GRADUAL,
    tuple(
        PlanStep(share, 3600.0 * hours) for share, hours in ((500, 1), (1_000, 1), (2_500, 2), (5_000, 4), (SHARES, 4))
    ),
)
"""5 % up to the end of hour 1, 10 % of hour 2, 25 % of hour 4, 50 % of hour 8, 100 % of hour 12."""
BLUE_GREEN = RolloutPlan(Strategy.BLUE_GREEN, (PlanStep(0, 0), PlanStep(SHARES, 600)))
SHADOW = RolloutPlan(Strategy.SHADOW, (PlanStep(0, 3600),))
AB_TEST = RolloutPlan(Strategy.AB, (PlanStep(5_000, 86_400, proof=True),))
BANDIT = RolloutPlan(Strategy.BANDIT, (PlanStep(9_500, 900),), gates=AnalysisPlan(outcomes=(OutcomeGate("reward"),)))
"""Batches of 15 minutes; each version gets at least 5 %; by outcome ``reward``, of which more is better."""
READY_MADE: dict[str, RolloutPlan] = {
    str(plan.strategy): plan for plan in (CANARY, GRADUAL, BLUE_GREEN, SHADOW, AB_TEST, BANDIT)
}
"""By the strategy's name."""


def encode_plan(plan: RolloutPlan) -> str:
    """The plan as JSON in one line, the same text for the same plan."""
    return json_bytes({"format": _FORMAT, **asdict(plan), "key": str(plan.key)}).decode()


def decode_plan(text: str) -> RolloutPlan:
    """Read what ``encode_plan`` wrote.

    Raises:
        DecodeError: it is no plan, or one that can't be carried out or is not known here.
    """
    fields = JsonFields.read(text.encode("utf-8", "surrogatepass"), "a rollout plan", size_max=PLAN_SIZE_MAX)
    if (number := fields.whole("format")) != _FORMAT:
        raise DecodeError(f"a rollout plan of format {number}", reason="unknown-format", hint=f"this reads {_FORMAT}")
    try:
        plan = RolloutPlan(
            strategy=Strategy(fields.text("strategy")),
            steps=tuple(_step(each) for each in fields.items("steps", count_max=STEPS_MAX)),
            gates=_gates(fields.nested("gates")),
            waves=tuple(tuple(_names(wave)) for wave in fields.items("waves", count_max=REGIONS_MAX)),
            standby=tuple(_names(fields.items("standby", count_max=REGIONS_MAX))),
            key=RequestKey.parse(fields.text("key")),
            bake_seconds=fields.number("bake_seconds"),
            deadline_seconds=fields.number("deadline_seconds"),
            blind=Blind(fields.text("blind")),
            silence_seconds=fields.number("silence_seconds"),
            on_harm=OnHarm(fields.text("on_harm")),
            switch_at_us=fields.whole("switch_at_us"),
        )
    except DecodeError:
        raise
    except (ContentError, ValueError) as error:
        raise DecodeError(f"not a rollout plan: {error}"[:500], reason="bad-value") from None
    fields.done()
    return plan


def _step(value: Any) -> PlanStep:
    fields = JsonFields(value, "a step")
    step = PlanStep(fields.whole("share"), fields.number("seconds"), fields.switch("proof"))
    fields.done()
    return step


def _gates(fields: JsonFields | None) -> AnalysisPlan:
    if fields is None:
        raise DecodeError("a rollout plan without gates", reason="bad-value")
    plan = AnalysisPlan(
        tuple(_gate(each) for each in fields.items("gates", count_max=len(Measure))),
        alpha_harmful=fields.number("alpha_harmful"),
        alpha_harmless=fields.number("alpha_harmless"),
        alpha_sample_ratio=fields.number("alpha_sample_ratio"),
        sample_ratio_tolerance=fields.number("sample_ratio_tolerance"),
        outcomes=tuple(_outcome_gate(each) for each in fields.items("outcomes", count_max=OUTCOMES_MAX)),
        predictions=tuple(
            _prediction_gate(each) for each in fields.items("predictions", count_max=len(PredictionMeasure))
        ),
    )
    fields.done()
    return plan


def _gate(value: Any) -> Gate:
    fields = JsonFields(value, "a gate")
    measure = Measure(fields.text("measure"))
    gate = Gate(measure, fields.number("harmful"), fields.number("harmless"), fields.number("acceptable_rate"))
    fields.done()
    return gate


def _outcome_gate(value: Any) -> OutcomeGate:
    fields = JsonFields(value, "an outcome gate")
    gate = OutcomeGate(
        fields.text("name"), fields.number("tolerated"), fields.switch("higher_is_better"), fields.whole("planned")
    )
    fields.done()
    return gate


def _prediction_gate(value: Any) -> PredictionGate:
    fields = JsonFields(value, "a gate on predictions")
    measure = PredictionMeasure(fields.text("measure"))
    reference = fields.items("reference", count_max=SCORE_BINS)
    if any(type(count) is not int or not 0 <= count < 2**53 for count in reference):
        raise DecodeError("a gate on predictions: its reference holds no counts", reason="bad-value")
    gate = PredictionGate(measure, fields.number("tolerated"), fields.number("excluded"), tuple(reference))
    fields.done()
    return gate


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DecodeError(f"a rollout plan: {str(value)[:80]} are no regions", reason="bad-value")
    return value


def bad_plan(what: str, hint: str) -> UsageError:
    """The error that a plan can't be carried out, or is none."""
    return UsageError(f"bad plan: {what}", subject="rollout plan", hint=hint)
