"""What the simulation found about the state object."""

import pytest

from modelcast.agents.region.ownership import OwnedState, Superseded
from modelcast.infra.stores.memory import MemoryStore


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
