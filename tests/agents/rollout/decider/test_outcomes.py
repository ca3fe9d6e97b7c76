"""What came of answers, in a rollout: joined, summed up, shown, decided on, and kept for who takes over."""

from dataclasses import replace

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.progress import decode_progress
from modelcast.schemas.evidence.gates import OutcomeGate
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.records import CommandKind
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.steps_and_gates import AB_TEST, PlanStep, RolloutPlan
from tests.agents.rollout.decider.makers import Bench
from tests.schemas.traffic.makers import log_with_rollout

CTR = OutcomeGate("ctr", tolerated=0.05, planned=4_000)
PLAN = replace(
    AB_TEST,
    steps=(PlanStep(5_000, 2, proof=True),),
    gates=replace(AB_TEST.gates, outcomes=(CTR,)),
    deadline_seconds=3_600,
)


def bench(plan: RolloutPlan = PLAN) -> Bench:
    made = Bench(log_with_rollout(plan=plan))
    made.begin()
    made.seconds_pass(3, requests=2_000)
    return made


def observe(made: Bench, version: int, ones: int, count: int, name: str = "ctr") -> None:
    """So many outcomes of one version, of which some are 1 and the rest 0."""
    for n in range(count):
        outcome = ObservedOutcome("fraud", name, float(n < ones), made.wall_us, f"{version}-{n}", version)
        made.tell(facts.OutcomeHeard(outcome))


def test_they_are_shown_with_an_interval_that_may_be_looked_at_at_any_time() -> None:
    made = bench()
    observe(made, 7, 100, 500)
    observe(made, 8, 90, 500)
    observe(made, 9, 1, 3)
    observe(made, 8, 1, 2, name="sales")
    made.seconds_pass(2, requests=2_000)
    state = made.state.published
    assert state is not None
    ctr, sales = state.outcomes
    assert (ctr.name, ctr.kind, ctr.control_mean, ctr.candidate_mean) == ("ctr", "undecided", 0.2, 0.18)
    assert ctr.low is not None and ctr.high is not None and ctr.low < -0.02 < ctr.high
    assert (sales.kind, sales.low) == ("", None)
    assert state.outcomes_left_out == "3 of a version that takes no part"


def test_a_candidate_whose_outcomes_are_proved_to_be_worse_is_out_and_the_verdict_can_be_computed_again() -> None:
    made = bench()
    observe(made, 7, 2_000, 4_000)
    observe(made, 8, 800, 4_000)
    effects = made.second(requests=2_000, answer=False)
    (entry,) = [effect for effect in effects if isinstance(effect, facts.ClaimEntry)]
    assert entry.kind is CommandKind.ROLLOUT_ABORT
    assert "outcome:ctr of the candidate" in entry.reason
    assert "mean 0.2 of 4000 against 0.5 of 4000" in entry.reason
    assert encode_verdict(replayed(decode_evidence(entry.evidence))) == entry.verdict


def test_a_step_with_proof_waits_for_what_its_outcomes_show() -> None:
    made = bench()
    made.seconds_pass(300, requests=2_000)
    assert made.state.published is not None
    assert "outcome:ctr is not proved harmless yet" in made.state.published.why
    observe(made, 7, 2_000, 4_000)
    observe(made, 8, 2_200, 4_000)
    made.seconds_pass(3, requests=2_000)
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.RUNNING, "an A/B test ends by a person's word"
    assert "its steps are over; harmless" in made.state.published.why


def test_who_takes_over_goes_on_with_the_sums() -> None:
    made = bench()
    observe(made, 7, 100, 500)
    saved = []
    for _ in range(60):
        made.second(requests=2_000, answer=False)
        saved += [effect for effect in made.asked if isinstance(effect, facts.SaveProgress)]
        made.answer()
    after = Bench(made.log)
    after.begin(made.state.table, decode_progress(saved[-1].body))
    assert after.state.gathered is not None
    assert after.state.gathered.outcomes["ctr"].control.count == 500
