"""The decider of one model in one region, word by word."""

from modelcast.agents.region.memory import Quarantine
from modelcast.agents.region.replica import Policy
from modelcast.agents.region.values import (
    CheckOwner,
    Contradicted,
    Fetch,
    Fetched,
    FetchFailed,
    Folded,
    Load,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodLost,
    PodRead,
    PodsKnown,
    Refold,
    Replaced,
    Report,
    Save,
    Saved,
    SaveFailed,
    Tick,
)
from modelcast.schemas.log import ModelLog
from modelcast.schemas.records import Activation, CommandKind
from modelcast.schemas.states import PodState, State
from tests.agents.region.words import MODEL, REGION, Log, Region, digest, memory_of, reading, serving


def test_a_publication_goes_through_its_states_and_each_is_said_only_once_true() -> None:
    region = Region("a", "b")
    region.all_read(None)
    assert region.replica.state is State.ANNOUNCED
    region.on(Log().publish(1).folded)
    assert (region.replica.state, region.fetches) == (State.FETCHING, [1])
    region.on(Fetched(digest(1), digest(1)))
    assert (region.replica.state, region.loads) == (State.STAGED, [])  # not before its acceptance is durable
    region.on(Saved(region.replica.wished_memory()))
    assert (region.replica.state, region.loads) == (State.LOADING, [("a", 1)])  # one pod after the other
    order = region.order()
    region.on(Loaded("a", order))
    assert region.replica.state is State.LOADING  # what a pod says is not believed before it is read back
    assert region.reads == ["a"]
    region.on(PodRead(reading("a", 1)))
    assert region.loads == [("b", 1)]
    region.on(Loaded("b", region.order()))
    region.on(PodRead(reading("b", 1)))
    assert region.replica.state is State.SERVING


def test_acceptance_is_saved_while_the_bytes_are_on_their_way() -> None:
    region = Region("a")
    region.all_read(None)
    effects = region.on(Log().publish(1).folded)
    assert {type(e) for e in effects} >= {Fetch, Save, Report}
    saved = next(e.memory for e in effects if isinstance(e, Save))
    assert (saved.accepted_generation, saved.accepted_event_id, saved.staged) == (1, "event-1", None)


def test_what_was_staged_and_what_is_served_is_remembered() -> None:
    region = serving("a", "b")
    memory = region.replica.saved
    assert memory.staged is not None and memory.served is not None
    assert (memory.staged.version, memory.served.version, memory.served.generation) == (1, 1, 1)


def test_bytes_that_hash_to_something_else_are_not_held() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.save_all()
    region.on(Fetched(digest(1), digest(99)))
    assert digest(1) not in region.replica.held
    assert (region.replica.state, region.loads) == (State.FAILED, [])


def test_damaged_bytes_are_fetched_three_times_and_then_refused_while_the_old_version_serves() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.save_all()
    for attempt in (1, 2, 3):
        region.on(FetchFailed(digest(2), "other bytes", damaged=True))
        expected = State.QUARANTINED if attempt == 3 else State.FAILED
        assert region.replica.state is expected
        region.after(60).on(Tick())
        assert region.fetches == ([] if attempt == 3 else [2])
    region.all_read(1)
    assert region.loads == []
    region.save_all()
    assert [q.version for q in region.replica.saved.quarantined] == [2]


def test_a_release_forgives_and_the_version_is_fetched_again() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=memory_of(1, 1, quarantined=(Quarantine(digest(2), 2, 2, "damaged"),)))
    region.on(log.folded)
    region.all_read(1)
    assert (region.replica.state, region.fetches) == (State.QUARANTINED, [])
    region.on(log.say(CommandKind.RELEASE, 2).folded)
    assert (region.replica.state, region.fetches) == (State.FETCHING, [2])


def test_a_quarantine_by_command_sends_the_region_back_to_the_version_before() -> None:
    log = Log().publish(1).publish(2)
    region = serving("a", log=log)
    region.settle(log.say(CommandKind.QUARANTINE, 2))
    assert region.replica.target is not None
    assert (region.replica.target.version, region.replica.generation) == (1, 3)
    assert region.replica.state is State.SERVING


def test_a_staged_publication_is_fetched_but_served_only_when_told() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2, activation=Activation.STAGED).folded)
    assert region.fetches == [2]
    region.save_all()
    assert region.loads == [("a", 1)]  # the new generation's authority for what it serves already
    region.serve_all()
    region.fetched(2)
    assert region.loads == []
    assert region.replica.saved.staged is not None
    assert (region.replica.saved.staged.version, region.replica.target and region.replica.target.version) == (2, 1)
    region.on(log.say(CommandKind.ACTIVATE, 2).folded)
    assert region.fetches == []
    region.save_all()
    assert region.loads == [("a", 2)]


def test_what_is_held_since_long_does_not_pass_for_what_is_on_its_way() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)

    def staged() -> tuple[int, int]:
        held = region.replica.wished_memory().staged
        assert held is not None
        return held.version, held.generation

    effects = region.on(log.publish(2, activation=Activation.STAGED).folded)
    assert staged() == (1, 1)
    assert all(e.memory.staged is not None and e.memory.staged.generation == 1 for e in effects if isinstance(e, Save))
    region.fetched(2)
    region.save_all()
    assert staged() == (2, 2)
    region.on(log.publish(3).folded)
    assert staged() == (2, 2), "only version 2, which was fetched ahead, is here"
    region.fetched(3)
    region.save_all()
    assert staged() == (3, 3)
    region.on(log.publish(4, activation=Activation.STAGED).folded)
    assert staged() == (3, 3)


def test_a_first_version_that_is_only_staged_is_staged() -> None:
    region = Region("a")
    region.on(Log().publish(1, activation=Activation.STAGED).folded)
    assert (region.replica.state, region.fetches) == (State.FETCHING, [1])
    region.fetched(1)
    assert (region.replica.state, region.loads) == (State.STAGED, [])


def test_what_was_staged_is_told_once_not_again_when_it_is_saved() -> None:
    region = Region("a")
    region.on(Log().publish(1, activation=Activation.STAGED).folded)
    effects = region.on(Fetched(digest(1), digest(1)))
    assert any(isinstance(e, Report) for e in effects)
    wished = region.replica.wished_memory()
    effects = region.on(Saved(wished))
    assert region.replica.saved.staged == wished.staged is not None
    assert not any(isinstance(e, Report) for e in effects)


def test_a_pause_holds_back_and_a_resume_lets_go() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.settle(log.say(CommandKind.PAUSE))
    region.on(log.publish(2).folded)
    region.save_all()
    assert (region.fetches, region.replica.target and region.replica.target.version) == ([], 1)
    region.on(log.say(CommandKind.RESUME).folded)
    assert region.fetches == [2]


def test_a_pin_holds_one_region_and_not_the_others() -> None:
    log = Log().publish(1).publish(2).say(CommandKind.PIN, 1, region=REGION).publish(3)
    region = Region("a")
    region.all_read(None)
    region.on(log.folded)
    assert region.fetches == [1]
    assert log.fold.aspired_version("us") == 3


def test_placement_elsewhere_asks_for_nothing() -> None:
    region = Region("a")
    region.all_read(None)
    effects = region.on(Log().publish(1, placement=("us",)).folded)
    assert not {type(e) for e in effects} & {Fetch, Load, Save}


def test_a_rollback_is_a_new_generation_with_old_bytes() -> None:
    log = Log().publish(1).publish(2)
    region = serving("a", log=log)
    region.on(log.say(CommandKind.ROLLBACK, 1).folded)
    region.save_all()
    region.fetched(1)
    order = region.order()
    assert (order.version, order.generation) == (1, 3)


def test_a_reload_is_asked_of_every_pod_once() -> None:
    log = Log().publish(1)
    region = serving("a", "b", log=log)
    region.on(log.say(CommandKind.RELOAD).folded)
    region.save_all()
    assert region.order().reload
    region.serve_all()
    assert region.replica.state is State.SERVING
    region.all_read(1, generation=2)
    assert region.loads == []


def test_a_newer_generation_cancels_the_fetch_of_the_one_before() -> None:
    log = Log().publish(1)
    region = Region("a")
    region.all_read(None)
    region.on(log.folded)
    region.on(log.publish(2).folded)
    assert (region.cancels, region.fetches) == ([digest(1)], [2])
    region.on(FetchFailed(digest(1), "cancelled", cancelled=True))
    assert region.replica.fetching == {digest(2)}
    assert region.replica.state is State.FETCHING


def test_an_older_fold_that_comes_late_changes_nothing() -> None:
    log = Log().publish(1)
    old = log.folded
    region = serving("a", log=log)
    region.settle(log.publish(2))
    before = region.replica
    assert region.on(old) == ()
    assert region.replica == before


def test_a_new_owner_adopts_what_is_served_without_fetching_it() -> None:
    region = Region("a", "b", memory=memory_of(1, 1).claimed_by("new"))
    region.on(Log().publish(1).folded)
    assert region.fetches == []
    region.on(PodRead(reading("a", 1)))
    assert (region.fetches, region.loads) == ([], [("a", 1)])
    assert (region.order().epoch, region.order().reload) == (2, False)
    order = region.order()
    region.on(PodRead(reading("b", 1)))
    region.on(Loaded("a", order))
    region.on(PodRead(reading("a", 1, epoch=2)))
    region.serve_all()
    assert region.replica.state is State.SERVING


def test_one_pod_that_lacks_the_bytes_is_reason_enough_to_fetch_whatever_the_other_will_say() -> None:
    region = Region("a", "b", memory=memory_of(1, 1).claimed_by("new"))
    region.on(Log().publish(1).folded)
    region.on(PodRead(reading("a", None)))
    assert region.fetches == [1]


def test_a_pod_that_serves_nothing_gets_what_was_served_last_while_the_new_version_cannot_be_had() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=memory_of(1, 1, quarantined=(Quarantine(digest(2), 2, 2, "damaged"),)))
    region.on(log.folded)
    region.all_read(None)
    order = region.order()
    assert (order.version, order.generation) == (1, 1)


def test_what_was_served_last_is_fetched_again_if_the_cache_has_lost_it() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=memory_of(1, 1, quarantined=(Quarantine(digest(2), 2, 2, "damaged"),)))
    region.on(log.folded)
    region.all_read(None)
    region.on(LoadBroken("a", region.order(), "artifact_missing", "not in the cache"))
    assert region.fetches == [1]
    region.fetched(1)
    region.after(60).on(Tick())
    region.all_read(None)
    assert region.loads == [("a", 1)]


def test_a_pod_is_never_lowered_even_if_the_log_seems_to_say_so() -> None:
    region = Region("a")
    region.on(Log().publish(1).folded)
    region.save_all()
    region.all_read(2, generation=7)
    assert region.loads == []
    assert any(isinstance(e, Refold) for e in region.effects)
    region.fetched(1)
    assert region.loads == []


def test_a_pod_that_vanishes_is_forgotten_and_a_new_one_is_served() -> None:
    region = serving("a", "b")
    region.on(PodsKnown(("b", "c")))
    assert region.reads == ["c"]
    assert region.replica.state is State.LOADING
    region.on(PodRead(reading("c", None)))
    assert region.loads == [("c", 1)]
    region.on(PodRead(reading("a", 1)))
    assert set(region.replica.pods) == {"b", "c"}


def test_a_pod_that_does_not_answer_holds_up_nobody() -> None:
    log = Log().publish(1)
    region = serving("a", "b", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    assert region.loads == [("a", 2)]
    region.on(PodLost("a", "no route"))
    assert region.loads == [("b", 2)]
    assert region.replica.pod_report("a", 10**12, region.now).state is PodState.UNREACHABLE
    region.serve_all()
    assert region.replica.state is State.LOADING  # it counts: the region does not serve yet


def test_a_pod_that_dies_while_it_loads_is_noticed_by_reading_it() -> None:
    log = Log().publish(1)
    region = serving("a", "b", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.after(6).on(Tick())
    assert region.reads == ["a", "b"]
    region.on(PodLost("a", "gone"))
    region.on(PodRead(reading("b", 1)))
    assert region.loads == [("b", 2)]


def test_a_read_that_began_before_the_load_answered_is_not_its_read_back() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    order = region.order()
    region.after(6).on(Tick())
    assert region.reads == ["a"]
    region.on(Loaded("a", order))
    assert region.reads == []
    region.on(PodRead(reading("a", 1)))  # read before
    assert region.reads == ["a"]
    assert region.replica.pods["a"].failures == 0
    region.on(PodRead(reading("a", 2)))
    assert region.replica.state is State.SERVING


def test_a_pod_that_lies_about_its_load_is_found_out_and_told_again_later() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(Loaded("a", region.order()))
    region.on(PodRead(reading("a", 1)))
    assert (region.replica.state, region.loads) == (State.FAILED, [])
    region.after(10).on(Tick())
    region.on(PodRead(reading("a", 1)))
    assert region.loads == [("a", 2)]


def test_a_version_that_loads_nowhere_is_quarantined() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    for _ in range(3):
        region.on(LoadBroken("a", region.order(), "load_failed", "not a model"))
        region.after(60).on(Tick())
        region.all_read(1)
    assert region.replica.state is State.QUARANTINED
    assert region.loads == []


def test_bytes_that_rotted_on_the_disk_are_fetched_again() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(LoadBroken("a", region.order(), "verification_failed", "model.onnx differs"))
    assert (region.fetches, region.replica.state) == ([2], State.FETCHING)


def test_tries_are_spaced_further_and_further_apart() -> None:
    policy = Policy()
    waits = [policy.backoff(n, "x") for n in range(1, 9)]
    assert all(0.5 * min(60, 2 ** (n - 1)) <= wait <= 60 for n, wait in enumerate(waits, 1))
    assert waits[0] < waits[2] < waits[4]
    assert policy.backoff(3, "eu") != policy.backoff(3, "us")
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(FetchFailed(digest(1), "away"))
    due = region.replica.wakes_at(region.now)
    assert region.now < due <= region.now + 1
    region.now = due
    region.on(Tick())
    assert region.fetches == [1]


def test_waking_is_never_asked_for_in_the_past() -> None:
    region = serving("a", "b")
    region.on(LoadRefused("a", memory_order(region), "unauthorized", "no"))
    region.on(PodLost("a", "gone"))
    for _ in range(20):
        due = region.replica.wakes_at(region.now)
        assert due > region.now
        region.now = due
        region.on(Tick())
        for pod in region.reads:
            region.on(PodLost(pod, "gone") if pod == "a" else PodRead(reading(pod, 1)))


def memory_order(region: Region):  # type: ignore[no-untyped-def]
    from modelcast.consumers.pods.port import LoadOrder

    saved = region.replica.saved
    return LoadOrder(MODEL, 1, digest(1), 1, saved.epoch, saved.registry_id)


def test_a_pod_that_obeys_a_higher_epoch_makes_the_owner_doubt_itself() -> None:
    region = serving("a")
    region.on(PodRead(reading("a", 1, epoch=5)))
    assert region.checks == [CheckOwner(5)]


def test_a_raised_epoch_is_given_to_the_pods() -> None:
    region = serving("a")
    region.on(PodRead(reading("a", 1, epoch=5)))
    raised = region.replica.saved
    region.on(Saved(type(raised)(**{**{f: getattr(raised, f) for f in raised.__slots__}, "epoch": 6})))
    assert (region.loads, region.order().epoch) == ([("a", 1)], 6)


def test_a_stale_order_that_is_refused_makes_the_owner_look_at_log_and_state() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    effects = region.on(LoadRefused("a", region.order(), "stale", "epoch 9 was accepted"))
    assert {type(e) for e in effects} >= {CheckOwner, Refold}


def test_a_replaced_owner_does_nothing_whatever_happens() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(Replaced("epoch 2 is another's"))
    before = region.replica
    for event in (log.publish(2).folded, PodRead(reading("a", None)), Tick(), Fetched(digest(2), digest(2))):
        assert region.after(100).on(event) == ()
    assert region.replica == before


def test_another_registry_stops_the_model_until_the_right_one_is_back() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(Folded(ModelLog(MODEL, "another")))
    assert region.replica.alarm
    assert region.after(60).on(Tick()) == ()
    region.on(log.publish(2).folded)
    assert (region.replica.alarm, region.fetches) == ("", [2])


def test_a_log_that_lost_what_was_accepted_stops_the_model() -> None:
    region = Region("a", memory=memory_of(2, 2))
    region.on(Log().publish(1).folded)
    assert "accepted" in region.replica.alarm
    assert region.loads == region.fetches == []


def test_another_event_at_an_accepted_generation_stops_the_model() -> None:
    region = Region("a", memory=memory_of(1, 1, accepted_event_id="another"))
    region.on(Log().publish(1).folded)
    assert "another event" in region.replica.alarm


def test_a_contradiction_found_by_the_reader_stops_the_model_and_is_told() -> None:
    region = serving("a")
    effects = region.on(Contradicted("an entry is gone"))
    assert [type(e) for e in effects] == [Report]
    assert region.after(60).on(Tick()) == ()


def test_a_save_that_failed_is_tried_again_and_nothing_is_loaded_before_it_is_durable() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(SaveFailed("away"))
    region.on(Fetched(digest(1), digest(1)))
    assert region.loads == []
    region.now = region.replica.wakes_at(region.now)
    region.on(Tick())
    assert region.all_of(Save)
    region.save_all()
    assert region.loads == [("a", 1)]


def test_a_foreign_server_that_names_only_versions_is_driven_and_believed() -> None:
    from modelcast.consumers.pods.port import PodReading

    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(PodReading("a", True, "", None, None, None, None)))
    region.on(log.folded)
    region.fetched(1)
    assert region.loads == [("a", 1)]
    region.on(Loaded("a", region.order()))
    region.on(PodRead(PodReading("a", True, "", 1, None, None, None)))
    assert region.replica.state is State.SERVING


def test_a_region_without_pods_stages_and_never_says_that_it_serves() -> None:
    region = Region()
    region.on(PodsKnown(()))
    region.on(Log().publish(1).folded)
    assert region.fetches == [1]
    region.fetched(1)
    assert region.replica.state is State.STAGED
    assert region.replica.saved.served is None
