"""How a model is taken: when its log is looked at, when it is claimed, how long is waited, and when it is given up."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.takeover import ClaimModel, GiveUp, LookInLog, Pause, Takeover
from modelcast.schemas.errors import DecodeError, StoreUnavailable

POLICY = Policy(store_pauses=(1.0, 2.0), damaged_state_pause=60.0)


def test_a_model_of_the_registry_is_claimed_at_once() -> None:
    assert Takeover.of(POLICY, known=True).todo == ClaimModel()


def test_a_model_that_was_only_announced_is_claimed_once_its_log_holds_an_entry() -> None:
    trial = Takeover.of(POLICY, known=False)
    assert trial.todo == LookInLog()
    assert trial.looked(True).todo == ClaimModel()
    assert trial.looked(False).todo == Pause(1.0)
    assert trial.looked(False).paused(False).todo == LookInLog()
    assert trial.looked(False).paused(True).todo == ClaimModel(), "somebody else has read it meanwhile"


def test_what_no_look_finds_is_given_up() -> None:
    waiting = Takeover.of(POLICY, known=False).looked(False).paused(False).looked(False)
    assert waiting.todo == Pause(2.0)
    assert waiting.paused(False).todo == GiveUp("the registry does not know it")
    assert waiting.paused(True).todo == ClaimModel()


@pytest.mark.parametrize("found", [True, False])
def test_a_claim_is_tried_again_for_as_long_as_the_bucket_is_away(found: bool) -> None:
    takeover, pauses = Takeover.of(POLICY, known=True), []
    for _ in range(4):
        assert takeover.todo == ClaimModel()
        takeover = takeover.claim_failed(StoreUnavailable("away"))
        pauses.append(takeover.todo)
        assert not takeover.stuck
        takeover = takeover.paused(found)
    assert pauses == [Pause(1.0), Pause(2.0), Pause(2.0), Pause(2.0)]


def test_what_only_a_person_can_put_right_is_tried_seldom_and_marked() -> None:
    stuck = Takeover.of(POLICY, known=True).claim_failed(DecodeError("no state object"))
    assert (stuck.todo, stuck.stuck) == (Pause(60.0), True)
    assert not stuck.paused(False).claim_failed(StoreUnavailable("away")).stuck


@pytest.mark.parametrize("method", [lambda t: t.looked(False), lambda t: t.claim_failed(StoreUnavailable("away"))])
def test_nothing_is_changed_in_place(method: Callable[[Takeover], Takeover]) -> None:
    before = Takeover.of(POLICY, known=False)
    kept = replace(before)
    assert method(before) != before == kept
