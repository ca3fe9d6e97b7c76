"""States as people see them: worst first, progress below, and all of it within 80 columns."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from modelcast.cli.console import size_of
from modelcast.cli.views import tables
from modelcast.cli.views.state_source import Sighting
from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import Pair
from modelcast.schemas.records import PodReport, RegionState, VersionState
from modelcast.schemas.states import PodState, State
from modelcast.schemas.statuses import Limits

MIB = 1024 * 1024
SECOND = 1_000_000
NOW_US = 1_700_000_000 * SECOND
SINCE_US = NOW_US - 12_300_000
FETCHING = RegionState(
    "eu-west", State.FETCHING, 7, 9, "", 6, 6, 6, 6, 0, 2, SINCE_US, False,
    bytes_moved=17 * MIB, bytes_planned=68 * MIB, bytes_total=68 * MIB, bytes_per_second=8.5 * MIB,
    way="1 file unchanged, 1 delta from 6", read_at_us=NOW_US - SECOND,
)  # fmt: skip
STANDING = replace(FETCHING, region="us", behind_since_us=SINCE_US - 87 * SECOND, bytes_per_second=0.0, way="whole")
DONE = replace(
    FETCHING,
    region="ap",
    state=State.SERVING,
    bytes_moved=MIB,
    bytes_planned=MIB,
    bytes_saved=67 * MIB,
    served_version=7,
    pods_serving=2,
    behind_since_us=0,
)
REFUSED = replace(
    FETCHING, region="sa", state=State.QUARANTINED, bytes_planned=0, bytes_moved=0, way="", refused_version=7,
    error="damaged 3 times: model.onnx: the store holds other bytes than the manifest says",
)  # fmt: skip


def shown(*parts: RenderableType, columns: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    for part in parts:
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def state(*rows: RegionState) -> VersionState:
    return VersionState("r", "fraud", 9, 7, None, 0, 6, SINCE_US, 2, 0, NOW_US, rows)


def pairs(**rows: RegionState) -> dict[str, Pair]:
    return {model: tables.view_of(state(row)).pairs[row.region] for model, row in rows.items()}


def fetches(*rows: RegionState) -> list[str]:
    table = tables.fetches_table((row.region, row) for row in rows)
    return shown(table) if table is not None else []


def test_a_fetch_says_how_much_of_how_much_how_fast_how_long_and_how() -> None:
    _, line = fetches(FETCHING)
    for said in ("eu-west", "17.0 of 68 MiB", "8.5 MiB/s", "6.0 s", "1 delta from 6"):
        assert said in line


def test_what_is_fetched_ahead_of_what_is_served_is_on_its_way_too() -> None:
    assert "17.0 of 68 MiB" in fetches(replace(FETCHING, state=State.SERVING))[1]


def test_the_fetch_that_ends_last_comes_first_and_one_that_stands_before_all() -> None:
    slower = replace(FETCHING, region="af", bytes_per_second=MIB)
    lines = fetches(FETCHING, slower, STANDING)[1:]
    assert [line.split()[0] for line in lines] == ["us", "af", "eu-west"]
    assert "stands" in lines[0]


def test_only_what_is_on_its_way_is_shown_as_such() -> None:
    unknown = replace(FETCHING, bytes_planned=0, way="")
    assert fetches(DONE, REFUSED, replace(FETCHING, silent=True), unknown) == []


def test_a_fetch_that_needs_nothing_over_the_long_link_is_shown_by_its_way() -> None:
    way = "50000 from the region; fetching: 31200 of 50000 files"
    inside = replace(FETCHING, bytes_moved=0, bytes_planned=0, bytes_per_second=0.0, way=way)
    assert fetches(inside)[1].split(maxsplit=4) == ["eu-west", "-", "-", "-", way]
    table = tables.fetches_table([("eu-west", inside)])
    assert table is not None
    assert shown(table, columns=59)[0].startswith("eu-west: 50000 from the region; fetching: 31200 of 50000")
    assert shown(*tables.notes(state(inside))) == [], "how it comes is told once"


@pytest.mark.parametrize(
    ("moved", "planned", "rate", "left"),
    [
        (0, 100, 0.0, math.inf),
        (50, 100, 10.0, 5.0),
        (100, 100, 0.0, 0.0),
        (130, 100, 10.0, 0.0),  # what came twice counts twice
        (0, 0, 0.0, 0.0),
    ],
)
def test_what_is_left_is_told_at_the_pace_of_the_moment(moved: int, planned: int, rate: float, left: float) -> None:
    row = replace(FETCHING, bytes_moved=moved, bytes_planned=planned, bytes_per_second=rate)
    assert tables.seconds_left(row) == left


def test_a_model_fits_80_columns_the_worst_region_first_and_every_number_whole() -> None:
    lines = shown(tables.model_table(state(DONE, FETCHING, STANDING, REFUSED)))
    assert len(lines) == 5, "no line is wrapped"
    assert [line.split()[0] for line in lines[1:]] == ["sa", "us", "eu-west", "ap"]
    assert "…" not in "".join(lines)
    assert lines[-1].split()[-4:] == ["1.0", "MiB", "67", "MiB"]


@pytest.mark.parametrize("columns", [30, 38, 45, 60, 79])
def test_in_a_narrow_terminal_what_is_shown_is_readable(columns: int) -> None:
    lines = shown(tables.model_table(state(DONE, FETCHING, STANDING, REFUSED)), columns=columns)
    assert "…" not in "".join(lines)
    told = lines[-4:]
    assert [line.split()[0].rstrip(":") for line in told] == ["sa", "us", "eu-west", "ap"]
    assert "REFUSED" in told[0]
    assert "7" in told[3]


def test_the_narrower_the_fewer_columns_and_then_words() -> None:
    table = tables.model_table(state(DONE, FETCHING))
    assert [shown(table, columns=n)[0] for n in (80, 45, 27)] == [
        "REGION  STATUS       ASPIRED STAGED SERVED PODS LAG  MOVED   SAVED",
        "REGION  STATUS       SERVED LAG",
        "eu-west: LAG, serves 6",
    ]


def test_models_are_readable_in_a_narrow_terminal_too() -> None:
    table = tables.models_table([Sighting(state(DONE, FETCHING), 1.0, "redis")])
    assert shown(table, columns=38) == ["MODEL CONSISTENT REGIONS STATUS", "fraud -          1/2     LAG fetching"]
    assert shown(table, columns=24) == ["fraud: 1/2 regions, LAG", "fetching"]


def test_regions_are_readable_in_a_narrow_terminal_too() -> None:
    table = tables.regions_table([("eu-west", 1, "1.0", 2.0, False, pairs(fraud=DONE), None, 0.0)])
    assert shown(table, columns=38) == ["REGION  HEARD     SERVING", "eu-west 2.0 s ago 1/1"]
    assert shown(table, columns=24) == ["eu-west: 1/1, heard 2.0", "s ago"]


def test_fetches_are_told_in_words_where_a_table_does_not_fit() -> None:
    table = tables.fetches_table([("eu-west", FETCHING), ("us", STANDING)])
    assert table is not None
    assert shown(table, columns=38) == ["us: 17.0 of 68 MiB, stands", "eu-west: 17.0 of 68 MiB, 6.0 s left"]


def test_regions_of_which_the_same_is_said_share_a_line() -> None:
    other = replace(DONE, region="me")
    notes = shown(*tables.notes(state(DONE, other, REFUSED)), columns=200)
    assert notes == [
        "sa: refuses 7; damaged 3 times: model.onnx: the store holds other bytes than the manifest says",
        "ap, me: 1 file unchanged, 1 delta from 6",
    ]


def test_how_bytes_come_is_told_once_while_they_come() -> None:
    assert shown(*tables.notes(state(FETCHING))) == []


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [(0, 10, "0 of 10 B"), (512, 2048, "0.5 of 2.0 KiB"), (3 * MIB, 68 * MIB, "3.0 of 68 MiB")],
)
def test_two_sizes_share_their_unit(done: int, total: int, text: str) -> None:
    assert size_of(done, total) == text


PINNED = replace(DONE, pinned_version=6)


def held_in(*rows: RegionState) -> str:
    return shown(tables.models_table([Sighting(state(*rows), 1.0, "redis")]), columns=200)[1].split(" ago")[1].strip()


def test_models_tell_what_holds_them_and_where_unless_it_is_everywhere() -> None:
    assert held_in(DONE, FETCHING) == "-"
    assert held_in(PINNED, replace(PINNED, region="me")) == "pinned to 6"
    assert held_in(PINNED, replace(PINNED, region="me"), DONE) == "ap, me: pinned to 6"
    assert held_in(replace(PINNED, paused=True), replace(DONE, region="us", paused=True)) == (
        "ap: pinned to 6, paused; us: paused"
    )


def test_regions_tell_which_models_are_held_there() -> None:
    rows = pairs(fraud=PINNED, digits=DONE, churn=replace(DONE, paused=True))
    lines = shown(
        tables.regions_table([("ap", 1, "1.0", 2.0, False, rows, None, 0.0), ("eu", 0, "", None, True, {}, None, 0.0)]),
        columns=200,
    )
    assert lines[1].split()[:3] == ["eu", "0", "never"]
    assert lines[2].endswith("fraud pinned to 6; churn paused")


def test_an_error_about_an_earlier_generation_stays_with_its_age() -> None:
    stuck = replace(
        FETCHING, state=State.ANNOUNCED, bytes_planned=0, aspired_generation=9, error="no room: 3 GiB are missing",
        error_generation=8, reported_at_us=10_000_000,
    )  # fmt: skip
    assert tables.note(stuck, 250_000_000) == "no room: 3 GiB are missing (generation 8, 4 min ago)"
    assert tables.note(replace(stuck, error_generation=9), 250_000_000) == "no room: 3 GiB are missing"


def test_why_pods_wait_is_told_before_how_the_bytes_came() -> None:
    waits = replace(DONE, way="delta from 6", bytes_total=10, rollover="1 of 4 pods; waits for a")
    assert tables.note(waits, 250_000_000) == "1 of 4 pods; waits for a"
    assert tables.note(replace(waits, rollover=""), 250_000_000) == "delta from 6"


def test_an_error_of_several_lines_makes_no_second_row() -> None:
    broken = replace(REFUSED, error="damaged\n  fraud   serving\r\nagain", left_out="a\nb")
    assert len(shown(*tables.notes(state(broken)))) == 1
    assert len(shown(tables.model_table(state(broken)))) == len(shown(tables.model_table(state(REFUSED))))
    assert len(fetches(replace(FETCHING, region="e\nu", way="whole\nwhole"))) == 2


def test_a_terminal_says_the_same_words_as_the_dashboard() -> None:
    silent = replace(DONE, region="me", silent=True, heard_at_us=NOW_US - 60 * SECOND)
    held = replace(PINNED, region="af", pinned_version=7)
    rows = (DONE, FETCHING, STANDING, REFUSED, silent, held, replace(FETCHING, region="na", state=State.FAILED))
    said = state(*rows)
    overview = Overview(Limits())
    overview.take(said, NOW_US, NOW_US, "kafka")
    statuses = {region: pair.status.value for region, pair in overview.models["fraud"].pairs.items()}
    lines = [line.split() for line in shown(tables.model_table(said), columns=120)[1:]]
    assert {line[0]: line[1] for line in lines} == statuses
    assert [line[0] for line in lines] == ["me", "sa", "na", "us", "eu-west", "af", "ap"], "worst first"
    assert set(statuses.values()) == {"OK", "LAG", "LATE", "REFUSED", "SILENT", "HELD", "FAILED"}
    alarmed = shown(tables.models_table([Sighting(replace(said, alarm="a flipped bit"), 1.0, "redis")]), columns=120)
    assert alarmed[1].split()[4] == "ALARM"


def test_what_is_late_is_as_the_settings_say() -> None:
    assert shown(tables.model_table(state(FETCHING), limits=Limits(late_seconds=10)))[1].split()[1] == "LATE"
    assert shown(tables.model_table(state(FETCHING), NOW_US + 60 * SECOND))[1].split()[1] == "LATE"


def test_a_pods_row_says_where_it_stands_if_there_is_room() -> None:
    report = PodReport("eu-0", PodState.SERVING, 7, generation=9, kind="triton", fleet="lease", zone="eu-1a")
    unknown = PodReport("eu-1", PodState.PENDING)
    table = tables.pods_table([("eu", "fraud", report), ("eu", "fraud", unknown)], NOW_US)
    head, pending, serving = shown(table, columns=120)
    assert head.split()[-4:] == ["KIND", "FLEET", "ZONE", "NOTE"]
    assert pending.split()[-3:] == ["-", "-", "-"]
    assert serving.split()[-3:] == ["triton", "lease", "eu-1a"]
    assert "KIND" not in shown(table, columns=60)[0]


def test_a_region_without_pods_is_empty() -> None:
    empty = replace(DONE, state=State.STAGED, served_version=None, pods_serving=0, pods_expected=0)
    assert any("EMPTY" in line for line in shown(tables.model_table(state(empty))))
    assert not any("EMPTY" in line for line in shown(tables.model_table(state(DONE))))


def test_what_was_served_when_last_reported_is_as_old_as_it_is_now() -> None:
    silent = replace(DONE, silent=True, reported_version=7, heard_at_us=NOW_US - 5 * SECOND)
    assert "served 7 when last reported, 5.0 s ago" in shown(*tables.notes(state(silent)), columns=200)[0]
    later = tables.notes(state(silent), NOW_US + 900 * SECOND)
    assert "served 7 when last reported, 15 min ago" in shown(*later, columns=200)[0]
    unread = replace(silent, silent=False, unread=True, read_at_us=NOW_US - 1080 * SECOND)
    assert "served 7 when its pods were last read back, 18 min ago" in "".join(
        shown(*tables.notes(state(unread)), columns=200)
    )
