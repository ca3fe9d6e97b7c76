"""What the simulation found about the state object."""

from dataclasses import replace

import pytest

from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectInfo


def test_an_owner_that_has_read_that_it_was_replaced_cannot_write_over_its_successor() -> None:
    bucket = MemoryStore()
    first, second = (OwnedState(bucket, "fraud", "eu", name) for name in ("first", "second"))
    mine = first.claim("registry")
    successor = second.claim("registry")
    with pytest.raises(Superseded):
        first.check()
    with pytest.raises(Superseded):
        first.save(mine)
    assert second.check() == successor


class Mute(MemoryStore):
    """Its puts take effect; while ``mute``, nobody hears of it."""

    mute = False

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        if self.mute:
            raise StoreUnavailable("timed out")
        return info


def test_a_rise_of_the_epoch_keeps_what_was_written_unheard() -> None:
    bucket = Mute()
    state = OwnedState(bucket, "fraud", "eu", "worker")
    memory = state.claim("registry")
    bucket.mute = True
    with pytest.raises(StoreUnavailable):
        state.save(replace(memory, accepted_generation=11, accepted_digest="event-11"))
    bucket.mute = False
    assert state.check(epoch_seen=6).accepted_generation == 11
