"""The records that a Faust stream has at hand behind the one that is being taken."""

import asyncio
from collections import deque
from typing import Any

RECORDS_MAX = 512
BEHIND_RECORDS, BEHIND_DEAR_RECORDS = 32, 4
"""So many records behind its partition's end, a record is of a backlog; waiting is worth more where reading is dear."""
FILL_SECONDS = 0.005
"""In a backlog: how long Faust hands over records undisturbed. It needs several turns of the event loop for each."""
TURNS = 8
"""Turns of the event loop within which Faust hands over the next record, if it has one."""


class Waiting:
    """Their values, in order. Faust offers no view of its stream's queue, so its own is looked into."""

    def __init__(self, stream: Any) -> None:
        self._events: deque[Any] = stream.channel.queue._queue

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, number: int) -> bytes | None:
        value: bytes | None = self._events[number].message.value
        return value

    async def fill(self, *, backlog: bool) -> None:
        """Let Faust hand over more of what it has fetched; return once nothing more comes."""
        known = -1
        while known < len(self._events) < RECORDS_MAX:
            known = len(self._events)
            if backlog:
                await asyncio.sleep(FILL_SECONDS)
                continue
            for _ in range(TURNS):
                await asyncio.sleep(0)
