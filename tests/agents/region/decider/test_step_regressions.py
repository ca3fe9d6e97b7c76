"""What the simulation found: each a world boiled down to the few events that matter."""

from modelcast.agents.region.decider.events_and_effects import (
    CheckOwner,
    Fetch,
    Fetched,
    FetchFailed,
    Holding,
    Load,
    LoadBroken,
    LoadRefused,
    PodRead,
)
from modelcast.schemas.records import CommandKind
from modelcast.schemas.region_memory import Held, Memory, Quarantine
from modelcast.schemas.states import State
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, Region, digest, reading, serving


def taken_over(log: Log, *, served: int, epoch: int = 2, refused: tuple[int, ...] = ()) -> Memory:
    """The memory of a new owner of all of ``log``: ``served`` was served by all pods, ``refused`` are quarantined."""
    accepted = len(log.entries)
    return Memory(
        REGISTRY, MODEL, REGION, epoch, "worker", accepted, log.fold.digest_at(accepted),
        served=Held(served, served, digest(served), f"manifests/{served}", 1000),
        quarantined=tuple(Quarantine(digest(v), v, v, "damaged") for v in refused),
    )  # fmt: skip


def test_a_new_owner_that_cannot_have_the_target_does_not_lower_a_pod_that_a_later_generation_reached() -> None:
    # Version 1 was served by all at generation 1; generation 2, a reload, reached this pod and not all; then came
    # generation 3, which is refused here.
    log = Log().publish(1).say(CommandKind.RELOAD).publish(2)
    region = Region("a", memory=taken_over(log, served=1, refused=(2,)))
    region.on(log.folded)
    effects = region.on(PodRead(reading("a", 1, generation=2, epoch=1)))
    orders = [e.order for e in effects if isinstance(e, Load)]
    assert [(o.epoch, o.generation, o.version) for o in orders] == [(2, 2, 1)]


def test_a_pod_that_still_starts_is_not_given_something_older_than_it_may_restore() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=taken_over(log, served=1, refused=(2,)))
    region.on(log.folded)
    assert not [e for e in region.on(PodRead(reading("a", ready=False))) if isinstance(e, Load)]
    region.after(60.0)
    effects = region.on(PodRead(reading("a", ready=True)))
    assert [e.order.version for e in effects if isinstance(e, Load)] == [1]


def test_what_a_pod_serves_is_fetched_again_if_the_disk_has_lost_it_when_a_reload_is_asked_for() -> None:
    log = Log().publish(1).say(CommandKind.RELOAD)
    region = Region("a", memory=taken_over(log, served=1, epoch=1))
    region.on(log.folded)
    (load,) = (e for e in region.on(PodRead(reading("a", 1, generation=1))) if isinstance(e, Load))
    effects = region.on(LoadBroken("a", load.order, "verification_failed", "bytes differ"))
    assert [e.update.version for e in effects if isinstance(e, Fetch)] == [1]
    assert not [e for e in region.after(60.0).on(PodRead(reading("a", 1, generation=1))) if isinstance(e, Load)]


def test_an_owner_rises_above_the_promise_of_a_pod_that_serves_nothing() -> None:
    # The pod promised generation 2 in this epoch, could not load it, and lost what it served before.
    log = Log().publish(1).publish(2)
    region = Region("a", memory=taken_over(log, served=1, refused=(2,)))
    region.on(log.folded)
    (load,) = (e for e in region.on(PodRead(reading("a"))) if isinstance(e, Load))
    assert (load.order.generation, load.order.epoch) == (1, 2)
    effects = region.on(LoadRefused("a", load.order, "stale", "lower than the accepted"))
    assert [e.epoch_seen for e in effects if isinstance(e, CheckOwner)] == [3]


def test_what_was_served_is_brought_back_to_the_disk_for_a_bare_pod_while_the_target_lies_there_refused() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=taken_over(log, served=1, refused=(2,)))
    region.on(log.folded)
    region.on(Fetched(digest(2)))  # asked for before it turned out to load nowhere
    (load,) = (e for e in region.on(PodRead(reading("a"))) if isinstance(e, Load))
    effects = region.on(LoadBroken("a", load.order, "artifact_missing", "not on this disk"))
    assert [e.update.version for e in effects if isinstance(e, Fetch)] == [1]


def test_a_fetch_that_was_asked_to_stop_is_not_told_as_under_way_to_a_generation_that_wants_it_again() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.on(log.publish(3).folded)
    assert region.cancels == [digest(2)]
    region.on(log.say(CommandKind.ACTIVATE, 2).folded)  # before the fetch of version 2 has stopped
    region.on(Holding(True))  # a rebalance: nothing new begins
    assert region.replica.state is State.ANNOUNCED
    region.on(FetchFailed(digest(2), "not wanted any more", cancelled=True))
    assert (region.replica.state, region.fetches) == (State.ANNOUNCED, [])
    region.on(Holding(False))
    assert (region.replica.state, region.fetches) == (State.FETCHING, [2])


def test_a_pod_that_serves_all_and_refuses_to_learn_of_its_new_owner_is_not_asked_without_a_pause() -> None:
    region = Region("a", memory=taken_over(Log().publish(1), served=1))
    region.on(Log().publish(1).folded)
    region.on(PodRead(reading("a", 1, generation=1, epoch=1)))
    assert region.order().epoch == 2
    region.on(LoadBroken("a", region.order(), "out_of_resources", "no memory left"))
    region.on(PodRead(reading("a", 1, generation=1, epoch=1)))
    assert (region.loads, region.replica.settled) == ([], True)
    region.after(60.0).on(PodRead(reading("a", 1, generation=1, epoch=1)))
    assert region.order().epoch == 2
