"""Who may push another worker out: nobody that has slept, or that the cluster could not hear."""

import pytest

from modelcast.agents.region.ownership.liveness import (
    DOUBT_SECONDS,
    RECENT_SECONDS,
    SLEPT_SECONDS,
    YIELD_SECONDS_FIRST,
    Liveness,
    yield_seconds,
)
from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.ports import ObjectInfo, StoredObject
from modelcast.schemas.region_memory import Memory


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.standing = Liveness(heartbeat_seconds=5.0, clock=lambda: self.now)

    def runs(self, seconds: float, *, heard: bool = True) -> None:
        """The process runs, and its heartbeats arrive (or do not)."""
        for _ in range(round(seconds)):
            self.now += 1.0
            self.standing.ticked()
            if heard:
                self.standing.heard()


def test_a_process_that_runs_stands() -> None:
    clock = Clock()
    assert clock.standing.stands()
    clock.runs(100)
    assert clock.standing.stands()


def test_a_process_that_slept_does_not_stand_even_before_its_event_loop_turns_again() -> None:
    clock = Clock()
    clock.now += SLEPT_SECONDS + 0.1
    assert not clock.standing.stands()
    clock.standing.ticked()
    assert not clock.standing.stands()


def test_a_nap_that_no_group_notices_costs_nothing() -> None:
    clock = Clock()
    clock.now += SLEPT_SECONDS - 0.1
    assert clock.standing.stands()


def test_after_a_sleep_an_assignment_restores_it_and_so_does_time() -> None:
    for assigned in (True, False):
        clock = Clock()
        clock.now += 60.0
        clock.runs(RECENT_SECONDS + 1)
        assert not clock.standing.stands()
        if assigned:
            clock.standing.assigned()
        else:
            clock.runs(DOUBT_SECONDS)
        assert clock.standing.stands()


def test_an_assignment_that_was_on_its_way_before_the_sleep_restores_nothing() -> None:
    clock = Clock()
    clock.now += 60.0
    clock.standing.assigned()
    assert not clock.standing.stands()
    clock.now += RECENT_SECONDS / 2
    clock.standing.assigned()
    assert not clock.standing.stands()


def test_an_assignment_that_a_broken_line_held_back_since_the_sleep_restores_nothing() -> None:
    clock = Clock()
    clock.runs(10)
    clock.now += 60.0
    clock.runs(RECENT_SECONDS + 1, heard=False)
    clock.standing.assigned()
    assert not clock.standing.stands()
    clock.standing.heard()
    clock.standing.assigned()
    assert not clock.standing.stands()
    clock.runs(RECENT_SECONDS + 1)
    clock.standing.assigned()
    assert clock.standing.stands()


def test_a_process_that_the_cluster_does_not_hear_does_not_stand_until_it_was_heard_for_a_while() -> None:
    clock = Clock()
    clock.runs(10)
    clock.runs(30, heard=False)
    assert not clock.standing.stands()
    clock.runs(1)
    assert not clock.standing.stands()
    clock.runs(DOUBT_SECONDS)
    assert clock.standing.stands()


def test_whoever_is_replaced_waits_twice_as_long_each_time_and_never_longer_than_the_most() -> None:
    assert [yield_seconds(n, 60.0, 1.0) / YIELD_SECONDS_FIRST for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert yield_seconds(0, 60.0, 0.0) == YIELD_SECONDS_FIRST / 2
    assert yield_seconds(10_000, 60.0, 1.0) == 60.0


class Sleepy(MemoryStore):
    """While ``sleeper`` reads or writes, it is stopped, and another worker takes over."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps_in = ""
        self.slept = False

    def _sleep(self) -> None:
        self.sleeps_in = ""
        OwnedState(self, "fraud", "eu", "right").claim("r")
        self.slept = True

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        if self.sleeps_in == "before the read":
            self._sleep()
        found = super().get(key, size_max=size_max)
        if self.sleeps_in == "after the read":
            self._sleep()
        return found

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        if self.sleeps_in == "before the put":
            self._sleep()
        return super().put(key, body, if_absent=if_absent, if_match=if_match)


@pytest.mark.parametrize("where", ["before the read", "after the read", "before the put"])
@pytest.mark.parametrize("existed", [True, False])
def test_a_worker_stopped_anywhere_in_its_claim_leaves_the_model_to_whoever_took_over(
    where: str, existed: bool
) -> None:
    store = Sleepy()
    if existed:
        OwnedState(store, "fraud", "eu", "before").claim("r")
    store.sleeps_in = where
    sleeper = OwnedState(store, "fraud", "eu", "sleeper", may_replace=lambda: not store.slept)
    with pytest.raises(Superseded):
        sleeper.claim("r")
    found = store.get(keys.region_state("fraud"), size_max=10_000)
    assert found is not None
    assert Memory.decode(found.body).owner == "right"
    assert OwnedState(store, "fraud", "eu", "right").claim("r").epoch == (3 if existed else 2)


def test_a_model_that_nobody_owns_is_taken_by_a_worker_that_slept_too() -> None:
    store = MemoryStore()
    assert OwnedState(store, "fraud", "eu", "sleeper", may_replace=lambda: False).claim("r").epoch == 1
