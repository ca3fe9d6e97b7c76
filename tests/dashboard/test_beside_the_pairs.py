"""Consumer groups, probes, dead letters and candidates: what no pair tells of ends "Nothing is wrong"."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupLook, GroupReader, GroupsSeen, GroupStatus, GroupsWatch, PartitionLook
from modelcast.dashboard.metrics import collected
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.stream import StreamWatcher
from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.dead_letters import PROBLEM_SECONDS, SeenLetter
from modelcast.dashboard.view.probe import SeenProbe
from modelcast.dashboard.view.problems import Problem
from modelcast.infra.settings import Settings
from modelcast.schemas.probes import ProbeRegion, ProbeState
from modelcast.schemas.statuses import Limits, Status
from modelcast.schemas.traffic.reports import RolloutRegion, RolloutState
from tests.dashboard.makers import REGISTRY, SECOND, now_state, row

WELL = "Nothing is wrong. 2 pairs of model and region OK."


def now_us() -> int:
    return time.time_ns() // 1000


def board_of(*batches: NewsBatch, **rows: Any) -> Dashboard:
    """A dashboard that read one model in two regions, as they should be but for ``rows``, and then these."""
    board = Dashboard(Limits())
    said = now_state("fraud", [rows.get("eu", row("eu")), row("us")])
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", said, said.updated_at_us),)))
    for batch in batches:
        board.take(batch)
    board.flush()
    return board


def group_of(name: str, waits_seconds: float, members: int, looks: int = 1, moves: bool = False) -> GroupsSeen:
    """A group of which a record has waited so long, after so many looks at it."""
    watch = GroupsWatch(lambda: GroupReader(Settings()))
    at = now_us()
    for turn in range(looks):
        place = PartitionLook("model-updates", 3, 5 + turn * moves, 0, 90, at - round(waits_seconds * SECOND))
        watch.take((GroupLook(name, members, (place,)),), at - (looks - 1 - turn) * 5 * SECOND)
    return GroupsSeen(watch.groups, watch.looked_at_us)


def told(board: Dashboard, seen: GroupsSeen) -> list[Problem]:
    board.hear_groups(seen)
    board.flush()
    return board.problems


def test_all_is_well_where_nothing_else_is_known() -> None:
    board = board_of()
    assert (board.verdict.status, board.verdict.sentence, board.verdict.notes) == (Status.OK, WELL, ())


def test_a_group_without_a_member_whose_records_wait_is_no_nothing_is_wrong() -> None:
    board = board_of()
    (line,) = told(board, group_of("modelcast-region-eu", 40, members=0))
    assert (line.status, line.cause, line.region, line.command) == (
        Status.STALLED, "group", "eu", "modelcast doctor --only kafka",
    )  # fmt: skip
    assert (board.verdict.status, board.verdict.pairs) == (Status.STALLED, {"OK": 2})
    assert board.verdict.sentence.startswith("consumer group modelcast-region-eu: STOP: records wait")
    assert told(board, GroupsSeen((), now_us())) == []
    assert board.verdict.sentence == WELL


def recovered(watcher: StreamWatcher) -> list[str]:
    """What watchers were told to have recovered, by its id."""
    frames = [watcher.queue.get_nowait().decode() for _ in range(watcher.queue.qsize())]
    data = [frame.split("data: ", 1)[1] for frame in frames if "event: recovered\n" in frame]
    return [json.loads(each)["id"] for each in data]


def test_a_group_that_reads_again_has_recovered_and_one_that_is_not_looked_at_has_not() -> None:
    board = board_of()
    watcher, _ = board.stream.join("")
    stopped = group_of("modelcast-region-eu", 40, members=0)
    assert told(board, stopped)
    assert told(board, GroupsSeen(stopped.groups, now_us(), "Kafka: refused")) == []
    assert told(board, GroupsSeen((), now_us())) == []
    assert recovered(watcher) == []
    told(board, stopped)
    board.take(NewsBatch("kafka", Reach.AWAY))
    board.flush()
    assert (board.problems, recovered(watcher)) == ([], [])
    board.take(NewsBatch("kafka", Reach.LIVE))
    assert told(board, group_of("modelcast-region-eu", 0.1, members=1, looks=13, moves=True)) == []
    assert recovered(watcher) == ["group:modelcast-region-eu"]


def test_a_group_of_a_region_that_falls_silent_has_not_recovered() -> None:
    board = board_of()
    watcher, _ = board.stream.join("")
    stopped = group_of("modelcast-region-eu", 40, members=0)
    assert told(board, stopped)
    said = now_state("fraud", [row("eu", silent=True), row("us")])
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", said, said.updated_at_us),)))
    assert [line.cause for line in told(board, stopped)] == ["region"]
    assert recovered(watcher) == []


def test_a_group_that_is_being_restarted_or_catches_up_is_no_problem() -> None:
    board = board_of()
    assert told(board, group_of("modelcast-region-eu", 5, members=0)) == []
    assert told(board, group_of("modelcast-tracker", 50, members=1, looks=13, moves=True)) == []


def test_a_group_that_stands_still_or_leaves_a_record_unread_for_too_long_is_told() -> None:
    board = board_of()
    (line,) = told(board, group_of("modelcast-tracker", 70, members=2, looks=13))
    assert (line.status, board.groups.groups[0].status) == (Status.STALLED, GroupStatus.STALL)
    (line,) = told(board, group_of("modelcast-tracker", 70, members=2, looks=13, moves=True))
    assert line.status is Status.LATE
    assert "model-updates" in line.reason


def test_one_cause_is_one_line() -> None:
    silent = replace(row("eu"), silent=True, served_version=None, pods_serving=0)
    board = board_of(eu=silent)
    (line,) = told(board, group_of("modelcast-region-eu", 400, members=0))
    assert (line.cause, line.status) == ("region", Status.SILENT)
    assert told(board_of(), group_of("modelcast-region-gone", 400, members=0)) == []  # no settings list it


def test_groups_that_can_not_be_looked_at_are_noted_and_blamed_for_nothing() -> None:
    board = board_of()
    assert told(board, replace(group_of("modelcast-tracker", 400, members=0), error="no answer in time")) == []
    assert board.verdict.notes == ("how far consumer groups have read is not known",)


def probes(lost_today: int, answered_seconds_ago: float, sent_seconds_ago: float = 10) -> NewsBatch:
    at = now_us()
    rows = (
        ProbeRegion("eu", at - round(answered_seconds_ago * SECOND), None, True, lost_today),
        ProbeRegion("us", at - SECOND, 0.1, True, 0),
    )
    sent_us = at - round(sent_seconds_ago * SECOND)
    state = ProbeState(
        REGISTRY, 4, "p1", "a", 30.0, sent_us, sent_us, 0.01, 0.01, 0.01, at, at // (86_400 * SECOND), 9, lost_today,
        regions=rows,
    )  # fmt: skip
    return NewsBatch("kafka", Reach.LIVE, probes=(SeenProbe(state),))


@pytest.mark.parametrize(
    ("batch", "lines"),
    [
        (partial(probes, 3, 400), 1),
        (partial(probes, 3, 40), 0),  # the newest one is waited for
        (partial(probes, 0, 400), 0),  # the tracker slept: none was lost
        (partial(probes, 3, 4000, sent_seconds_ago=3600), 0),  # none is sent any more
    ],
)
def test_a_region_that_is_heard_and_answers_no_probe_is_told(batch: Callable[[], NewsBatch], lines: int) -> None:
    board = board_of(batch())
    assert [(p.cause, p.region, p.status) for p in board.problems] == [("probe", "eu", Status.STALLED)] * lines
    assert (board.verdict.sentence == WELL) is not bool(lines)


def test_dead_letters_are_a_problem_for_an_hour_and_noted_until_they_are_sent_back() -> None:
    at = now_us()
    letters = [SeenLetter(7, at - 60 * SECOND, "model-acks", "unknown-schema", "bad"), SeenLetter(8, at, "x", "y", "z")]
    board = board_of(NewsBatch("kafka", Reach.LIVE, letters=tuple(letters), replayed=(8,)))
    (line,) = board.problems
    assert (line.status, line.cause, line.command) == (Status.FAILED, "dead-letters", "modelcast dead-letters list")
    assert line.reason == "1 record could not be used (unknown-schema): bad"
    assert board.verdict.status is Status.FAILED
    assert board.verdict.notes == ("1 dead letter not sent back",)
    old = replace(letters[0], received_at_us=at - round((PROBLEM_SECONDS + 5) * SECOND))
    board = board_of(NewsBatch("kafka", Reach.LIVE, letters=(old,)))
    assert (board.problems, board.verdict.notes) == ([], ("1 dead letter not sent back",))
    board.take(NewsBatch("kafka", Reach.LIVE, replayed=(7,)))
    board.flush()
    assert board.verdict.notes == ()


def rollout(phase: str, cut: str = "", seconds_ago: float = 1.0, registry_id: str = REGISTRY) -> NewsBatch:
    regions = (
        RolloutRegion("eu", 0, 1000, 0 if cut else 1000, True, 2, 2, 90, 10, now_us(), cut),
        RolloutRegion("us", 1, 100, 100, True, 2, 2, 99, 1, now_us()),
    )
    state = RolloutState(
        registry_id, "fraud", "9", 9, phase, "canary", 8, 7, now_us(), regions=regions, why="waits for evidence"
    )
    seen = SeenRollout(state, now_us() - round(seconds_ago * SECOND))
    return NewsBatch("kafka", Reach.LIVE, rollouts=(seen,))


@pytest.mark.parametrize(
    ("batch", "status", "part"),
    [
        (partial(rollout, "RUNNING", cut="errors 3 x"), Status.REFUSED, "fraud/8: cut off in eu: errors 3 x"),
        (partial(rollout, "HELD"), Status.HELD, "fraud/8: its rollout is held: waits for evidence"),
        (partial(rollout, "RUNNING", seconds_ago=120), Status.STALLED, "no controller has reported"),
        (partial(rollout, "RUNNING"), Status.OK, WELL),
        (partial(rollout, "ABORTED", cut="errors 3 x", seconds_ago=900), Status.OK, WELL),
        (partial(rollout, "HELD", registry_id="another"), Status.OK, WELL),
    ],
)
def test_a_candidate_that_is_cut_off_held_or_without_a_controller_is_told(
    batch: Callable[[], NewsBatch], status: Status, part: str
) -> None:
    board = board_of(batch())
    assert board.verdict.status is status
    assert part in board.verdict.sentence
    assert [p.command for p in board.problems] == ["modelcast rollout get fraud"] * (status is not Status.OK)


def test_metrics_count_what_is_wrong_by_what_it_is_about() -> None:
    board = board_of(rollout("RUNNING", cut="errors 3 x"))
    told(board, group_of("modelcast-tracker", 70, members=2, looks=13))
    value = collected(board, GroupsWatch(lambda: GroupReader(Settings()))).get_sample_value
    name = "modelcast_dashboard_problems"
    assert value(name, {"cause": "candidate", "status": "REFUSED"}) == 1
    assert value(name, {"cause": "group", "status": "STALLED"}) == 1
    assert board.verdict.notes == ("1 consumer group behind",)


def test_watchers_are_told_although_no_pair_changed() -> None:
    board = board_of()
    watcher, _ = board.stream.join("")
    told(board, group_of("modelcast-tracker", 70, members=2, looks=13))
    frames = []
    while not watcher.queue.empty():
        frames.append(watcher.queue.get_nowait().decode())
    assert any("event: verdict" in frame for frame in frames)
    assert any("group:modelcast-tracker" in frame for frame in frames)
