"""A store behind a breaker: as any other store; time-outs in a row, and nobody waits for it any more."""

from collections.abc import Callable

import pytest

from modelcast.infra.stores.breaker import FAILURES_MAX, PAUSE_SECONDS_FIRST, SLOW_SECONDS, Breaker, BreakerStore
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas.errors import Refused, StoreUnavailable
from modelcast.schemas.ports import ObjectStore, StoredObject
from tests.infra.stores.conformance import ObjectStoreConformance


class Hanging(MemoryStore):
    """Each ``get`` takes as long as it is told to, and may fail."""

    def __init__(self) -> None:
        super().__init__("hanging")
        self.now, self.takes, self.asked = 0.0, 0.0, 0
        self.raises: Exception | None = None

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.asked += 1
        self.now += self.takes
        if self.raises:
            raise self.raises
        return super().get(key, size_max=size_max)


@pytest.fixture
def hanging() -> Hanging:
    return Hanging()


@pytest.fixture
def guarded(hanging: Hanging) -> BreakerStore:
    return BreakerStore(hanging, Breaker(lambda: hanging.now))


def times_out(store: BreakerStore, count: int) -> None:
    for _ in range(count):
        with pytest.raises(StoreUnavailable):
            store.get("x", size_max=1)


def test_after_time_outs_in_a_row_it_is_left_alone_then_one_call_tries(hanging: Hanging, guarded: BreakerStore) -> None:
    hanging.takes, hanging.raises = SLOW_SECONDS, StoreUnavailable("timed out")
    times_out(guarded, FAILURES_MAX)
    with pytest.raises(StoreUnavailable, match="timed out 3 times in a row; it is asked again in 1 s"):
        guarded.get("x", size_max=1)
    assert hanging.asked == FAILURES_MAX
    hanging.now += PAUSE_SECONDS_FIRST
    times_out(guarded, 10)
    assert hanging.asked == FAILURES_MAX + 1
    hanging.now += 100
    hanging.takes, hanging.raises = 0.0, None
    assert guarded.get("x", size_max=1) is None
    hanging.takes, hanging.raises = SLOW_SECONDS, StoreUnavailable("timed out")
    times_out(guarded, FAILURES_MAX - 1)  # all is forgotten
    assert hanging.asked == 2 * FAILURES_MAX + 1


@pytest.mark.parametrize(
    ("takes", "error"),
    [(0.0, lambda: StoreUnavailable("503")), (SLOW_SECONDS, lambda: Refused("403")), (SLOW_SECONDS, lambda: None)],
    ids=["quick failures", "slow refusals", "slow answers"],
)
def test_what_is_no_time_out_does_not_count(
    hanging: Hanging, guarded: BreakerStore, takes: float, error: Callable[[], Exception | None]
) -> None:
    hanging.takes = takes
    for _ in range(3 * FAILURES_MAX):
        hanging.raises = error()
        try:
            guarded.get("x", size_max=1)
        except (StoreUnavailable, Refused) as raised:
            assert raised is hanging.raises
    assert hanging.asked == 3 * FAILURES_MAX


class TestBreakerStore(ObjectStoreConformance):
    """It is an object store itself."""

    rounds = 200

    @pytest.fixture
    def store(self) -> ObjectStore:
        return BreakerStore(MemoryStore())
