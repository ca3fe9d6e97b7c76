"""What news and the clock change in what is shown."""

import random

from modelcast.dashboard.view.overview import Overview
from modelcast.schemas.states import State
from modelcast.schemas.statuses import Limits, Status
from modelcast.schemas.unchanged import StatesUnchanged, UnchangedState
from tests.dashboard.makers import NOW, REGISTRY, SECOND, fetching, row, state


def overview() -> Overview:
    return Overview(Limits())


def test_what_is_counted_of_each_region_is_what_its_pairs_say_whatever_came_and_went() -> None:
    rng, shown, now_us = random.Random(7), overview(), NOW
    kinds = [{}, {"silent": True}, {"left_out": "placement"}, {"silent": True, "left_out": "unexpected"}]
    for _ in range(400):
        now_us += rng.randrange(0, 90) * SECOND
        model = f"model-{rng.randrange(4)}"
        if rng.random() < 0.15:
            shown.drop(model)
        elif rng.random() < 0.2:
            shown.tick(now_us)
        else:
            places = rng.sample(["eu", "us", "ap", "sa", "af"], rng.randrange(0, 6))
            rows = [row(place, **rng.choice(kinds), read_at_us=now_us) for place in places]
            shown.take(state(model, rows, updated_at_us=now_us), now_us, now_us, "kafka")
        pairs = list(shown.pairs())
        assert shown.regions == sorted({pair.row.region for pair in pairs})
        for region in ("eu", "us", "ap", "sa", "af"):
            here = [pair for pair in pairs if pair.row.region == region]
            assert shown.counted_in(region) == sum(pair.counted for pair in here)
            assert shown.silent(region) is any(pair.row.silent for pair in here)


def statuses(shown: Overview, model: str = "fraud") -> dict[str, Status]:
    return {region: pair.status for region, pair in shown.models[model].pairs.items()}


def test_a_model_appears_with_its_pairs_and_the_worst_status() -> None:
    shown = overview()
    changed = shown.take(state("fraud", [row("eu"), fetching("us", 30)]), NOW, NOW, "kafka")
    assert {p.row.region for p in changed} == {"eu", "us"}
    assert statuses(shown) == {"eu": Status.OK, "us": Status.LAG}
    assert shown.models["fraud"].status is Status.LAG
    assert (shown.revision, shown.shape) == (1, 1)


def test_what_the_tracker_repeats_is_no_news() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu")]), NOW, NOW, "kafka")
    again = state("fraud", [row("eu", heard_at_us=NOW + 28 * SECOND)], updated_at_us=NOW + 30 * SECOND)
    assert shown.take(again, NOW + 30 * SECOND, NOW + 30 * SECOND, "kafka") == ()
    assert (shown.revision, shown.shape) == (1, 1)
    assert shown.models["fraud"].appended_us == NOW + 30 * SECOND


def test_a_word_turns_worse_by_the_clock_alone() -> None:
    shown = overview()
    moving = state("fraud", [fetching("eu", 30, moved_at_us=NOW), row("us")])
    shown.take(moving, NOW, NOW, "kafka")
    assert shown.tick(NOW + 29 * SECOND) == ()
    (late,) = shown.tick(NOW + 31 * SECOND)
    assert (late.row.region, late.status, late.since_us) == ("eu", Status.LATE, NOW - 30 * SECOND)
    (stalled,) = shown.tick(NOW + 61 * SECOND)
    assert stalled.status is Status.STALLED
    assert shown.models["fraud"].status is Status.STALLED


def test_bytes_that_move_keep_a_pair_from_being_stalled() -> None:
    shown = overview()
    shown.take(state("fraud", [fetching("eu", 30)]), NOW, NOW, "kafka")
    moved = state("fraud", [fetching("eu", 70, moved_at_us=NOW + 40 * SECOND)], updated_at_us=NOW + 40 * SECOND)
    shown.take(moved, NOW + 40 * SECOND, NOW + 40 * SECOND, "kafka")
    shown.tick(NOW + 99 * SECOND)
    assert statuses(shown) == {"eu": Status.LATE}


def test_ok_expires_when_nothing_is_read_back() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu", read_at_us=NOW)]), NOW, NOW, "kafka")
    shown.tick(NOW + 599 * SECOND)
    assert statuses(shown) == {"eu": Status.OK}
    shown.tick(NOW + 601 * SECOND)
    assert statuses(shown) == {"eu": Status.SILENT}
    assert shown.models["fraud"].pairs["eu"].since_us == NOW


def test_without_a_tracker_nothing_that_was_read_back_long_ago_is_told_as_served() -> None:
    shown = overview()
    rows = [row("eu", read_at_us=NOW), fetching("us", 30, read_at_us=NOW), row("ap", read_at_us=NOW, error="x")]
    shown.take(state("fraud", rows, consistent_version=7), NOW, NOW, "kafka")
    shown.take(state("bad", [row("eu", read_at_us=NOW)], alarm="foreign bytes"), NOW, NOW, "kafka")
    shown.tick(NOW + 600 * SECOND)
    assert [p.row.served_version for p in shown.pairs()] == [7, 7, 7, 7]
    before = shown.revision
    shown.tick(NOW + 601 * SECOND)
    assert {(p.row.served_version, p.row.pods_serving) for p in shown.pairs()} == {(None, 0)}
    assert {p.row.reported_version for p in shown.pairs()} == {7}
    assert statuses(shown) == dict.fromkeys(("eu", "us", "ap"), Status.SILENT)
    assert (shown.models["fraud"].state.consistent_version, shown.models["bad"].status) == (None, Status.ALARM)
    assert shown.revision > before
    assert shown.tick(NOW + 700 * SECOND) == ()


def test_a_tracker_that_is_back_renews_also_what_was_not_told_as_served_meanwhile() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu", read_at_us=NOW)]), NOW, NOW, "kafka")
    shown.tick(NOW + 601 * SECOND)
    shown.renew(told("fraud", NOW, 660), NOW + 660 * SECOND, NOW + 660 * SECOND)
    assert statuses(shown) == {"eu": Status.OK}
    (pair,) = shown.pairs()
    assert (pair.row.served_version, shown.models["fraud"].state.consistent_version) == (7, 7)


def test_a_region_whose_clock_is_wrong_is_not_silent_for_that() -> None:
    shown = overview()
    hours = 3600 * SECOND
    shown.take(state("fraud", [row("eu", reported_at_us=NOW - 5 * hours)]), NOW, NOW, "kafka")
    assert statuses(shown) == {"eu": Status.OK}
    later = NOW + 290 * SECOND
    shown.take(
        state("fraud", [row("eu", reported_at_us=later - 5 * hours, read_at_us=later)], updated_at_us=later),
        later,
        later,
        "kafka",
    )
    shown.tick(later + 400 * SECOND)
    assert statuses(shown) == {"eu": Status.OK}


def test_an_older_word_of_the_other_source_changes_nothing() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu")]), NOW, NOW, "kafka")
    before = state("fraud", [row("eu", state=State.FAILED)], updated_at_us=NOW - SECOND)
    assert shown.take(before, NOW, NOW, "redis") == ()
    assert statuses(shown) == {"eu": Status.OK}


def test_a_model_that_is_gone_is_shown_no_more() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu")]), NOW, NOW, "kafka")
    shown.drop("fraud")
    assert (shown.models, shown.regions, shown.shape) == ({}, [], 2)


def test_what_is_left_out_does_not_count() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu"), row("old", left_out="unexpected", silent=True)]), NOW, NOW, "kafka")
    assert shown.models["fraud"].status is Status.OK
    assert shown.counts() == {Status.OK: 1}


def test_a_state_is_as_old_as_the_oldest_report_that_waits_to_be_read() -> None:
    shown = overview()
    behind = state("fraud", [row("eu")], as_of_us=NOW - 200 * SECOND)
    shown.take(behind, NOW, NOW, "kafka")
    assert shown.models["fraud"].appended_us == NOW - 200 * SECOND


def told(model: str, said_at_us: int, seconds: float, **changes: int) -> StatesUnchanged:
    """What the tracker tells so many seconds later: the state holds, and its pods were read back just before."""
    at_us = NOW + round(seconds * SECOND)
    row_of_it = UnchangedState(model, said_at_us, changes.get("as_of_us", at_us), changes.get("read_at_us", at_us))
    return StatesUnchanged(REGISTRY, 0, at_us, at_us, (row_of_it,))


def test_what_has_not_changed_is_as_young_as_was_told_and_goes_on_being_ok() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu", read_at_us=NOW)]), NOW, NOW, "kafka")
    before = shown.revision
    for seconds in (300, 600):
        at_us = NOW + seconds * SECOND
        assert shown.renew(told("fraud", NOW, seconds), at_us, at_us) == ()
        assert shown.tick(at_us + 1) == ()
    assert shown.models["fraud"].appended_us == NOW + 600 * SECOND
    assert shown.revision == before
    shown.tick(NOW + 1_201 * SECOND)
    assert statuses(shown) == {"eu": Status.SILENT}


def test_what_is_told_of_another_state_than_the_one_that_is_held_changes_nothing() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu")]), NOW, NOW, "kafka")
    for other in (told("fraud", NOW - 1, 30), told("fraud", NOW + 1, 30), told("spam", NOW, 30)):
        shown.renew(other, NOW + 30 * SECOND, NOW + 30 * SECOND)
    assert shown.models["fraud"].appended_us == NOW


def test_of_a_region_that_is_silent_or_not_read_back_nothing_gets_younger() -> None:
    shown = overview()
    rows = [row("eu", silent=True, read_at_us=NOW), row("us", unread=True, read_at_us=NOW), row("ap", read_at_us=NOW)]
    shown.take(state("fraud", rows), NOW, NOW, "kafka")
    shown.renew(told("fraud", NOW, 300), NOW + 300 * SECOND, NOW + 300 * SECOND)
    read = {region: pair.row.read_at_us - NOW for region, pair in shown.models["fraud"].pairs.items()}
    assert read == {"eu": 0, "us": 0, "ap": 300 * SECOND}
    assert statuses(shown)["eu"] is statuses(shown)["us"] is Status.SILENT


def test_a_tracker_that_is_behind_with_its_reading_makes_what_is_shown_as_old_as_that() -> None:
    shown = overview()
    shown.take(state("fraud", [row("eu")]), NOW, NOW, "kafka")
    shown.renew(told("fraud", NOW, 120, as_of_us=NOW + 40 * SECOND), NOW + 120 * SECOND, NOW + 120 * SECOND)
    assert shown.models["fraud"].appended_us == NOW + 40 * SECOND


def test_redis_and_kafka_tell_of_one_state_and_the_younger_word_counts() -> None:
    shown = overview()
    said = state("fraud", [row("eu")])
    younger = state("fraud", [row("eu")], updated_at_us=NOW + 60 * SECOND)
    shown.take(younger, NOW + 60 * SECOND, NOW + 60 * SECOND, "redis", said_us=NOW)
    shown.take(said, NOW, NOW + 61 * SECOND, "kafka")
    assert shown.models["fraud"].appended_us == NOW + 60 * SECOND
    shown.renew(told("fraud", NOW, 90), NOW + 90 * SECOND, NOW + 90 * SECOND)
    assert shown.models["fraud"].appended_us == NOW + 90 * SECOND
