"""Whose an outcome is: by what answered, else by who asked and what the log granted then."""

from dataclasses import replace

import pytest

from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.outcome_assignment import CHANGING_US, OutcomeSide, side_of
from modelcast.schemas.records import CommandKind
from modelcast.schemas.traffic.bucket import bucket_of
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.steps_and_gates import CANARY
from tests.schemas.traffic.makers import log_with_rollout, rollout_step, rollout_word

BY_USER = replace(CANARY, key=RequestKey.parse("header:x-user"), standby=("ap",))
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def stepped(*shares: int, regions: tuple[str, ...] = ()) -> ModelLog:
    """A rollout whose steps were taken at the hours 1, 2, …."""
    entries = [
        replace(rollout_step(4 + n, share, *regions), requested_at_us=(n + 1) * HOUR_US)
        for n, share in enumerate(shares)
    ]
    return log_with_rollout(*entries, plan=BY_USER)


def side(log: ModelLog, at_us: int, cut_off: frozenset[str] = frozenset(), **fields: object) -> OutcomeSide:
    assert log.rollout is not None
    outcome = ObservedOutcome("fraud", "ctr", 1.0, at_us, "a", region="eu")
    return side_of(log.rollout, replace(outcome, **fields), cut_off)  # type: ignore[arg-type]


def user(low: int, high: int) -> str:
    """A user whose bucket lies from ``low`` to below ``high``."""
    return next(u for u in map(str, range(10**6)) if low <= bucket_of("event-3", u.encode()) < high)


def test_what_answered_says_it_whatever_was_granted() -> None:
    log = stepped(1_000)
    assert side(log, HOUR_US, version=8) is OutcomeSide.CANDIDATE
    assert side(log, HOUR_US, version=7) is OutcomeSide.CONTROL
    assert side(log, HOUR_US, version=6) is OutcomeSide.ANOTHER


def test_a_key_falls_to_the_version_that_its_bucket_said_at_that_time() -> None:
    log = stepped(1_000, 5_000)
    early, late = user(0, 1_000), user(1_000, 5_000)
    in_first, in_second = HOUR_US + 10 * MINUTE_US, 2 * HOUR_US + 10 * MINUTE_US
    assert side(log, 10 * MINUTE_US, key=early) is OutcomeSide.CONTROL, "nothing was granted yet"
    assert [side(log, in_first, key=key) for key in (early, late)] == [OutcomeSide.CANDIDATE, OutcomeSide.CONTROL]
    assert [side(log, in_second, key=key) for key in (early, late)] == [OutcomeSide.CANDIDATE, OutcomeSide.CANDIDATE]
    assert side(log, in_second, key=user(5_000, SHARES)) is OutcomeSide.CONTROL


@pytest.mark.parametrize("away_us", [-CHANGING_US, 0, CHANGING_US])
def test_while_shares_change_whoever_they_change_for_belongs_to_neither(away_us: int) -> None:
    log = stepped(1_000, 5_000)
    at_us = 2 * HOUR_US + away_us
    assert side(log, at_us, key=user(0, 1_000)) is OutcomeSide.CANDIDATE
    inside = side(log, at_us, key=user(1_000, 5_000))
    assert inside is (OutcomeSide.CHANGING if away_us < CHANGING_US else OutcomeSide.CANDIDATE)
    assert side(log, at_us, key=user(5_000, SHARES)) is OutcomeSide.CONTROL


def test_regions_have_shares_of_their_own_and_without_one_only_what_holds_in_all_is_certain() -> None:
    log = stepped(1_000, regions=("eu",))
    key, at_us = user(0, 1_000), HOUR_US + 10 * MINUTE_US
    assert side(log, at_us, key=key, region="eu") is OutcomeSide.CANDIDATE
    assert side(log, at_us, key=key, region="us") is OutcomeSide.CONTROL
    assert side(log, at_us, key=key, region="ap") is OutcomeSide.CONTROL, "standby regions send it nothing"
    assert side(log, at_us, key=key, region="") is OutcomeSide.CHANGING
    assert side(log, at_us, frozenset({"eu"}), key=key, region="eu") is OutcomeSide.NOT_SERVED


def test_what_can_not_be_joined_says_why() -> None:
    log = stepped(1_000)
    assert side(log, 1, version=8) is OutcomeSide.BEFORE
    assert side(log, HOUR_US) is OutcomeSide.NO_KEY
    at_random = log_with_rollout(rollout_step(4, 1_000))
    assert side(at_random, HOUR_US, key="ann") is OutcomeSide.AT_RANDOM


def test_an_instant_that_a_hold_prevents_changes_no_share() -> None:
    ahead = replace(rollout_step(4, SHARES), requested_at_us=HOUR_US, not_before_us=2 * HOUR_US)
    held = replace(rollout_word(5, CommandKind.ROLLOUT_HOLD), requested_at_us=HOUR_US + MINUTE_US)
    resumed = replace(rollout_word(6, CommandKind.ROLLOUT_RESUME), requested_at_us=4 * HOUR_US)
    log = log_with_rollout(ahead, held, resumed, plan=BY_USER)
    assert side(log, 3 * HOUR_US, key="ann") is OutcomeSide.CONTROL
    assert side(log, 5 * HOUR_US, key="ann") is OutcomeSide.CANDIDATE
