"""Three in the morning: of each incident the verdict and the first three lines must name what is guilty."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.problems import problems
from modelcast.dashboard.view.verdict import overview_verdict
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State
from modelcast.schemas.statuses import Limits
from tests.dashboard.makers import NOW, SECOND, fetching, refusing, row, state

MODELS = [f"m{n:02}" for n in range(20)]
REGIONS = [f"r{n:02}" for n in range(12)]
MINUTE = 60


def overview(change: Callable[[str, str], RegionState | None]) -> list[VersionState]:
    """An overview in which all is well but for what ``change`` gives."""
    return [state(model, [change(model, region) or row(region) for region in REGIONS]) for model in MODELS]


def only(model: str, region: str, it: RegionState) -> list[VersionState]:
    return overview(lambda m, r: it if (m, r) == (model, region) else None)


def silent(region: str) -> RegionState:
    return row(region, silent=True, heard_at_us=NOW - 6 * MINUTE * SECOND)


def noisy(model: str, region: str) -> RegionState | None:
    """What goes on all the time: a rollout that has just begun."""
    return fetching(region, 20) if (model, region) in {("m03", "r01"), ("m09", "r05")} else None


def with_alarm() -> list[VersionState]:
    states = overview(noisy)
    states[7] = replace(states[7], alarm="r02: 1 pods serve bytes that are not in the log")
    return states


INCIDENTS: dict[str, tuple[list[VersionState], tuple[str, ...]]] = {
    "one region is cut off": (overview(lambda m, r: silent(r) if r == "r04" else noisy(m, r)), ("r04",)),
    "Kafka is down for most regions": (
        overview(lambda m, r: silent(r) if r < "r08" else None),
        ("8 of 12 regions have not reported", "r00", "r01"),
    ),
    "a version was damaged in the origin": (
        overview(lambda m, r: refusing(r, error="expected dd2b, got 9dc2") if m == "m11" else noisy(m, r)),
        ("m11/8", "expected dd2b"),
    ),
    "one region's bucket is damaged": (only("m11", "r06", refusing("r06", error="bad")), ("m11/8", "r06", "bad")),
    "a region's link is slow": (
        overview(lambda m, r: fetching(r, 10 * MINUTE) if r == "r09" else noisy(m, r)),
        ("r09", "20 of 20"),
    ),
    "one fetch stands": (
        only("m05", "r03", fetching("r03", 14 * MINUTE, bytes_per_second=0.0, moved_at_us=NOW - 5 * MINUTE * SECOND)),
        ("STALLED", "m05", "r03"),
    ),
    "a model is too large for the memory of its pods": (
        overview(
            lambda m, r: row(r, state=State.FAILED, served_version=6, error="out of memory") if m == "m02" else None
        ),
        ("m02", "out of memory"),
    ),
    "pods are gone in one region": (
        only("m08", "r11", row("r11", behind_seconds=5 * MINUTE, pods_serving=0, pods_expected=0, served_version=None)),
        ("m08", "r11", "no pod is ready"),
    ),
    "a pod serves foreign bytes": (with_alarm(), ("ALARM", "m07", "not in the log")),
    "a region was set up and never started": (
        overview(
            lambda m, r: row(r, state=None, silent=True, heard_at_us=0, served_version=None) if r == "r10" else None
        ),
        ("r10", "never reported"),
    ),
    "the tracker died": (
        [replace(each, updated_at_us=NOW - 5 * MINUTE * SECOND) for each in overview(noisy)],
        ("No tracker has reported", "the tracker"),
    ),
    "one tracker of two stands": (
        [
            replace(each, updated_at_us=NOW - 5 * MINUTE * SECOND) if number % 2 else each
            for number, each in enumerate(overview(lambda m, r: None))
        ],
        ("one of the trackers", "10 of 20"),
    ),
}


@pytest.mark.parametrize("name", list(INCIDENTS))
def test_the_verdict_and_the_first_three_lines_name_what_is_guilty(name: str) -> None:
    states, guilty = INCIDENTS[name]
    shown = Overview(Limits())
    for each in states:
        shown.take(each, each.updated_at_us, NOW, "kafka")
    found = problems(shown, NOW)
    said = overview_verdict(shown, found)
    lines = [f"{p.status} {p.title} {p.region} {p.pairs} of {p.pairs_of} {p.reason}" for p in found[:3]]
    seen = "\n".join([said.label, said.sentence, *lines])
    assert [word for word in guilty if word not in seen] == [], seen
