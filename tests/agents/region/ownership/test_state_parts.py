"""One object, several writers: no part is lost to another's write, and one call follows the other."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.agents.region.ownership.state_parts import CandidateState, StateParts, StateTurn
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectInfo
from modelcast.schemas.region_memory import CandidatePart, Cut, Held, Memory
from tests.agents.region.words import MODEL, REGION, REGISTRY, digest

HELD = Held(3, 2, digest(2), "manifests/2", 10)
CUT = Cut("3", 4, 1, digest(2), "it fails", 5)


def lying(store: MemoryStore) -> Memory:
    found = store.get(keys.region_state(MODEL), size_max=1 << 20)
    assert found is not None
    return Memory.decode(found.body)


def test_each_write_carries_the_newest_of_every_part() -> None:
    store = MemoryStore()
    parts = StateParts(OwnedState(store, MODEL, REGION, "me"))
    control = parts.claim(REGISTRY)
    candidate = CandidateState(parts)
    part = candidate.save(replace(control.of_candidate(), accepted_generation=3, staged=HELD))
    parts.save_cut(CUT)
    parts.save(replace(control, accepted_generation=9))  # what it knows of the others is older
    whole = lying(store)
    assert (whole.accepted_generation, whole.cut) == (9, CUT)
    assert whole.candidate == CandidatePart(3, staged=HELD)
    assert part.epoch == whole.epoch == 1
    parts.save_candidate(None)
    assert (lying(store).candidate, lying(store).accepted_generation) == (None, 9)


def test_a_write_of_another_part_never_takes_back_one_that_was_not_answered() -> None:
    class Unsure(MemoryStore):
        lands_unheard = False

        def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
            info = super().put(key, body, if_absent=if_absent, if_match=if_match)
            if self.lands_unheard:
                raise StoreUnavailable("timed out")
            return info

    store = Unsure()
    parts = StateParts(OwnedState(store, MODEL, REGION, "me"))
    control = parts.claim(REGISTRY)
    store.lands_unheard = True
    with pytest.raises(StoreUnavailable):
        parts.save(replace(control, accepted_generation=9))
    store.lands_unheard = False
    parts.save_cut(CUT)
    assert (lying(store).accepted_generation, lying(store).cut) == (9, CUT)


def test_who_takes_over_has_every_part() -> None:
    store = MemoryStore()
    first = StateParts(OwnedState(store, MODEL, REGION, "me"))
    CandidateState(first).save(replace(first.claim(REGISTRY).of_candidate(), staged=HELD))
    first.save_cut(CUT)
    second = StateParts(OwnedState(store, MODEL, REGION, "another"))
    assert second.claim(REGISTRY).epoch == 2
    assert (second.candidate, second.cut) == (CandidatePart(staged=HELD), CUT)
    with pytest.raises(Superseded):
        first.save_cut(None)
    assert lying(store).cut == CUT


def test_the_candidates_part_rises_with_the_owners_epoch() -> None:
    store = MemoryStore()
    parts = StateParts(OwnedState(store, MODEL, REGION, "me"))
    parts.claim(REGISTRY)
    parts.check(epoch_seen=7)
    assert CandidateState(parts).check().epoch == 8


async def test_a_call_waits_for_the_one_before_also_if_nobody_waits_for_that_any_more() -> None:
    turn, order, gate = StateTurn(), [], threading.Event()

    def slow() -> None:
        gate.wait(10)
        order.append("first")

    with ThreadPoolExecutor(4) as threads:
        first = asyncio.create_task(turn.run(threads, slow))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(turn.run(threads, lambda: order.append("second")))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.05)
        assert order == []
        gate.set()
        await second
    assert order == ["first", "second"]


async def test_a_call_that_fails_lets_the_next_one_go_on() -> None:
    turn = StateTurn()

    def fails() -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(ValueError, match="no"):
            await turn.run(threads, fails)
        assert await turn.run(threads, lambda: 7) == 7
