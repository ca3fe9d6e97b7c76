"""A rollout's traffic in one region: what pods are given, what counts as in force, what falls here and never rises."""

from dataclasses import replace

from modelcast.agents.region.traffic.decider.knowledge import (
    ControllerHeard,
    CutSaved,
    CutUnsaved,
    GiveTable,
    OwnerProved,
    PodSilent,
    PodsListed,
    ProveOwner,
    ReadCounts,
    ReadLog,
    SendCounts,
    SendReading,
    TableNotTaken,
    TableSeen,
    TableTaken,
    TimePassed,
)
from modelcast.agents.region.traffic.decider.step_traffic import is_quiet, wakes_at
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.records import CommandKind
from modelcast.schemas.traffic.steps_and_gates import CANARY, SHADOW, Blind
from modelcast.schemas.traffic.table import TrafficArm
from tests.agents.region.rollout_words import RolloutLog
from tests.agents.region.traffic.words import Divided, cut_off, cuts, table
from tests.agents.region.words import digest

BLIND_FALLS = replace(CANARY, blind=Blind.ZERO)


def test_a_table_of_the_origin_is_given_to_every_pod_and_counts_once_it_was_read_back() -> None:
    region = Divided("a", "b")
    region.goes_on()
    region.on(TableSeen(table(1_000)))
    given = [effect for effect in region.effects if isinstance(effect, GiveTable)]
    assert [(effect.pod, effect.table.share) for effect in given] == [("a", 1_000), ("b", 1_000)]
    region.undone.clear()
    for effect in given:
        region.pods[effect.pod].takes(effect.table)
        region.on(TableTaken(effect.pod, effect.table))
    region.passes(1)
    region.on(TimePassed())
    assert region.said.reading.pods_in_force == 0
    region.goes_on(1.0)
    reading = region.said.reading
    assert (reading.pods_in_force, reading.pods_expected, reading.share) == (2, 2, 1_000)
    assert reading.authority == (4, 1, 1)
    assert (reading.control_ready, reading.candidate_ready) == (2, 2)


def test_never_more_than_the_log_grants_is_given() -> None:
    region = Divided("a")
    region.puts(table(9_000))
    assert region.shares == [1_000]


def test_a_table_that_was_made_by_a_longer_log_waits_for_that_log() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.log.grants(5_000)
    effects = region.puts(table(5_000, generation=5))
    assert region.shares == [1_000]
    assert any(isinstance(effect, ReadLog) for effect in effects)
    region.folds()
    region.goes_on(1.0)
    assert region.shares == [5_000]


def test_a_table_of_an_older_authority_is_not_used() -> None:
    region = Divided("a")
    region.puts(table(500, epoch=2))
    region.puts(table(1_000, epoch=1, sequence=9))
    assert region.shares == [500]


def test_a_table_of_another_model_or_registry_is_not_used() -> None:
    region = Divided("a")
    region.puts(replace(table(1_000), model="spam"))
    region.puts(replace(table(1_000), registry_id="another"))
    assert region.shares == [0]


def test_a_pod_that_was_not_read_gets_no_table() -> None:
    region = Divided("a")
    region.on(TableSeen(table(1_000)))
    assert not [effect for effect in region.effects if isinstance(effect, GiveTable)]


def test_a_pod_that_came_or_restarted_gets_the_table_in_force() -> None:
    region = Divided("a", "b")
    region.puts(table(1_000))
    region.pods["b"].table = None
    region.goes_on(1.0)
    assert region.shares == [1_000, 1_000]
    del region.pods["a"]
    region.on(PodsListed(("b",)))
    assert region.traffic.pods.keys() == {"b"}


def test_a_pod_that_took_the_name_of_another_starts_anew() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.on(PodsListed(("a",), frozenset({"a"})))
    assert region.traffic.pods["a"].reading is None


def test_counts_are_told_when_they_change_and_else_from_time_to_time() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.pods["a"].counted((10, 0), (1, 0))
    sent = [effect for effect in region.goes_on(1.0) if isinstance(effect, SendCounts)]
    assert [effect.counts.versions[0].requests for effect in sent] == [10]
    assert not [effect for effect in region.goes_on(1.0) if isinstance(effect, SendCounts)]
    assert [effect for effect in region.goes_on(6.0) if isinstance(effect, SendCounts)]


def test_each_pod_is_asked_one_thing_at_a_time_and_about_once_a_second() -> None:
    region = Divided("a")
    region.goes_on()
    region.pods["a"].counted((0, 0), (1000, 0))
    region.puts(table(1_000))
    region.goes_on(1.0)
    asked, began = 0, region.now.seconds
    for _ in range(100):
        asked += sum(isinstance(effect, ReadCounts) for effect in region.goes_on(0.1))
    assert 0.8 <= asked / (region.now.seconds - began) <= 1.0
    region.passes(2.0)
    assert [type(effect) for effect in region.on(TimePassed()) if isinstance(effect, ReadCounts)]
    region.passes(5.0)
    assert not [effect for effect in region.on(TimePassed()) if isinstance(effect, ReadCounts)], "no answer yet"


def test_a_candidate_that_fails_is_cut_off_at_once_on_every_pod_and_that_is_kept() -> None:
    region = Divided("a", "b")
    region.puts(table(1_000))
    region.pods["a"].counted((50, 0), (5, 5))
    effects = region.goes_on(1.0)
    assert region.shares == [0, 0]
    [save] = cuts(effects)
    assert save.cut is not None and save.cut.rollout == "3"
    region.goes_on(1.0)
    reading = region.said.reading
    assert (reading.share, reading.pods_in_force, reading.cut_rollout) == (0, 2, "3")
    assert reading.cut


def test_a_cut_that_could_not_be_written_holds_and_is_written_again() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.pods["a"].counted((50, 0), (5, 5))
    [save] = cuts(region.goes_on(1.0))
    region.on(CutUnsaved())
    assert region.shares == [0]
    [again] = cuts(region.goes_on(1.0))
    assert again == save
    region.on(CutSaved(save.cut))
    assert cuts(region.goes_on(1.0)) == []


def test_no_table_and_no_further_step_undoes_a_cut() -> None:
    region = cut_off()
    region.puts(table(1_000, epoch=2))
    region.log.grants(5_000)
    region.folds()
    region.puts(table(5_000, generation=5, epoch=2))
    assert region.shares == [0]


def test_a_worker_that_takes_over_keeps_the_cut() -> None:
    before = cut_off()
    region = Divided("a", log=before.log)
    region.pods = before.pods
    region.traffic = replace(region.traffic, cut=before.traffic.cut, saved_cut=before.traffic.cut)
    region.puts(table(1_000, epoch=2))
    assert region.shares == [0]


def test_a_person_who_resumes_the_rollout_afterwards_ends_the_cut() -> None:
    region = cut_off()
    region.log.hold().resume()
    region.folds()
    effects = region.puts(table(1_000, generation=6, epoch=2))
    assert region.shares == [1_000]
    assert [save.cut for save in cuts(effects)] == [None]


def test_another_rollout_ends_the_cut() -> None:
    region = cut_off()
    region.log.abort().publish(3, activation=region.log.entries[1].activation).start(3).grants(500)  # type: ignore[union-attr]
    region.folds()
    assert region.traffic.cut is None


def test_a_silent_controller_lowers_shares_only_where_the_plan_says_so() -> None:
    for plan, share in ((CANARY, 1_000), (BLIND_FALLS, 0)):
        region = Divided("a", log=RolloutLog().start(plan=plan).grants(1_000))
        region.puts(table(1_000))
        region.goes_on(plan.silence_seconds - 20)
        assert region.shares == [1_000]
        region.goes_on(30)
        region.goes_on(1)
        assert region.shares == [share]
        assert "controller" in region.said.reading.error


def test_what_fell_in_silence_rises_by_a_newer_table_alone() -> None:
    region = Divided("a", log=RolloutLog().start(plan=BLIND_FALLS).grants(1_000))
    region.puts(table(1_000))
    region.goes_on(BLIND_FALLS.silence_seconds + 1)
    region.on(ControllerHeard())
    region.goes_on(1)
    assert region.shares == [0]
    region.puts(table(1_000, epoch=2))
    assert region.shares == [1_000]


def test_a_controller_that_is_heard_is_not_silent() -> None:
    region = Divided("a", log=RolloutLog().start(plan=BLIND_FALLS).grants(1_000))
    region.puts(table(1_000))
    for _ in range(4):
        region.goes_on(BLIND_FALLS.silence_seconds / 2)
        region.on(ControllerHeard())
    assert region.shares == [1_000]


def test_a_pod_that_has_less_by_the_same_authority_has_all_others_get_nothing() -> None:
    region = Divided("a", "b")
    region.goes_on()
    region.on(TableSeen(table(1_000)))
    region.on(TableNotTaken("a", table(1_000), "conflict", "accepted with other shares"))
    region.goes_on(1.0)
    assert region.pods["b"].table is None or region.pods["b"].table.share == 0


def test_a_pod_that_does_not_take_the_table_is_told_and_tried_again() -> None:
    region = Divided("a")
    region.goes_on()
    region.on(TableSeen(table(1_000)))
    region.on(TableNotTaken("a", table(1_000), "", "no answer in time"))
    region.passes(0.05)
    region.on(TimePassed())
    assert "no answer in time" in region.said.reading.error
    region.goes_on(5.0)
    assert region.shares == [1_000]


def test_requests_rise_only_while_it_is_known_who_owns_the_model() -> None:
    region = Divided("a", proved=False)
    region.goes_on()
    region.on(TableSeen(table(1_000)))
    assert [type(effect) for effect in region.effects if isinstance(effect, GiveTable | ProveOwner)] == [ProveOwner]
    region.on(OwnerProved(region.now.seconds))
    assert [effect for effect in region.effects if isinstance(effect, GiveTable)]


def test_they_fall_without_that() -> None:
    region = Divided("a", proved=False)
    region.goes_on()
    region.on(TableSeen(table(0)))
    assert [effect for effect in region.effects if isinstance(effect, GiveTable)]


def test_an_aborted_rollout_has_every_pod_send_nothing_and_is_then_quiet() -> None:
    region = Divided("a", "b")
    region.puts(table(1_000))
    assert not is_quiet(region.traffic, region.now)
    region.log.abort()
    region.folds()
    region.goes_on(1.0)
    region.goes_on(6.0)
    assert region.shares == [0, 0]
    assert is_quiet(region.traffic, region.now)


def test_who_takes_over_after_the_end_takes_back_what_an_older_worker_had_given() -> None:
    before = Divided("a")
    before.puts(table(1_000))
    before.log.abort()
    region = Divided("a", log=before.log)
    region.pods = before.pods
    assert not is_quiet(region.traffic, region.now), "the origin's table was not read yet"
    region.puts(table(1_000))
    assert region.shares == [0]


def test_who_takes_over_a_region_that_was_paused_meanwhile_takes_back_what_it_was_given() -> None:
    divided = Divided("a", "b")
    divided.puts(table(1_000))
    divided.log.say(CommandKind.PAUSE)
    successor = Divided("a", "b", log=divided.log)
    successor.pods = divided.pods
    successor.puts(table(1_000))
    assert successor.traffic.grant is None
    assert successor.shares == [0, 0]


def test_a_table_of_a_longer_log_waits_for_it_where_nothing_is_granted() -> None:
    log = RolloutLog().start().grants(1_000)
    log.say(CommandKind.PAUSE)
    divided = Divided("a", log=log)
    divided.puts(table(1_000, generation=6))
    assert divided.pods["a"].table is None


def test_a_pod_that_is_silent_is_told_and_read_again() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.passes(1.0)
    region.on(TimePassed())
    region.on(PodSilent("a", "connection refused"))
    region.passes(0.1)
    region.on(TimePassed())
    assert "connection refused" in region.said.reading.error
    assert wakes_at(region.traffic, region.now) < float("inf")
    region.goes_on(1.0)
    assert region.said.reading.error == "" or region.goes_on(1.0) is not None


def test_reports_are_numbered_and_repeated() -> None:
    region = Divided("a")
    region.puts(table(1_000))
    region.goes_on(1.0)
    first = region.said.reading.sequence
    sent = [effect for effect in region.goes_on(5.1) if isinstance(effect, SendReading)]
    assert sent
    assert sent[-1].reading.sequence > first


def test_a_shadow_gets_copies_although_it_is_granted_no_answer_and_none_once_it_is_over() -> None:
    region = Divided("a", log=RolloutLog().start(plan=SHADOW))
    copying = replace(table(0, generation=3), shadow=TrafficArm(2, digest(2), SHARES))
    region.puts(copying)
    assert region.pods["a"].table == copying
    region.log.abort()
    region.folds()
    region.goes_on(1.0)
    given = region.pods["a"].table
    assert given is not None
    assert (given.share, given.shadow) == (0, None)
