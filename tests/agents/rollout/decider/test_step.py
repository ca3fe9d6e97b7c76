"""The controller, decision by decision."""

from dataclasses import replace

import pytest

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.entries import command_of
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import (
    BLUE_GREEN,
    CANARY,
    GRADUAL,
    SHADOW,
    Blind,
    OnHarm,
    PlanStep,
    RolloutPlan,
)
from tests.agents.rollout.decider.makers import Bench
from tests.schemas.traffic.makers import (
    EMPTY_LOG,
    commanded,
    log_with_rollout,
    published,
    rollout_start,
    rollout_word,
    share_table,
)
from tests.support.records.folding import apply_all

QUICK = replace(
    CANARY, steps=(PlanStep(1_000, 5), PlanStep(5_000, 5, proof=True), PlanStep(10_000, 5)), deadline_seconds=3_600
)


def bench(plan: RolloutPlan = QUICK) -> Bench:
    made = Bench(log_with_rollout(plan=plan))
    made.begin()
    return made


def claims(effects: list[facts.Effect]) -> list[CommandKind]:
    return [effect.kind for effect in effects if isinstance(effect, facts.ClaimEntry)]


def test_nothing_is_decided_before_the_store_was_asked_who_decides() -> None:
    made = Bench(log_with_rollout())
    assert made.tell(facts.LogFolded(made.log)) == [facts.TakeOver("3")]
    assert made.second(answer=False) == []


def test_who_takes_over_raises_the_epoch_and_puts_a_table_at_once() -> None:
    made = Bench(log_with_rollout())
    made.tell(facts.LogFolded(made.log))
    (put,) = made.tell(facts.TookOver(share_table(0, generation=3, epoch=6)))
    assert isinstance(put, facts.PutTable)
    assert (put.table.epoch, put.table.sequence, put.table.share) == (7, 1, 0)


def test_a_model_without_a_rollout_is_left_alone() -> None:
    made = Bench(log_with_rollout())
    log = replace(made.log, rollout=None)
    assert made.tell(facts.LogFolded(log)) == []


def test_the_first_step_waits_until_every_pod_has_both_versions() -> None:
    made = bench()
    made.seconds_pass(5, candidate_ready=0)
    assert made.ceilings == {"eu": 0, "us": 0}
    made.seconds_pass(5, control_ready=0)
    assert made.ceilings == {"eu": 0, "us": 0}
    made.second()
    assert made.ceilings == {"eu": 1_000, "us": 1_000}


def test_a_healthy_candidate_goes_from_step_to_step_and_is_promoted() -> None:
    made, seen = bench(), []
    for _ in range(600):
        made.second(requests=2_000)
        seen.append(made.ceilings["eu"])
        if made.log.rollout is not None and not made.log.rollout.active:
            break
    assert list(dict.fromkeys(seen)) == [1_000, 5_000, 10_000]
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.PROMOTED
    assert made.log.aspired_version("eu") == 8
    assert made.state.table is not None
    assert (made.state.table.share, made.state.table.control.version) == (0, 8)


def test_a_step_counts_from_when_every_pod_was_read_back_with_it() -> None:
    made = bench()
    made.second(requests=2_000)
    made.seconds_pass(30, requests=2_000, pods_in_force=0)
    assert made.ceilings["eu"] == 1_000
    made.seconds_pass(5, requests=2_000)
    assert made.ceilings["eu"] == 1_000, "five seconds from now on"
    made.seconds_pass(3, requests=2_000)
    assert made.ceilings["eu"] == 5_000


def test_what_is_written_about_the_model_meanwhile_raises_the_table_and_leaves_the_clock_of_a_step() -> None:
    made = bench()
    made.seconds_pass(4, requests=2_000)
    made.write(published(made.log.head + 1, 9, staged=True))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    assert made.state.table is not None
    assert (made.state.table.generation, made.state.table.share) == (made.log.head, 1_000)
    made.seconds_pass(4, requests=2_000)
    assert made.ceilings["eu"] == 5_000


def test_a_control_that_was_taken_out_is_replaced_in_a_table_that_pods_take() -> None:
    entries = (published(1, 6), published(2, 7), published(3, 8, staged=True), rollout_start(4, 8, QUICK))
    made = Bench(apply_all(EMPTY_LOG, entries))
    made.begin()
    made.seconds_pass(3, requests=2_000)
    made.write(commanded(made.log.head + 1, CommandKind.QUARANTINE, CommandTarget(ALL_REGIONS, 7)))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    table = made.state.table
    assert table is not None
    assert (table.control.version, table.generation) == (6, made.log.view("eu").generation)


def test_without_traffic_nothing_is_proved_and_nothing_goes_on() -> None:
    made = bench(replace(GRADUAL, steps=(PlanStep(500, 5), PlanStep(10_000, 5))))
    made.seconds_pass(60)
    assert made.ceilings["eu"] == 500
    assert made.state.published is not None
    assert "waits for traffic" in made.state.published.why


def test_a_ramp_goes_by_the_clock_while_nothing_shows_harm() -> None:
    made = bench(replace(GRADUAL, steps=(PlanStep(500, 5), PlanStep(10_000, 5))))
    made.seconds_pass(30, requests=2_000)
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.PROMOTED


def test_what_is_undecided_is_not_promoted_however_long_it_takes() -> None:
    made = bench()
    made.seconds_pass(40, requests=800, errors=(0.01, 0.0175))
    assert made.ceilings["eu"] == 5_000
    assert made.state.published is not None
    assert "undecided" in made.state.published.why


def test_a_harmful_candidate_is_out_at_once_and_its_evidence_can_be_computed_again() -> None:
    made = bench()
    made.seconds_pass(4, requests=2_000)
    for _ in range(60):
        effects = made.second(requests=2_000, errors=(0.01, 0.5), answer=False)
        if claims(effects):
            break
        made.answer()
    (table,) = [effect.table for effect in effects if isinstance(effect, facts.PutTable)]
    (entry,) = [effect for effect in effects if isinstance(effect, facts.ClaimEntry)]
    assert (entry.kind, table.share) == (CommandKind.ROLLOUT_ABORT, 0)
    assert effects.index(entry) > [isinstance(effect, facts.PutTable) for effect in effects].index(True)
    found = replayed(decode_evidence(entry.evidence))
    assert found.kind is Kind.HARMFUL
    assert encode_verdict(found) == entry.verdict
    made.answer()
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.ABORTED
    assert made.log.aspired_version("eu") == 7


def test_a_region_that_is_not_heard_of_holds_everything() -> None:
    made = bench()
    made.second(requests=2_000)
    made.seconds_pass(30, requests=2_000, quiet=("us",))
    assert made.ceilings == {"eu": 1_000, "us": 1_000}
    assert made.state.published is not None
    assert made.state.published.blind
    assert "us" in made.state.published.why


def test_old_news_is_no_news() -> None:
    made = bench()
    made.second(requests=2_000)
    made.seconds_pass(20, requests=2_000, quiet=("us",))
    stale = replace(made._reading("us", 1_000), sequence=10_000)
    made.tell(facts.ReadingHeard(stale, age_seconds=9.0))
    made.seconds_pass(3, requests=2_000, quiet=("us",))
    assert made.ceilings["eu"] == 1_000


def test_a_plan_may_take_everything_back_when_it_is_blind_for_long() -> None:
    made = bench(replace(QUICK, blind=Blind.ZERO, silence_seconds=10))
    made.seconds_pass(3, requests=2_000)
    made.seconds_pass(12, requests=2_000, quiet=("eu", "us"))
    assert made.ceilings == {"eu": 0, "us": 0}


def test_what_a_region_cut_off_ends_it_everywhere() -> None:
    made = bench()
    made.seconds_pass(3, requests=2_000)
    made.second(requests=2_000, cut="errors", cut_rollout="3")
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.ABORTED
    assert "cut it off" in made.log.rollout.reason


def test_or_holds_it_if_the_plan_says_so() -> None:
    made = bench(replace(QUICK, on_harm=OnHarm.HOLD))
    made.seconds_pass(3, requests=2_000)
    made.seconds_pass(20, requests=2_000, cut="errors", cut_rollout="3")
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.HELD
    assert made.ceilings["eu"] == 1_000


def test_a_cut_of_another_rollout_is_not_this_ones() -> None:
    made = bench()
    made.seconds_pass(3, requests=2_000, cut="errors", cut_rollout="2")
    assert made.log.rollout is not None
    assert made.log.rollout.active


def test_a_held_rollout_stays_where_it_is_and_still_ends_when_it_harms() -> None:
    made = bench()
    made.seconds_pass(2, requests=2_000)
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_HOLD))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    made.seconds_pass(30, requests=2_000)
    assert made.ceilings["eu"] == 1_000
    made.seconds_pass(60, requests=2_000, errors=(0.01, 0.5))
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.ABORTED


def test_a_rollout_that_takes_too_long_is_aborted() -> None:
    made = bench(replace(QUICK, deadline_seconds=20.0))
    made.seconds_pass(25)
    assert made.log.rollout is not None
    assert made.log.rollout.phase is RolloutPhase.ABORTED
    assert "not promoted within" in made.log.rollout.reason


def test_waves_go_one_after_the_other_through_all_steps() -> None:
    made, seen = bench(replace(QUICK, waves=(("us",), ("eu",)))), []
    for _ in range(900):
        made.second(requests=2_000)
        seen.append((made.ceilings["us"], made.ceilings["eu"]))
        if made.log.rollout is not None and not made.log.rollout.active:
            break
    assert list(dict.fromkeys(seen)) == [
        (1_000, 0), (5_000, 0), (10_000, 0), (10_000, 1_000), (10_000, 5_000), (10_000, 10_000),
    ]  # fmt: skip


def test_a_region_that_comes_late_lowers_nothing() -> None:
    made = bench()
    made.seconds_pass(8, requests=2_000)
    assert made.ceilings == {"eu": 5_000, "us": 5_000}
    made.regions = ("ap", "eu", "us")
    made.counted["ap"] = {7: [0, 0], 8: [0, 0]}
    made.seconds_pass(4, requests=2_000)
    assert made.ceilings == {"ap": 1_000, "eu": 5_000, "us": 5_000}


def test_a_shadow_is_never_promoted_by_itself() -> None:
    made = bench(replace(SHADOW, steps=(PlanStep(0, 5),)))
    made.seconds_pass(30, requests=2_000)
    assert made.log.rollout is not None
    assert made.log.rollout.active
    assert made.state.table is not None
    assert made.state.table.shadow is not None
    assert made.state.table.share == 0


def test_a_refused_table_makes_it_ask_who_decides_before_anything_else() -> None:
    made = bench()
    made.seconds_pass(1)
    assert made.tell(facts.TableRefused()) == []
    assert made.second(requests=2_000, answer=False) == []
    made.second(requests=2_000, answer=False)
    assert [effect for effect in made.asked if not isinstance(effect, facts.TakeOver)] == []
    assert facts.TakeOver("3") in made.asked


def test_who_takes_over_goes_on_with_what_was_seen() -> None:
    made = bench()
    made.seconds_pass(40, requests=2_000)
    saved = [effect for effect in made.asked if isinstance(effect, facts.SaveProgress)]
    assert made.state.gathered is not None
    seen = made.state.gathered.evidence
    from modelcast.agents.rollout.decider.progress import decode_progress, encode_progress
    from modelcast.agents.rollout.decider.step import _saved

    made.state = replace(made.state, saved_at=-1e9)
    assert made.log.rollout is not None
    _, effects = _saved(made.state, made.log.rollout, facts.Moment(made.seconds, made.wall_us))
    saved = [effect for effect in effects if isinstance(effect, facts.SaveProgress)]
    progress = decode_progress(saved[0].body)
    assert encode_progress(progress) == saved[0].body
    other = Bench(made.log)
    other.sequence, other.counted = made.sequence, made.counted
    other.begin(made.state.table, progress)
    assert other.state.gathered is not None
    assert other.state.gathered.evidence == seen
    other.second(requests=0)
    assert other.state.gathered.evidence == seen, "what was counted is not counted again"


def test_a_newer_rollout_begins_with_no_evidence() -> None:
    made = bench()
    made.seconds_pass(4, requests=2_000, errors=(0.01, 0.3))
    made.write(published(made.log.head + 1, 9, staged=True))
    made.write(rollout_start(made.log.head + 1, 9, QUICK))
    made.tell(facts.LogFolded(made.log))
    assert made.state.gathered is not None
    assert made.state.gathered.evidence.candidate.requests == 0
    assert made.state.rollout == str(made.log.head)


def test_an_entry_is_not_written_above_news_that_were_not_seen() -> None:
    made = bench()
    effects = made.second(requests=2_000, answer=False)
    (entry,) = [effect for effect in effects if isinstance(effect, facts.ClaimEntry)]
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_HOLD))
    assert command_of(entry, made.log, event_id="e", now_us=1, requested_by="c") is None
    abort = replace(entry, kind=CommandKind.ROLLOUT_ABORT)
    assert command_of(abort, made.log, event_id="e", now_us=1, requested_by="c") is not None
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_ABORT))
    assert command_of(abort, made.log, event_id="e", now_us=1, requested_by="c") is None


@pytest.mark.parametrize("seconds", [1, 9])
def test_how_it_stands_is_told_when_it_changes_and_again_from_time_to_time(seconds: int) -> None:
    made = bench()
    made.seconds_pass(2)
    published_at = made.state.published_at
    made.seconds_pass(seconds + 10)
    assert made.state.published_at > published_at
    assert made.state.published is not None
    assert made.state.published.regions[0].region == "eu"


def test_an_instant_that_lies_ahead_outlives_who_set_it_and_flips_nobody_early() -> None:
    made = bench(replace(BLUE_GREEN, steps=(PlanStep(0), PlanStep(10_000, 5))))
    made.second()
    table = made.state.table
    assert table is not None and table.not_before_us > made.wall_us
    other = Bench(made.log)
    other.wall_us = made.wall_us
    other.begin(table)
    after = other.state.table
    assert after is not None and after.epoch > table.epoch
    assert (after.not_before_us, after.before, after.share) == (table.not_before_us, table.before, 10_000)
    assert after.arms_at(made.wall_us)[-1].share == 10_000, "the control answers everything until then"


SWITCHED = replace(BLUE_GREEN, steps=(PlanStep(0), PlanStep(10_000, 5)))


def switching(**plan: int) -> Bench:
    return bench(replace(SWITCHED, **plan))  # type: ignore[arg-type]


def seconds_until_promoted(made: Bench) -> int:
    for second in range(60):
        made.second(requests=2_000)
        if made.log.rollout is not None and made.log.rollout.phase is RolloutPhase.PROMOTED:
            return second + 1
    raise AssertionError("never promoted")


def test_blue_green_switches_all_regions_at_one_instant_once_every_pod_has_both_versions() -> None:
    made = switching()
    made.seconds_pass(5, candidate_ready=0)
    assert made.ceilings == {"eu": 0, "us": 0}
    made.second()
    rollout, table = made.log.rollout, made.state.table
    assert rollout is not None and table is not None
    assert made.ceilings == {"eu": 10_000, "us": 10_000}
    assert made.wall_us < rollout.not_before_us == table.not_before_us <= made.wall_us + 5_000_000
    assert table.arms_at(table.not_before_us - 1)[-1].share == 10_000
    assert table.arms_at(table.not_before_us)[-1].share == 0


def test_a_switch_waits_for_its_instant_and_its_step_begins_then() -> None:
    made = switching(switch_at_us=20_000_000 + 30_000_000)
    made.second(requests=2_000)
    assert made.state.table is not None
    assert made.state.table.not_before_us == 50_000_000
    made.second(requests=2_000)
    assert made.state.published is not None
    assert "all regions switch at 1970-01-01 00:00:50.000 UTC" in made.state.published.why
    assert seconds_until_promoted(made) >= 50 - 22 + 5, "five seconds of the step, from the switch on"


def test_regions_whose_clocks_differ_by_more_than_a_second_do_not_switch() -> None:
    made = switching()
    a_year_us = 400 * 86_400 * 1_000_000
    made.tell(facts.ReadingHeard(made._reading("us", 0), 0.0, a_year_us))
    made.tell(facts.ReadingHeard(made._reading("eu", 0), 0.0, 3_000))
    made.seconds_pass(10)
    assert made.ceilings == {"eu": 0, "us": 0}
    assert made.state.published is not None
    assert "the clocks of us and eu are" in made.state.published.why
    made.tell(facts.ReadingHeard(made._reading("us", 0), 0.0, 5_000))
    made.second()
    assert made.ceilings == {"eu": 10_000, "us": 10_000}


def test_a_switch_that_is_held_before_its_instant_does_not_happen_then() -> None:
    made = switching()
    made.second()
    assert made.log.rollout is not None
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_HOLD, made.log.rollout.id))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    made.seconds_pass(10)
    table = made.state.table
    assert table is not None
    assert (table.generation, table.share, table.before) == (made.log.head, 0, ())
    made.write(rollout_word(made.log.head + 1, CommandKind.ROLLOUT_RESUME, made.log.rollout.id))
    made.tell(facts.LogFolded(made.log))
    made.answer()
    assert made.state.table is not None
    assert made.state.table.share == 10_000


def test_a_shadow_says_how_many_copies_were_answered_otherwise() -> None:
    made = bench(replace(SHADOW, steps=(PlanStep(0, 5),)))
    made.seconds_pass(2)
    assert made.state.published is not None
    assert "no copy was answered yet" in made.state.published.why
    counts = made._counts("eu")
    of_candidate = replace(counts.versions[1], shadow_agree=9_700, shadow_differ=300)
    made.tell(facts.CountsHeard(replace(counts, sequence=10**6, versions=(counts.versions[0], of_candidate))))
    made.seconds_pass(2)
    assert "3 % of 10,000 copies were answered otherwise" in made.state.published.why
