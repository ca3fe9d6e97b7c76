"""Who owns a model: one at a time, by the object in the region's bucket, whatever the store does meanwhile."""

import threading
from dataclasses import replace

import pytest

from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError, ForeignRegistry, StoreUnavailable
from modelcast.schemas.ports import ObjectInfo
from modelcast.schemas.region_memory import Memory

KEY = keys.region_state("fraud")


class Flaky(MemoryStore):
    """Fails puts as told: "before" it took effect, or "after"."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        how = self.failures.pop(0) if self.failures else ""
        if how == "before":
            raise StoreUnavailable("timed out")
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        if how == "after":
            raise StoreUnavailable("timed out")
        return info


def state(store: MemoryStore, owner: str = "a") -> OwnedState:
    return OwnedState(store, "fraud", "eu", owner)


def stored(store: MemoryStore) -> Memory:
    found = store.get(KEY, size_max=10**6)
    assert found is not None
    return Memory.decode(found.body)


def test_every_claim_takes_the_next_epoch_and_keeps_what_was_remembered() -> None:
    store = MemoryStore()
    first = state(store)
    memory = replace(first.claim("r"), accepted_generation=7, accepted_digest="e")
    first.save(memory)
    taken = state(store, "b").claim("r")
    assert (taken.epoch, taken.owner, taken.accepted_generation, taken.accepted_digest) == (2, "b", 7, "e")


def test_of_many_that_claim_at_once_each_gets_an_epoch_of_its_own_and_the_last_one_owns() -> None:
    store = MemoryStore()
    states = [state(store, f"w{n}") for n in range(8)]
    epochs: list[int] = []
    threads = [threading.Thread(target=lambda s=s: epochs.append(s.claim("r").epoch)) for s in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(1, 9))
    alive = []
    for each in states:
        try:
            alive.append(each.check())
        except Superseded:
            continue
    assert [m.epoch for m in alive] == [8]


def test_a_replaced_owner_can_write_nothing() -> None:
    store = MemoryStore()
    old = state(store)
    memory = old.claim("r")
    state(store, "b").claim("r")
    with pytest.raises(Superseded):
        old.save(replace(memory, accepted_generation=9))
    assert stored(store).accepted_generation == 0


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_save_that_timed_out_is_repeated_and_found_to_be_ours(how: str) -> None:
    store = Flaky()
    ours = state(store)
    memory = ours.claim("r")
    store.failures = [how]
    with pytest.raises(StoreUnavailable):
        ours.save(replace(memory, accepted_generation=3))
    assert ours.save(replace(memory, accepted_generation=4)).accepted_generation == 4
    assert stored(store).accepted_generation == 4


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_claim_that_timed_out_can_be_repeated(how: str) -> None:
    store = Flaky()
    ours = state(store)
    store.failures = [how]
    with pytest.raises(StoreUnavailable):
        ours.claim("r")
    memory = ours.claim("r")
    assert stored(store) == memory
    assert ours.check() == memory


def test_an_epoch_that_rose_unheard_is_learnt_and_never_goes_back() -> None:
    store = Flaky()
    ours = state(store)
    memory = ours.claim("r")
    store.failures = ["after"]
    with pytest.raises(StoreUnavailable):
        ours.check(epoch_seen=5)
    assert stored(store).epoch == 6
    assert ours.save(replace(memory, accepted_generation=2)).epoch == 6  # not what was asked for: decide again
    assert ours.save(replace(memory, accepted_generation=2)).epoch == 6
    saved = ours.save(replace(memory, epoch=6, accepted_generation=2))
    assert (saved.epoch, stored(store).accepted_generation) == (6, 2)


def test_a_bucket_that_was_lost_is_written_again_with_an_epoch_above_what_pods_obeyed() -> None:
    store = MemoryStore()
    ours = state(store)
    memory = ours.save(replace(ours.claim("r"), accepted_generation=3))
    store.delete(KEY)
    assert ours.check(epoch_seen=9).epoch == 10
    assert stored(store).accepted_generation == memory.accepted_generation


def test_a_bucket_restored_from_an_old_copy_does_not_take_the_owner_back() -> None:
    store = MemoryStore()
    ours = state(store)
    old = store.put(KEY, ours.claim("r").encode())
    ours = state(store)
    memory = replace(ours.claim("r"), accepted_generation=5)
    ours.save(memory)
    assert old.etag
    store.put(KEY, Memory("r", "fraud", "eu", epoch=1, owner="z").encode())
    assert ours.save(memory) == memory
    assert stored(store) == memory


def test_another_registrys_state_is_not_taken_over() -> None:
    store = MemoryStore()
    state(store).claim("r")
    with pytest.raises(ForeignRegistry):
        state(store, "b").claim("another")
    assert stored(store).owner == "a"


def test_a_damaged_state_is_never_taken_for_an_empty_one() -> None:
    store = MemoryStore()
    store.put(KEY, b'{"format": 1, "epoch": 3}')
    with pytest.raises(ContentError):
        state(store).claim("r")
    assert store.get(KEY, size_max=100) is not None
    with pytest.raises(ContentError):
        Memory.decode(b'{"format": 2}')
    with pytest.raises(ContentError):
        Memory.decode(b"\xff")
