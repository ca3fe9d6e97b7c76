"""A bandit: shares follow outcomes batch by batch, within what the log grants, and who takes over goes on."""

from dataclasses import replace

import pytest

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.batches import bandit_share
from modelcast.agents.rollout.decider.progress import decode_progress
from modelcast.schemas.evidence.gates import ERRORS, AnalysisPlan, OutcomeGate
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.records import CommandKind
from modelcast.schemas.traffic.steps_and_gates import BANDIT, PlanStep
from tests.agents.rollout.decider.makers import Bench
from tests.agents.rollout.decider.test_outcomes import observe
from tests.schemas.traffic.makers import log_with_rollout, rollout_word

PLAN = replace(
    BANDIT,
    steps=(PlanStep(9_500, 10),),
    gates=AnalysisPlan((ERRORS,), outcomes=(OutcomeGate("ctr", tolerated=0.2),)),
    deadline_seconds=3_600,
)


def bench() -> Bench:
    made = Bench(log_with_rollout(plan=PLAN))
    made.begin()
    made.seconds_pass(3, requests=4_000)
    return made


def share(made: Bench) -> int:
    assert made.state.table is not None
    return made.state.table.share


def batch(made: Bench, control: int, candidate: int) -> int:
    """One batch with so many ones of 400 of either version; the share after it."""
    observe(made, 7, control, 400)
    observe(made, 8, candidate, 400)
    made.seconds_pass(11, requests=4_000)
    return share(made)


def test_the_log_grants_once_and_the_table_moves_within() -> None:
    made = bench()
    assert set(made.ceilings.values()) == {9_500}
    assert share(made) == 500, "it starts at the floor"
    head = made.log.head
    shares = [batch(made, 100, 140) for _ in range(3)]
    assert shares[-1] == 9_500
    worse = [batch(made, 140, 90) for _ in range(6)]
    assert worse[-1] < 1_000
    assert made.log.head == head, "the log is not flooded"
    assert made.state.published is not None
    assert "after batch 9, which brought 400 outcomes against 400" in made.state.published.why


def test_before_it_is_proved_harmless_a_candidate_has_the_floor_whatever_it_brings() -> None:
    made = Bench(log_with_rollout(plan=PLAN))
    made.begin()
    made.seconds_pass(3)
    observe(made, 7, 10, 400)
    observe(made, 8, 300, 400)
    made.seconds_pass(25)  # no request was answered: nothing is proved
    assert made.state.gathered is not None
    assert len(made.state.gathered.batches) == 2
    assert share(made) == 500
    assert made.state.published is not None
    assert "5 % until it is proved harmless" in made.state.published.why


def test_a_region_that_is_not_heard_of_and_a_hold_end_no_batch() -> None:
    made = bench()
    batch(made, 100, 100)
    count = len(made.state.gathered.batches) if made.state.gathered else 0
    made.seconds_pass(30, requests=4_000, quiet=("us",))
    assert made.state.gathered is not None
    assert len(made.state.gathered.batches) <= count + 1
    made.seconds_pass(1, requests=4_000)
    count = len(made.state.gathered.batches)
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_HOLD, reason="wait"))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    before = share(made)
    made.seconds_pass(30, requests=4_000)
    assert (len(made.state.gathered.batches), share(made)) == (count, before)


def test_a_candidate_that_harms_is_out_and_its_shares_can_be_computed_again() -> None:
    made = bench()
    for _ in range(3):
        batch(made, 100, 120)
    found: list[facts.Effect] = []
    while not any(isinstance(effect, facts.ClaimEntry) for effect in found):
        found = made.second(requests=4_000, errors=(0.01, 0.2), answer=False)
    (entry,) = [effect for effect in found if isinstance(effect, facts.ClaimEntry)]
    assert entry.kind is CommandKind.ROLLOUT_ABORT
    evidence = decode_evidence(entry.evidence)
    assert len(replayed(evidence).shares) == 3
    assert encode_verdict(replayed(evidence)) == entry.verdict
    altered = replace(evidence, batches=evidence.batches[::-1][:2])
    assert encode_verdict(replayed(altered)) != entry.verdict


def test_who_takes_over_goes_on_with_the_batches() -> None:
    made, saved = bench(), []
    for _ in range(4):
        observe(made, 7, 100, 400)
        observe(made, 8, 105, 400)
        for _ in range(11):
            made.second(requests=4_000, answer=False)
            saved += [effect for effect in made.asked if isinstance(effect, facts.SaveProgress)]
            made.answer()
    progress = decode_progress(saved[-1].body)
    assert progress.evidence.batches
    after = Bench(made.log)
    after.begin(made.state.table, progress)
    assert after.state.gathered is not None
    assert after.state.gathered.batches == progress.evidence.batches
    assert share(after) == bandit_share(after.state.gathered, PLAN) != 500


@pytest.mark.parametrize("version", [7, 8])
def test_outcomes_without_a_version_belong_to_nobody(version: int) -> None:
    from modelcast.schemas.log.outcome_assignment import OutcomeSide, side_of
    from modelcast.schemas.traffic.outcomes import ObservedOutcome

    rollout = log_with_rollout(plan=PLAN).rollout
    assert rollout is not None
    known = ObservedOutcome("fraud", "ctr", 1.0, 9_000_000, "a", version, "ann")
    assert side_of(rollout, known) is (OutcomeSide.CANDIDATE if version == 8 else OutcomeSide.CONTROL)
    assert side_of(rollout, replace(known, version=None)) is OutcomeSide.MOVES
