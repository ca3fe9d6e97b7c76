"""When has a version arrived?"""

from dataclasses import replace

import numpy as np
import pytest

from modelcast.producers.planning.convergence import convergence_of, lateness
from modelcast.schemas.errors import UsageError
from modelcast.schemas.records import PodReport, RegionState, VersionState
from modelcast.schemas.states import PodState, State

SERVING = RegionState(
    region="eu",
    state=State.SERVING,
    aspired_version=7,
    aspired_generation=12,
    aspired_digest="",
    staged_version=7,
    staged_generation=12,
    served_version=7,
    served_generation=12,
    pods_serving=2,
    pods_expected=2,
    behind_since_us=0,
    silent=False,
)
LOADING = replace(SERVING, state=State.LOADING, served_version=None, pods_serving=1)
FETCHING = replace(SERVING, state=State.FETCHING, served_version=6, staged_version=6, pods_serving=0)
REFUSING = replace(FETCHING, state=State.QUARANTINED, error="blob x is damaged")
NEVER = replace(
    SERVING, state=None, aspired_version=None, aspired_generation=0, served_version=None, staged_version=None
)


def state(**regions: RegionState) -> VersionState:
    return VersionState(
        registry_id="r",
        model="fraud",
        head_generation=12,
        latest_version=7,
        consistent_version=None,
        consistent_since_us=0,
        last_consistent_version=6,
        behind_since_us=0,
        skew=0,
        skew_since_us=0,
        updated_at_us=0,
        regions=tuple(replace(row, region=name) for name, row in regions.items()),
    )


@pytest.mark.parametrize(
    ("rows", "reached"),
    [
        ({"eu": SERVING, "us": SERVING, "ap": SERVING}, {"all", "quorum", "one"}),
        ({"eu": SERVING, "us": SERVING, "ap": LOADING}, {"quorum", "one"}),
        ({"eu": SERVING, "us": FETCHING, "ap": NEVER}, {"one"}),
        ({"eu": SERVING, "us": FETCHING}, {"one"}),
        ({"eu": LOADING}, set()),
        ({}, set()),
    ],
)
def test_levels_count_regions_that_count(rows: dict[str, RegionState], reached: set[str]) -> None:
    for level in ("all", "quorum", "one"):
        assert convergence_of(state(**rows), 7, level).reached == (level in reached), level  # type: ignore[arg-type]


def test_regions_left_out_do_not_count_either_way() -> None:
    pinned = replace(FETCHING, left_out="pinned", aspired_version=3)
    assert convergence_of(state(eu=SERVING, us=pinned), 7, "all").reached
    assert not convergence_of(state(eu=FETCHING, us=replace(SERVING, left_out="pinned")), 7, "one").reached


def test_no_pods_are_never_converged() -> None:
    empty = replace(SERVING, served_version=None, pods_serving=0, pods_expected=0)
    verdict = convergence_of(state(eu=empty), 7)
    assert not verdict.reached
    assert "no pods" in verdict.laggards[0]


def test_a_state_that_has_not_folded_the_entry_proves_nothing() -> None:
    assert not convergence_of(state(eu=SERVING), 7, generation=13).reached
    assert convergence_of(state(eu=SERVING), 7, generation=12).reached
    assert not convergence_of(None, 7).reached


def test_staged_is_enough_where_that_was_asked() -> None:
    assert not convergence_of(state(eu=LOADING), 7).reached
    assert convergence_of(state(eu=LOADING), 7, staged=True).reached
    assert not convergence_of(state(eu=FETCHING), 7, staged=True).reached


def test_a_refusal_counts_for_the_version_that_was_refused() -> None:
    assert convergence_of(state(eu=SERVING, us=REFUSING), 7).quarantined == ("us: blob x is damaged",)
    assert convergence_of(state(eu=SERVING, us=replace(REFUSING, aspired_version=8)), 7).quarantined == ()


def test_a_newer_aspiration_supersedes_only_when_nobody_is_still_on_the_way() -> None:
    past = replace(FETCHING, aspired_version=8, aspired_generation=13)
    assert convergence_of(state(eu=past, us=SERVING), 7, generation=12).superseded
    assert not convergence_of(state(eu=past, us=FETCHING), 7, generation=12).superseded
    assert not convergence_of(state(eu=past), 7).superseded
    assert not convergence_of(state(eu=replace(past, staged_version=7)), 7, generation=12).superseded


def test_laggards_are_named_with_what_they_do() -> None:
    silent = replace(FETCHING, silent=True)
    verdict = convergence_of(state(eu=SERVING, us=LOADING, ap=silent, sa=NEVER), 7)
    assert verdict.there == ("eu",)
    told = "; ".join(verdict.laggards)
    assert "us: LAG, loading, 1 of 2 pods serve it" in told
    assert "ap: SILENT, fetching" in told
    assert "sa: NONE, never reported, aspires to None" in told


def test_where_regions_are_named_only_they_count_left_out_or_not() -> None:
    pinned = replace(SERVING, left_out="pinned")
    seen = state(eu=pinned, us=FETCHING)
    assert convergence_of(seen, 7, "all", regions=["eu"]).reached
    assert convergence_of(seen, 7, "all", regions=["eu"]).there == ("eu",)
    assert not convergence_of(seen, 7, "all", regions=["eu", "us"]).reached
    assert not convergence_of(seen, 7, "all").reached


def test_a_named_region_that_was_never_heard_of_is_waited_for() -> None:
    verdict = convergence_of(state(eu=SERVING), 7, "all", regions=["eu", "ap"])
    assert not verdict.reached
    assert verdict.laggards == ("ap: never reported",)
    assert convergence_of(state(eu=SERVING), 7, "one", regions=["eu", "ap"]).reached


@pytest.mark.parametrize("staged", [True, False])
def test_a_refused_version_is_seen_also_where_it_is_not_what_is_aspired(staged: bool) -> None:
    serving_six = replace(SERVING, aspired_version=6, served_version=6, staged_version=6)
    refusing = replace(serving_six, refused_version=7, error="damaged 3 times: blob x")
    found = convergence_of(state(eu=refusing, us=serving_six), 7, staged=staged)
    assert not found.reached
    assert found.quarantined == ("eu: damaged 3 times: blob x",)
    assert convergence_of(state(eu=refusing), 5, staged=staged).quarantined == ()


@pytest.mark.parametrize(
    ("reported_seconds_ago", "unread_seconds", "told"),
    [
        (0.0, 0, ""),
        (60.0, 4, ""),
        (120.0, 0, "the tracker last reported 120 s ago"),
        (0.0, 300, "the tracker is 300 s behind: acknowledgements that came since wait to be read"),
    ],
)
def test_what_was_said_long_ago_or_behind_the_times_is_told_as_such(
    reported_seconds_ago: float, unread_seconds: int, told: str
) -> None:
    said = replace(state(eu=SERVING), updated_at_us=1 + unread_seconds * 1_000_000, as_of_us=1)
    assert lateness(said, reported_seconds_ago) == told


def test_a_refusal_tells_where_the_version_is_served_still() -> None:
    recalled = replace(REFUSING, reported_version=7, error="")
    assert convergence_of(state(eu=recalled), 7).quarantined == ("eu: quarantined; eu: serves a quarantined version",)


def test_a_staged_version_that_is_refused_is_not_there_and_its_reason_is_told() -> None:
    recalled = replace(SERVING, aspired_version=6, served_version=6, staged_version=7, refused_version=7)
    found = convergence_of(state(eu=recalled), 7, staged=True)
    assert (found.reached, found.there, found.quarantined) == (False, (), ("eu: quarantined",))
    assert convergence_of(state(eu=replace(recalled, refused_version=None)), 7, staged=True).reached


def test_one_region_may_be_named_as_it_is() -> None:
    seen = state(eu=replace(SERVING, left_out="pinned"), us=FETCHING)
    assert convergence_of(seen, 7, regions="eu").there == ("eu",)
    assert convergence_of(seen, 7, regions=np.array(["eu"])).there == ("eu",)
    for wrong in (7, b"eu", {"eu": 1}, ["Bad!"], np.array(7)):
        with pytest.raises(UsageError, match="region"):
            convergence_of(seen, 7, regions=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["most", None, 1, np.array(["all", "one"])])
def test_a_level_that_there_is_not_is_named_with_those_that_there_are(level: object) -> None:
    with pytest.raises(UsageError, match=r"bad level .*: it is one of all, quorum, one"):
        convergence_of(state(eu=SERVING), 7, level)  # type: ignore[arg-type]


UNSUPPORTED = replace(
    FETCHING,
    state=State.FAILED,
    pods=(PodReport("p", PodState.FAILED, error="unsupported: needs model.onnx"), PodReport("q", PodState.PENDING)),
)


def test_a_status_that_says_it_already_is_not_followed_by_the_same_word() -> None:
    assert convergence_of(state(eu=UNSUPPORTED), 7).laggards == ("eu: FAILED, 0 of 2 pods serve it",)


def test_where_no_missing_region_has_a_pod_for_it_waiting_is_in_vain() -> None:
    assert convergence_of(state(eu=UNSUPPORTED, us=SERVING), 7).unsupported == ("eu: unsupported: needs model.onnx",)
    full = replace(UNSUPPORTED, pods=(), error="p: unsupported: needs model.onnx")
    assert convergence_of(state(eu=full), 7).unsupported
    for other in (
        replace(FETCHING, error="unsupported: by the one before"),
        replace(UNSUPPORTED, aspired_version=8),
        replace(UNSUPPORTED, pods_serving=1),
        replace(UNSUPPORTED, pods=(*UNSUPPORTED.pods, PodReport("r", PodState.FAILED, error="no_memory: 4 GiB"))),
    ):
        assert convergence_of(state(eu=other), 7).unsupported == ()
    assert convergence_of(state(eu=UNSUPPORTED, us=FETCHING), 7).unsupported == ()
    assert convergence_of(state(eu=UNSUPPORTED), 7, regions=["eu", "ap"]).unsupported == ()
