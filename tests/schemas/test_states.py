"""The moves between states: those of the drawing at the head of the module, and no others."""

import itertools

import pytest

from modelcast.schemas.states import MOVES, State
from tests.support.records.folding import may_move

TO_SERVING = [State.ANNOUNCED, State.FETCHING, State.STAGED, State.LOADING, State.SERVING]
FIRST_FOUR = TO_SERVING[:4]


def test_the_road_leads_from_announced_to_serving() -> None:
    for old, new in itertools.pairwise(TO_SERVING):
        assert may_move(old, new)


@pytest.mark.parametrize("state", State)
def test_staying_is_always_allowed_and_every_state_has_its_moves_named(state: State) -> None:
    assert may_move(state, state)
    assert state not in MOVES[state]


@pytest.mark.parametrize("state", FIRST_FOUR)
def test_any_of_the_first_four_may_fail_or_be_quarantined(state: State) -> None:
    assert may_move(state, State.FAILED)
    assert may_move(state, State.QUARANTINED)


@pytest.mark.parametrize("state", [s for s in State if s is not State.SUPERSEDED])
def test_everything_may_be_superseded(state: State) -> None:
    assert may_move(state, State.SUPERSEDED)


@pytest.mark.parametrize("state", [s for s in State if s is not State.SUPERSEDED])
def test_what_is_superseded_never_comes_back(state: State) -> None:
    assert not may_move(State.SUPERSEDED, state)


def test_nothing_serves_that_was_not_staged_or_loaded_before() -> None:
    for state in (State.ANNOUNCED, State.FETCHING, State.QUARANTINED, State.SUPERSEDED):
        assert not may_move(state, State.SERVING)


def test_what_serves_is_not_failed_or_quarantined_under_the_same_generation() -> None:
    assert not may_move(State.SERVING, State.FAILED)
    assert not may_move(State.SERVING, State.QUARANTINED)


@pytest.mark.parametrize("state", [s for s in State if s not in {State.ANNOUNCED, State.FETCHING, State.FAILED}])
def test_only_what_was_fetched_or_failed_goes_back_to_announced(state: State) -> None:
    assert may_move(State.FETCHING, State.ANNOUNCED)
    assert may_move(State.FAILED, State.ANNOUNCED)
    assert not may_move(state, State.ANNOUNCED)


def test_what_failed_or_was_released_is_tried_again() -> None:
    for state in (State.FAILED, State.QUARANTINED):
        assert may_move(state, State.FETCHING)
        assert may_move(state, State.LOADING)
