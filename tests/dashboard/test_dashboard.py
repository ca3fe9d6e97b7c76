"""What the dashboard takes in, and what it tells of its own age."""

import asyncio
import time
from dataclasses import replace

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.stream import StreamWatcher
from modelcast.dashboard.view.overview import Worker
from modelcast.schemas.records import RegionHeartbeat, RegionState
from modelcast.schemas.states import STALE_SECONDS
from modelcast.schemas.statuses import Limits, Status
from tests.dashboard.makers import REGISTRY, SECOND, now_state, row
from tests.support.virtual_time import in_virtual_time


def heard(watcher: StreamWatcher) -> list[str]:
    """The kinds of the events that wait for a watcher."""
    found = []
    while not watcher.queue.empty():
        frame = watcher.queue.get_nowait().decode()
        found.append(next(line[7:] for line in frame.splitlines() if line.startswith("event: ")))
    return found


def spoken(board: Dashboard, seconds_ago: float) -> None:
    """The tracker said the same, so long ago."""
    at_us = time.time_ns() // 1000 - round(seconds_ago * SECOND)
    said = replace(now_state("fraud", [row("eu"), row("us")]), updated_at_us=at_us)
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", said, at_us),)))
    board.flush()


async def test_a_tracker_that_is_back_with_nothing_new_ends_the_verdict_that_it_is_gone() -> None:
    board = Dashboard(Limits())
    spoken(board, STALE_SECONDS + 10)
    assert (board.verdict.status, board.freshness().stale) == (Status.SILENT, True)
    spoken(board, 0)
    assert (board.verdict.status, board.freshness().stale, board.problems) == (Status.OK, False, [])


async def test_how_long_no_tracker_was_heard_is_known_by_redis_alone_and_unknown_without_it() -> None:
    board = Dashboard(Limits())
    assert board.freshness().tracker_seconds is None
    board.take(NewsBatch("redis", Reach.LIVE, tracker_seconds=7.0))
    spoken(board, 0)
    assert 7.0 <= (board.freshness().tracker_seconds or 0) < 9.0
    board.take(NewsBatch("redis", Reach.AWAY, missing=("Redis: refused",)))
    assert board.freshness().tracker_seconds is None


async def test_watchers_hear_at_once_that_a_source_is_away_or_back() -> None:
    board = Dashboard(Limits())
    spoken(board, 0)
    watcher, _ = board.stream.join("")
    board.take(NewsBatch("kafka", Reach.LIVE))
    assert heard(watcher) == []
    board.take(NewsBatch("kafka", Reach.AWAY, missing=("Kafka: refused",)))
    assert heard(watcher) == ["tick"]
    board.take(NewsBatch("kafka", Reach.LIVE))
    assert heard(watcher) == ["tick"]


async def test_an_ok_that_no_read_back_within_ten_minutes_covers_is_none_whatever_was_said_when() -> None:
    board = Dashboard(Limits())
    now_us = time.time_ns() // 1000
    old = now_state("fraud", [row("eu"), row("us")])
    rows = tuple(replace(each, read_at_us=now_us - 601 * SECOND) for each in old.regions)
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", replace(old, regions=rows), now_us),)))
    board.flush()
    assert board.verdict.pairs == {"SILENT": 2}


async def test_a_redis_that_knows_of_no_tracker_counts_from_when_one_was_known_last() -> None:
    board = Dashboard(Limits())
    board.take(NewsBatch("redis", Reach.LIVE, tracker_seconds=4.0))
    board.take(NewsBatch("redis", Reach.LIVE, tracker_seconds=None))  # it was emptied
    assert 4.0 <= (board.freshness().tracker_seconds or 0) < 6.0


async def test_workers_are_not_shown_as_they_were_while_only_redis_knows_of_them_and_is_away() -> None:
    board = Dashboard(Limits())
    beat = RegionHeartbeat(REGISTRY, "eu", "w", 1, 1, 1)
    board.take(NewsBatch("redis", Reach.LIVE, workers={"eu": (Worker(beat, 1),)}, tracker_seconds=0.0))
    assert board.overview.workers
    board.take(NewsBatch("redis", Reach.AWAY))
    assert not board.overview.workers


@in_virtual_time
async def test_the_first_news_goes_at_once_and_what_follows_soon_goes_together() -> None:
    board = Dashboard(Limits())
    watcher, _ = board.stream.join("")
    running = asyncio.create_task(board.run())

    def take(*rows: RegionState) -> None:
        state = now_state("fraud", rows)
        board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", state, state.updated_at_us),)))

    await asyncio.sleep(0.0)
    take(row("eu"))
    await asyncio.sleep(0.001)
    assert "models" in heard(watcher)
    for served in (8, 9, 10):
        take(row("eu", reported_version=served, pods_expected=served))
        take(row("eu", served_version=served))
        await asyncio.sleep(0.001)
    assert "models" not in heard(watcher)
    await asyncio.sleep(1.0)
    assert heard(watcher).count("models") == 1
    running.cancel()
