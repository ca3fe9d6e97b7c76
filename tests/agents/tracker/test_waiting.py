"""When the tracker waits for what comes behind a record, and for how long."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from modelcast.agents.tracker.waiting import RECORDS_MAX, Waiting


def waiting() -> tuple[Waiting, deque[Any]]:
    events: deque[Any] = deque()
    queue = SimpleNamespace(_queue=events)
    return Waiting(SimpleNamespace(channel=SimpleNamespace(queue=queue))), events


@pytest.mark.parametrize("backlog", [False, True])
async def test_filling_goes_on_while_records_come_and_ends_when_none_does(backlog: bool) -> None:
    behind, events = waiting()

    async def hand_over() -> None:
        for number in range(50):
            events.append(number)
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(hand_over())
    await behind.fill(backlog=backlog)
    assert len(behind) == 50
    await task


@pytest.mark.parametrize("backlog", [False, True])
async def test_filling_has_an_end_where_records_have_none(backlog: bool) -> None:
    behind, events = waiting()

    async def hand_over() -> None:
        while True:
            events.append(None)
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(hand_over())
    await behind.fill(backlog=backlog)
    assert len(behind) >= RECORDS_MAX
    task.cancel()
