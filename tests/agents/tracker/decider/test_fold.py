"""What the tracker says, case by case."""

from dataclasses import replace

import pytest

from modelcast.agents.tracker.decider.fold import fold, readable_until_us
from modelcast.schemas.codec import decode, encode
from modelcast.schemas.records import CommandKind, Entry, ModelAck, StageSpan, VersionState
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.agents.tracker.folded import BOTH, NOW_US, TIMES, known, row, serving, state_of
from tests.agents.tracker.makers import REGISTRY, SECOND, command, digest, log_of, pages, pod, update


def test_a_version_that_every_pod_of_every_region_serves_is_consistent() -> None:
    state = state_of([update(1, 1)], serving("eu", 1, 1) + serving("us", 1, 1))
    assert state.consistent_version == 1
    assert state.last_consistent_version == 1
    assert state.consistent_since_us == NOW_US
    assert (state.behind_since_us, state.skew) == (0, 0)


def test_one_pod_behind_is_enough_for_no_consistent_version() -> None:
    late = pages("us", [pod("a", 2, 2), pod("b", 1, 1)], generation=2, version=2, state=State.LOADING)
    state = state_of([update(1, 1), update(2, 2)], serving("eu", 2, 2) + late)
    assert state.consistent_version is None
    assert state.skew == 1
    assert (row(state, "us").pods_serving, row(state, "us").pods_expected) == (1, 2)
    assert row(state, "us").served_version is None


def test_what_everybody_still_serves_stays_consistent_while_its_successor_travels() -> None:
    state = state_of([update(1, 1), update(2, 2)], serving("eu", 1, 1) + serving("us", 1, 1))
    assert state.consistent_version == 1
    assert row(state, "eu").state is State.ANNOUNCED  # the report was about version 1
    assert row(state, "eu").behind_since_us == TIMES[2]


@pytest.mark.parametrize("acks", [[], pages("us", [])], ids=["never reported", "no pods"])
def test_a_region_without_pods_is_undefined_and_never_converged(acks: list[ModelAck]) -> None:
    state = state_of([update(1, 1)], serving("eu", 1, 1) + acks)
    assert state.consistent_version is None
    assert row(state, "us").served_version is None
    assert row(state, "us").lag_seconds(NOW_US) > 0


def test_a_missing_pod_is_a_pod_that_does_not_serve() -> None:
    acks = pages("eu", [pod("a", 1, 1)], pods_expected=2)
    state = state_of([update(1, 1)], acks, expected=("eu",))
    assert state.consistent_version is None
    assert (row(state, "eu").pods_serving, row(state, "eu").pods_expected) == (1, 2)


def test_without_expected_regions_nothing_is_consistent() -> None:
    state = state_of([update(1, 1)], serving("eu", 1, 1), expected=())
    assert state.consistent_version is None
    assert row(state, "eu").left_out == "unexpected"


def test_bytes_that_differ_from_the_logs_are_not_that_version() -> None:
    false = replace(pod("b", 1, 1), manifest_digest=digest(66))
    state = state_of([update(1, 1)], pages("eu", [pod("a", 1, 1), false]), expected=("eu",))
    assert state.consistent_version is None
    assert row(state, "eu").pods_serving == 1
    assert state.skew == 1
    assert state.alarm == "eu: 1 pods serve bytes that are not in the log"


def test_an_unreachable_pod_serves_nothing() -> None:
    gone = pod("b", 1, 1, PodState.UNREACHABLE)
    state = state_of([update(1, 1)], pages("eu", [pod("a", 1, 1), gone]), expected=("eu",))
    assert state.consistent_version is None
    assert row(state, "eu").pods_serving == 1


def test_a_failed_pod_still_serves_what_it_was_read_back_with() -> None:
    failed = replace(pod("a", 1, 1, PodState.FAILED), error="no memory")
    state = state_of([update(1, 1), update(2, 2)], pages("eu", [failed], generation=2, version=2), expected=("eu",))
    assert state.consistent_version == 1
    assert row(state, "eu").pods[0].error == "no memory"


def test_a_region_pinned_elsewhere_is_left_out_and_named() -> None:
    entries = [update(1, 1), command(2, CommandKind.PIN, 1, ["us"]), update(3, 2)]
    state = state_of(entries, serving("eu", 2, 3) + serving("us", 1, 1))
    assert state.consistent_version == 2
    assert row(state, "us").left_out == "pinned"
    assert row(state, "us").behind_since_us == 0  # it serves what it should


def test_a_region_tells_its_pin_and_its_pause_also_before_it_reported() -> None:
    entries = [update(1, 1), command(2, CommandKind.PIN, 1, ["us"]), command(3, CommandKind.PAUSE), update(4, 2)]
    state = state_of(entries, serving("eu", 1, 3))
    assert [(r.pinned_version, r.paused) for r in state.regions] == [(None, True), (1, True)]
    after = state_of([*entries, command(5, CommandKind.UNPIN), command(6, CommandKind.RESUME)], serving("eu", 2, 6))
    assert [(r.pinned_version, r.paused) for r in after.regions] == [(None, False), (None, False)]


def test_a_region_pinned_to_what_all_aspire_to_counts() -> None:
    entries = [update(1, 1), command(2, CommandKind.PIN, 1, ["us"])]
    state = state_of(entries, serving("eu", 1, 1))
    assert row(state, "us").left_out == ""
    assert state.consistent_version is None


def test_when_every_region_is_pinned_the_pins_are_what_counts() -> None:
    entries = [update(1, 1), update(2, 2), command(3, CommandKind.PIN, 1)]
    state = state_of(entries, serving("eu", 1, 3) + serving("us", 1, 3))
    assert state.consistent_version == 1
    assert [r.left_out for r in state.regions] == ["", ""]


def test_a_region_outside_the_placement_is_left_out_and_named() -> None:
    entries = [update(1, 1), update(2, 2, placement=["eu"])]
    state = state_of(entries, serving("eu", 2, 2) + serving("us", 1, 1))
    assert state.consistent_version == 2
    assert row(state, "us").left_out == "placement"
    assert row(state, "us").aspired_version == 1


def test_a_silent_region_counts_nowhere_and_tells_what_it_served() -> None:
    heard = {"eu": NOW_US, "us": NOW_US - 16 * SECOND}
    state = state_of([update(1, 1)], serving("eu", 1, 1) + serving("us", 1, 1), heard_us=heard)
    assert state.consistent_version is None
    assert (row(state, "us").served_version, row(state, "us").pods_serving) == (None, 0)
    assert (row(state, "us").reported_version, row(state, "us").pods_expected) == (1, 2)
    assert row(state, "eu").served_version == 1
    assert [(r.region, r.silent) for r in state.regions] == [("eu", False), ("us", True)]
    assert row(state, "us").heard_at_us == NOW_US - 16 * SECOND


def test_why_pods_wait_is_told_as_long_as_it_is_known() -> None:
    (ack,) = pages("eu", [pod("a", 1, 1), pod("b", 2, 2)], generation=2, version=2, state=State.LOADING)
    acks = [replace(ack, rollover="1 of 2 pods; waits for a")]
    log = [update(1, 1), update(2, 2)]
    assert row(state_of(log, acks, expected=("eu",)), "eu").rollover == "1 of 2 pods; waits for a"
    silent = state_of(log, acks, expected=("eu",), heard_us={"eu": NOW_US - 16 * SECOND})
    assert row(silent, "eu").rollover == ""
    newer = state_of([*log, update(3, 3)], acks, expected=("eu",))  # that is about a version gone by
    assert row(newer, "eu").rollover == ""


def test_a_report_on_an_older_generation_lends_the_new_one_no_state_and_its_error_stays_with_its_generation() -> None:
    acks = pages("eu", [pod("a", 1, 1)], generation=2, version=2, state=State.QUARANTINED, error="damaged")
    state = state_of([update(1, 1), update(2, 2), update(3, 3)], acks, expected=("eu",))
    assert row(state, "eu").state is State.ANNOUNCED
    stuck = row(state, "eu")
    assert (stuck.error, stuck.error_generation, stuck.bytes_moved) == ("damaged", 2, 0)
    assert stuck.reported_at_us == acks[0].reported_at_us
    told = state_of([update(1, 1), update(2, 2)], acks, expected=("eu",))
    assert row(told, "eu").state is State.QUARANTINED
    assert (row(told, "eu").error, row(told, "eu").error_generation) == ("damaged", 2)


def on_its_way(sequence: int, moved: int) -> list[ModelAck]:
    acks = pages("eu", [pod("a", None)], generation=1, version=1, state=State.FETCHING, sequence=sequence)
    return [replace(a, bytes_moved=moved, bytes_planned=900, bytes_per_second=12.5, way="whole") for a in acks]


def test_progress_is_told_as_the_region_told_it_last_and_never_goes_back() -> None:
    for acks in (on_its_way(1, 100) + on_its_way(2, 300), on_its_way(2, 300) + on_its_way(1, 100)):
        told = row(state_of([update(1, 1)], acks, expected=("eu",)), "eu")
        assert (told.state, told.bytes_moved, told.bytes_planned) == (State.FETCHING, 300, 900)
        assert (told.bytes_per_second, told.way) == (12.5, "whole")


def test_progress_of_an_older_generation_is_not_that_of_a_new_one() -> None:
    told = row(state_of([update(1, 1), update(2, 2)], on_its_way(1, 100), expected=("eu",)), "eu")
    assert (told.state, told.bytes_moved, told.bytes_planned, told.way) == (State.ANNOUNCED, 0, 0, "")


# --- since when ------------------------------------------------------------------------------------------


def test_since_when_survives_in_what_was_said_before() -> None:
    log, acks = log_of(update(1, 1)), serving("eu", 1, 1) + serving("us", 1, 1)
    first = fold(known(log, acks), NOW_US)
    later = fold(known(log, acks, previous=first), NOW_US + SECOND)
    assert later.consistent_since_us == first.consistent_since_us


def test_the_last_consistent_version_is_remembered_while_there_is_none() -> None:
    acks = serving("eu", 1, 1) + serving("us", 1, 1)
    first = fold(known(log_of(update(1, 1)), acks), NOW_US)
    acks = serving("eu", 2, 2, sequence=2) + serving("us", 1, 1)
    half = fold(known(log_of(update(1, 1), update(2, 2)), acks, previous=first), NOW_US + SECOND)
    assert (half.consistent_version, half.consistent_since_us, half.last_consistent_version) == (None, 0, 1)
    assert half.skew_since_us == NOW_US + SECOND
    later = fold(known(log_of(update(1, 1), update(2, 2)), acks, previous=half), NOW_US + 2 * SECOND)
    assert later.skew_since_us == NOW_US + SECOND


# --- size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pods", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_hundred_regions_of_very_many_pods_fit_into_one_record(pods: int) -> None:
    regions = tuple(f"region-{n:03d}-{'x' * 50}" for n in range(100))
    acks: list[ModelAck] = []
    for region in regions:
        reports = [replace(pod(f"pod-{n:05d}.{region}", 1, 1), incarnation="i" * 36) for n in range(pods - 10)]
        reports += [replace(pod(f"bad-{n}", None, 0, PodState.FAILED), error="e" * 4000) for n in range(10)]
        acks += pages(region, reports, page_count=10, error="e" * 4000)
    state = state_of([update(1, 1)], acks, expected=regions)
    data = encode(state)
    assert 128 * 1024 < len(data) <= RECORD_SIZE_MAX
    assert decode(data) == state
    for r in state.regions:
        assert (r.pods_serving, r.pods_expected) == (pods - 10, pods)
        assert len(r.pods) + r.pods_omitted == pods
    assert all(r.pods and r.pods[0].state is PodState.FAILED for r in state.regions)  # the worst ones first


def test_pods_that_failed_are_named_where_there_is_room_for_them_whatever_the_number_of_regions() -> None:
    regions = tuple(f"region-{n:03d}" for n in range(200))
    acks: list[ModelAck] = []
    names = ("wait", "manifest", "plan", "fetch", "origin", "verify", "load")
    stages = tuple(StageSpan(name, 120, 3_200, 3_000) for name in names)
    for region in regions:
        reports = [replace(pod(f"bad-{n}", None, 0, PodState.FAILED), error="no memory") for n in range(3)]
        made = pages(region, [*reports, *(pod(f"good-{n}", 1, 1) for n in range(20))])
        acks += [replace(a, spans_since_us=NOW_US, spans=stages) for a in made]
    state = state_of([update(1, 1)], acks, expected=regions)
    assert sum(p.state is PodState.FAILED for r in state.regions for p in r.pods) == 600
    assert len(encode(state)) <= RECORD_SIZE_MAX


def test_the_state_is_of_the_logs_registry() -> None:
    assert state_of([update(1, 1)], []).registry_id == REGISTRY


def test_what_a_region_refuses_is_told_until_it_is_released() -> None:
    entries: list[Entry] = [update(1, 1), update(2, 2)]
    refusing = serving("eu", 1, 2, refused_version=2)
    assert row(state_of(entries, refusing), "eu").refused_version == 2
    assert row(state_of(entries, refusing), "us").refused_version is None
    released = [*entries, command(3, CommandKind.RELEASE, 2)]
    assert row(state_of(released, refusing), "eu").refused_version is None
    again = serving("eu", 1, 3, sequence=2, refused_version=2)
    assert row(state_of(released, refusing + again), "eu").refused_version == 2


def test_what_the_log_quarantines_is_refused_everywhere_at_once() -> None:
    state = state_of([update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, 2)], serving("eu", 1, 1))
    assert {r.refused_version for r in state.regions} == {2}


# --- read back -------------------------------------------------------------------------------------------


def read_seconds_ago(region: str, *ages: float) -> list[ModelAck]:
    reports = [pod(f"{region}-{n}", 1, 1, read_at_us=NOW_US - int(age * SECOND)) for n, age in enumerate(ages)]
    return pages(region, reports)


def test_pods_that_were_not_read_back_within_ten_minutes_are_served_nowhere() -> None:
    state = state_of([update(1, 1)], read_seconds_ago("eu", 1, 599) + read_seconds_ago("us", 1, 601))
    eu, us = row(state, "eu"), row(state, "us")
    assert (eu.served_version, eu.pods_serving, eu.unread) == (1, 2, False)
    assert (us.served_version, us.pods_serving, us.unread, us.reported_version) == (None, 0, True, 1)
    assert state.consistent_version is None


def test_a_region_whose_clock_is_off_is_read_by_its_own_clock() -> None:
    slow = read_seconds_ago("eu", 3_600, 3_601)
    state = state_of([update(1, 1)], slow, expected=("eu",), ahead_of_us={"eu": 3_600 * SECOND})
    assert row(state, "eu").served_version == 1
    assert readable_until_us(known(log_of(update(1, 1)), slow, ahead_of_us={"eu": 3_600 * SECOND}), "eu", NOW_US) == (
        NOW_US + 599 * SECOND
    )


def test_a_silent_region_that_is_heard_again_counts_again() -> None:
    heard = {"eu": NOW_US - 16 * SECOND}
    acks = read_seconds_ago("eu", 1)
    assert state_of([update(1, 1)], acks, expected=("eu",), heard_us=heard).consistent_version is None
    assert state_of([update(1, 1)], acks, expected=("eu",)).consistent_version == 1


# --- quarantined and served all the same -----------------------------------------------------------------


def test_a_quarantined_version_that_pods_still_serve_is_served_nowhere_and_an_alarm() -> None:
    entries: list[Entry] = [update(1, 1), command(2, CommandKind.QUARANTINE, 1)]
    state = state_of(entries, serving("eu", 1, 1) + serving("us", 1, 1))
    assert state.consistent_version is None
    assert {(r.served_version, r.pods_serving, r.reported_version, r.refused_version) for r in state.regions} == {
        (None, 0, 1, 1)
    }
    assert state.alarm == "; ".join(f"{r}: 2 pods serve version 1, which is quarantined" for r in BOTH)


QUARANTINED_2: list[Entry] = [update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, 2)]


def after_quarantine(seconds: float, state: State, *, version: int = 1, generation: int = 3) -> VersionState:
    """A region in ``state``, whose pod serves version 2, which was quarantined so many seconds ago."""
    eu = pages("eu", [pod("eu-0", 2, 2)], generation=generation, version=version, state=state, refused_version=2)
    times = TIMES | {3: NOW_US - int(seconds * SECOND)}
    return state_of(QUARANTINED_2, eu, expected=("eu",), entry_times_us=times)


@pytest.mark.parametrize("state", [State.FETCHING, State.STAGED, State.LOADING])
def test_a_quarantined_version_is_no_alarm_while_another_is_about_to_take_its_place(state: State) -> None:
    told = after_quarantine(599, state)
    assert told.alarm == ""
    assert row(told, "eu").served_version is None
    not_read_yet = after_quarantine(599, State.SERVING, version=2, generation=2)
    assert not_read_yet.alarm == ""


@pytest.mark.parametrize(("seconds", "state"), [(1, State.QUARANTINED), (1, State.FAILED), (601, State.FETCHING)])
def test_a_quarantined_version_is_an_alarm_where_nothing_takes_its_place(seconds: float, state: State) -> None:
    alarm = "eu: 1 pods serve version 2, which is quarantined, and version 1 has not taken its place"
    assert after_quarantine(seconds, state).alarm == alarm


def test_a_state_is_as_old_as_the_oldest_unread_acknowledgement() -> None:
    assert state_of([update(1, 1)], []).unread_seconds == 0
    assert state_of([update(1, 1)], [], as_of_us=NOW_US - 180 * SECOND).unread_seconds == 180


# --- when, by the tracker's clock ------------------------------------------------------------------------


def test_a_state_tells_when_the_pod_that_was_read_back_longest_ago_was() -> None:
    acks = read_seconds_ago("eu", 40, 70, 10)
    assert row(state_of([update(1, 1)], acks, expected=("eu",)), "eu").read_at_us == NOW_US - 70 * SECOND
    behind = {"eu": 3_600 * SECOND}
    acks = read_seconds_ago("eu", 3_640, 3_670)
    assert row(state_of([update(1, 1)], acks, expected=("eu",), ahead_of_us=behind), "eu").read_at_us == (
        NOW_US - 70 * SECOND
    )


def test_a_read_back_of_a_time_that_has_not_come_counts_from_when_it_was_heard_and_does_not_last_for_ever() -> None:
    entries: list[Entry] = [update(1, 1)]
    acks = read_seconds_ago("eu", -36_000)
    first = state_of(entries, acks, expected=("eu",))
    assert (row(first, "eu").read_at_us, row(first, "eu").served_version) == (NOW_US, 1)
    later = NOW_US + 601 * SECOND
    heard = known(log_of(*entries), acks, expected=("eu",), previous=first, heard_us={"eu": later})
    assert readable_until_us(heard, "eu", later) == NOW_US + 600 * SECOND
    eu = row(fold(heard, later), "eu")
    assert (eu.unread, eu.served_version, eu.read_at_us) == (True, None, NOW_US)


def test_a_state_tells_when_bytes_or_state_last_moved() -> None:
    entries: list[Entry] = [update(1, 1), update(2, 2)]
    acks = pages("eu", [pod("eu-0", 1, 1)], generation=2, version=2, state=State.FETCHING)
    first = state_of(entries, acks, expected=("eu",), ahead_of_us={"eu": -10 * SECOND})
    assert row(first, "eu").moved_at_us == 0  # reported at second 1 of a clock that is 10 s ahead

    def then(seconds: int, bytes_moved: int, before: VersionState) -> VersionState:
        moved = [replace(ack, bytes_moved=bytes_moved) for ack in acks]
        return fold(known(log_of(*entries), moved, expected=("eu",), previous=before), NOW_US + seconds * SECOND)

    first = replace(first, regions=tuple(replace(r, moved_at_us=NOW_US) for r in first.regions))
    still = then(30, 10, first)
    assert row(still, "eu").moved_at_us == NOW_US
    assert row(then(60, 11, still), "eu").moved_at_us == NOW_US + 60 * SECOND
