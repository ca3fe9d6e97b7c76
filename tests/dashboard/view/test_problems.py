"""Which lines tell what is wrong, and in which order."""

from dataclasses import replace

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.problems import Problem, problems
from modelcast.dashboard.view.verdict import OverviewVerdict, overview_verdict
from modelcast.schemas.records import PodReport, VersionState
from modelcast.schemas.states import PodState, State
from modelcast.schemas.statuses import Limits, Status
from tests.dashboard.makers import NOW, SECOND, fetching, refusing, row, state

REGIONS = [f"r{n:02}" for n in range(20)]


def shown(*states: VersionState, now_us: int = NOW) -> tuple[list[Problem], OverviewVerdict]:
    overview = Overview(Limits())
    for each in states:
        overview.take(each, each.updated_at_us, now_us, "kafka")
    found = problems(overview, now_us)
    return found, overview_verdict(overview, found)


def healthy(model: str, but: str = "") -> VersionState:
    return state(model, [row(r) for r in REGIONS if r != but])


def test_nothing_is_wrong() -> None:
    found, said = shown(healthy("fraud"), healthy("ranker"))
    assert found == []
    assert (said.status, said.label) == (Status.OK, "OK")
    assert said.sentence == "Nothing is wrong. 40 pairs of model and region OK."


def test_nothing_was_published() -> None:
    found, said = shown()
    assert found == []
    assert said.status is Status.NONE
    assert said.sentence == "Nothing is known yet: nothing was published, or no tracker runs."


def test_a_silent_region_is_one_line_whatever_the_number_of_its_models() -> None:
    states = [
        state(f"m{n:03}", [row(r, silent=r == "r03", heard_at_us=NOW - 360 * SECOND) for r in REGIONS])
        for n in range(50)
    ]
    (line,), said = shown(*states)
    assert (line.status, line.cause, line.title, line.pairs, line.pairs_of) == (Status.SILENT, "region", "r03", 50, 50)
    assert line.since_us == NOW - 360 * SECOND
    assert (said.status, said.label) == (Status.SILENT, "SILENT (1 of 20)")
    assert said.sentence == "r03 has not reported in time."


def test_many_silent_regions_are_the_verdict() -> None:
    _, said = shown(state("fraud", [row(r, silent=r < "r10") for r in REGIONS]))
    assert said.label == "SILENT"
    assert said.sentence == "10 of 20 regions have not reported in time."


def test_a_version_that_is_refused_everywhere_is_one_line_with_its_reason() -> None:
    refused = [refusing(r, error="expected dd2b, got 9dc2") for r in REGIONS]
    (line,), said = shown(state("fraud", refused), healthy("ranker"))
    assert (line.cause, line.title, line.pairs, line.version_from, line.version_to) == ("version", "fraud/8", 20, 7, 8)
    assert line.reason == "expected dd2b, got 9dc2"
    assert line.command == "modelcast describe fraud/8"
    assert said.sentence == "1 of 2 models has a version that is refused in 20 of 20 regions."


def test_one_late_pair_is_told_with_what_it_fetches() -> None:
    late = state("ranker", [*(row(r) for r in REGIONS), fetching("us-west", 840)])
    (line,), said = shown(late, healthy("fraud"))
    assert (line.status, line.cause, line.model, line.region) == (Status.LATE, "pair", "ranker", "us-west")
    assert (line.version_from, line.version_to, line.stage) == (7, 8, "fetching")
    assert line.bytes_per_second == 3.0 * 2**20
    assert line.since_us == NOW - 840 * SECOND
    assert said.sentence == "1 of 2 models is late in 1 of 21 regions."


def test_one_late_pair_is_told_with_what_its_pods_wait_for() -> None:
    late = replace(fetching("us-west", 840), state=State.LOADING, rollover="3 of 4 pods; waits for pod-3")
    (line,), _ = shown(state("ranker", [*(row(r) for r in REGIONS), late]), healthy("fraud"))
    assert line.reason == "3 of 4 pods; waits for pod-3"


def test_a_region_that_is_late_with_most_of_its_models_is_the_cause() -> None:
    states = [state(f"m{n}", [fetching(r, 300) if r == "r07" else row(r) for r in REGIONS]) for n in range(10)]
    (line,), _ = shown(*states)
    assert (line.cause, line.title, line.pairs) == ("region", "r07", 10)
    assert line.reason == "0 of 2 pods serve it"


def test_a_rollout_that_is_late_in_many_regions_is_one_line() -> None:
    (line,), _ = shown(state("ranker", [fetching(r, 300) for r in REGIONS]), *(healthy(f"m{n}") for n in range(5)))
    assert (line.cause, line.title, line.pairs, line.version_to) == ("model", "ranker", 20, 8)


def test_the_worst_comes_first_then_the_one_that_concerns_most_then_the_oldest() -> None:
    found, said = shown(
        state("a", [fetching("r00", 20), row("r01")]),
        state("b", [fetching("r00", 700), row("r01")]),
        state("c", [refusing("r00", error="x"), row("r01")]),
        state("d", [row("r00"), row("r01", state=State.FAILED, error="out of memory", served_version=6)]),
        *(healthy(f"m{n}") for n in range(9)),
    )
    assert [(p.status, p.title) for p in found] == [
        (Status.REFUSED, "c/8"), (Status.FAILED, "d"), (Status.LATE, "b"), (Status.LAG, "a"),
    ]  # fmt: skip
    assert said.status is Status.REFUSED
    assert said.notes == ("1 × FAILED", "1 × LATE")


def test_an_alarm_is_told_once_for_its_model() -> None:
    (line,), said = shown(
        state("fraud", [row(r) for r in REGIONS], alarm="eu: 2 pods serve bytes that are not in the log")
    )
    assert (line.status, line.title, line.reason) == (
        Status.ALARM,
        "fraud",
        "eu: 2 pods serve bytes that are not in the log",
    )
    assert said.status is Status.ALARM


def test_without_a_tracker_nothing_is_known_to_be_well() -> None:
    found, said = shown(healthy("fraud"), now_us=NOW + 100 * SECOND)
    assert [(p.id, p.cause, p.since_us) for p in found] == [("tracker", "tracker", NOW)]
    assert said.status is Status.SILENT
    assert said.sentence == "No tracker has reported in time: what is shown is its last report."


def test_kafka_that_is_away_comes_before_the_regions_that_are_silent_for_that() -> None:
    for away_us, rows, ids in (
        (NOW - 40 * SECOND, [row("eu", silent=True), row("us", silent=True)], ["kafka", "region:eu", "region:us"]),
        (NOW - 40 * SECOND, [row("eu"), row("us")], []),
        (0, [row("eu", silent=True), row("us")], ["region:eu"]),
    ):
        overview = Overview(Limits(), kafka_away_us=away_us)
        overview.take(state("fraud", rows), NOW, NOW, "redis")
        found = problems(overview, NOW)
        assert [p.id for p in found] == ids
        said = overview_verdict(overview, found)
        assert said.status is (Status.SILENT if ids else Status.OK)
    assert found[0].reason == "no heartbeat since"


def test_why_a_pod_fails_is_told_where_its_region_gives_no_reason() -> None:
    pod = PodReport("eu-0", PodState.FAILED, error="unsupported: needs model.onnx")
    failed = fetching("eu", 90, state=State.FAILED, rollover="0 of 2 pods; eu-0 failed", pods=(pod,))
    (line,), _ = shown(state("fraud", [failed, row("us")]))
    assert line.reason == "eu-0: unsupported: needs model.onnx"
    (told,), _ = shown(state("fraud", [replace(failed, error="the region's own"), row("us")]))
    assert told.reason == "the region's own"


def test_what_hangs_is_told_instead_of_a_rollout_that_is_on_its_way() -> None:
    pod = PodReport("eu-1", PodState.UNREACHABLE, error="it did not answer in 5 s")
    hung = fetching("eu", 20, state=State.LOADING, pods_serving=1, pods=(pod,))
    _, said = shown(state("fraud", [hung, row("us")]))
    assert said.sentence == "fraud is behind in 1 of 2 regions: eu-1: it did not answer in 5 s."
    _, said = shown(state("fraud", [hung, fetching("us", 10)]))
    assert said.sentence == "fraud is rolling out in 2 of 2 regions."


def test_a_region_that_reports_and_whose_pods_were_not_read_back_is_not_told_to_be_unheard() -> None:
    unread = row("eu", unread=True, served_version=None, pods_serving=0, read_at_us=NOW - 1080 * SECOND)
    (line,), said = shown(state("fraud", [unread]))
    assert said.status is Status.SILENT
    assert said.sentence == "The pods of eu were not read back for 10 min."
    assert (line.reason, line.command) == ("its pods were not read back since", "modelcast get pods")
    _, said = shown(state("fraud", [unread, row("us", silent=True, served_version=None)]))
    assert said.sentence == "2 of 2 regions have not reported or read back pods in time."
    _, said = shown(state("fraud", [row("us", silent=True, served_version=None)]))
    assert said.sentence == "us has not reported in time."


def test_one_tracker_of_several_that_stands_still_is_told_and_is_no_verdict() -> None:
    spoken = replace(healthy("ranker"), updated_at_us=NOW + 95 * SECOND)
    found, said = shown(healthy("fraud"), spoken, now_us=NOW + 100 * SECOND)
    assert [(p.id, p.title, p.models) for p in found] == [("tracker", "one of the trackers", ("fraud",))]
    assert said.status is Status.OK


def test_a_region_that_never_reported_is_told() -> None:
    silent = row(
        "new",
        state=None,
        silent=True,
        heard_at_us=0,
        reported_at_us=0,
        served_version=None,
        pods_serving=0,
        pods_expected=0,
    )
    (line,), _ = shown(state("fraud", [row("eu"), silent]))
    assert (line.status, line.title, line.command) == (Status.NONE, "new", "modelcast run region new")


def test_what_counts_for_nothing_is_no_problem() -> None:
    gone = row("old", left_out="unexpected", silent=True)
    nothing_yet = replace(row("eu"), aspired_version=None, served_version=None, state=None)
    assert shown(state("fraud", [gone, row("eu")]), state("staged", [nothing_yet]))[0] == []


def test_an_id_stays_while_the_cause_does() -> None:
    first, _ = shown(state("ranker", [fetching("r00", 70), row("r01")]), healthy("fraud"))
    later, _ = shown(state("ranker", [fetching("r00", 80, bytes_moved=30 * 2**20), row("r01")]), healthy("fraud"))
    assert [p.id for p in first] == [p.id for p in later]


def test_a_status_that_changes_changes_the_line_and_not_what_it_is_about() -> None:
    pair = [fetching("r00", 30), fetching("r00", 300), fetching("r00", 300, state=State.FAILED, error="out of memory")]
    found = [shown(state("ranker", [each, row("r01")]), healthy("fraud"))[0] for each in pair]
    assert [[(p.id, p.status) for p in lines] for lines in found] == [
        [("pair:ranker@r00", Status.LAG)], [("pair:ranker@r00", Status.LATE)], [("pair:ranker@r00", Status.FAILED)],
    ]  # fmt: skip
    silent = [state(f"m{n}", [row("r00", silent=True), row("r01")]) for n in range(4)]
    late = [state(f"m{n}", [fetching("r00", 300), row("r01")]) for n in range(4)]
    assert [shown(*states)[0][0].id for states in (silent, late)] == ["region:r00", "region:r00"]


def test_lines_about_one_thing_are_told_apart() -> None:
    failed, late = {"state": State.FAILED, "error": "x"}, [fetching(r, 300) for r in REGIONS[:5]]
    found, _ = shown(state("ranker", [*late, *(fetching(r, 300, **failed) for r in REGIONS[5:8])]), healthy("fraud"))
    assert [(p.id, p.status, p.pairs) for p in found] == [
        ("model:ranker/8", Status.FAILED, 3),
        ("model:ranker/8:late", Status.LATE, 5),
    ]


def test_a_region_without_pods_is_one_line_that_says_so_and_no_lateness() -> None:
    empty = {"state": State.STAGED, "served_version": None, "pods_serving": 0, "pods_expected": 0}
    states = [
        state(f"m{n}", [row(r, behind_seconds=300.0 * (r == "r03"), **(empty if r == "r03" else {})) for r in REGIONS])
        for n in range(5)
    ]
    (line,), said = shown(*states)
    assert (line.status, line.cause, line.title, line.pairs) == (Status.EMPTY, "region", "r03", 5)
    assert (line.reason, line.command) == (
        "no pods are known there: nothing serves what it has",
        "modelcast doctor --only pods",
    )
    assert said.sentence == "5 of 5 models have no pods in 1 of 20 regions."
