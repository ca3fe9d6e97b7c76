"""A model's place in a pod: how soon what was lost is brought up again."""

import pytest

from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod.slot import RESPAWN_SECONDS_MAX, RESPAWN_SECONDS_MIN, STEADY_SECONDS, Serving, Slot
from tests.consumers.pod.models import Artifact, order

ORDER = order(Artifact({"number.txt": b"1"}), 1)


def serving_since(since: float) -> Serving:
    return Serving(ORDER, Served(1, ORDER.manifest_digest, "memory"), since)


def test_the_first_attempt_is_made_at_once_and_later_ones_further_and_further_apart() -> None:
    slot = Slot("adder")
    seconds = [slot.respawn_seconds() for _ in range(30)]
    assert seconds[:4] == [0.0, RESPAWN_SECONDS_MIN, 2 * RESPAWN_SECONDS_MIN, 4 * RESPAWN_SECONDS_MIN]
    assert seconds[-1] == RESPAWN_SECONDS_MAX


@pytest.mark.parametrize(("served_seconds", "failures"), [(STEADY_SECONDS - 1, 3), (STEADY_SECONDS + 1, 0)])
def test_what_served_long_enough_starts_a_new_count(served_seconds: float, failures: int) -> None:
    slot = Slot("adder", serving=serving_since(1000.0), failures=3)
    slot.lost("its worker died", 1000.0 + served_seconds)
    assert (slot.serving, slot.reason, slot.failures) == (None, "its worker died", failures)


def test_an_order_is_known_by_what_it_asks_for() -> None:
    slot = Slot("adder", bringing_up_order=ORDER)
    assert slot.brings_up(order(Artifact({"number.txt": b"1"}), 1))
    assert not slot.brings_up(order(Artifact({"number.txt": b"2"}), 1))
    assert not slot.brings_up(order(Artifact({"number.txt": b"1"}), 1, epoch=2))
    assert not Slot("adder").brings_up(ORDER)
