"""The decider of one model in one region, word by word: publications and commands."""

from modelcast.agents.region.decider.events_and_effects import (
    Fetch,
    Fetched,
    FetchFailed,
    Load,
    Loaded,
    PodRead,
    Report,
    Save,
    Saved,
    Tick,
)
from modelcast.schemas.records import Activation, CommandKind
from modelcast.schemas.region_memory import Quarantine
from modelcast.schemas.states import State
from tests.agents.region.words import REGION, Log, Region, digest, memory_of, reading, serving


def test_a_publication_goes_through_its_states_and_each_is_said_only_once_true() -> None:
    region = Region("a", "b")
    region.all_read(None)
    assert region.replica.state is State.ANNOUNCED
    region.on(Log().publish(1).folded)
    assert (region.replica.state, region.fetches) == (State.FETCHING, [1])
    region.on(Fetched(digest(1)))
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
    assert (saved.accepted_generation, saved.accepted_digest, saved.staged) == (
        1,
        Log().publish(1).fold.digest_at(1),
        None,
    )


def test_what_was_staged_and_what_is_served_is_remembered() -> None:
    region = serving("a", "b")
    memory = region.replica.facts.saved
    assert memory.staged is not None and memory.served is not None
    assert (memory.staged.version, memory.served.version, memory.served.generation) == (1, 1, 1)


def test_bytes_that_arrived_damaged_are_not_held() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.save_all()
    region.on(FetchFailed(digest(1), "other bytes", damaged=True))
    assert digest(1) not in region.replica.facts.held
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
    assert [q.version for q in region.replica.facts.saved.quarantined] == [2]


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
    assert region.replica.facts.saved.staged is not None
    assert (region.replica.facts.saved.staged.version, region.replica.target and region.replica.target.version) == (
        2,
        1,
    )
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
    effects = region.on(Fetched(digest(1)))
    assert any(isinstance(e, Report) for e in effects)
    wished = region.replica.wished_memory()
    effects = region.on(Saved(wished))
    assert region.replica.facts.saved.staged == wished.staged is not None
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
    assert region.replica.pending.fetching == {digest(2)}
    assert region.replica.state is State.FETCHING


def test_an_older_fold_that_comes_late_changes_nothing() -> None:
    log = Log().publish(1)
    old = log.folded
    region = serving("a", log=log)
    region.settle(log.publish(2))
    before = region.replica
    assert region.on(old) == ()
    assert region.replica == before
