"""Looks at the consumer groups every few seconds, and keeps what is judged together."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

import structlog

from modelcast.dashboard.groups.decider.judging import WINDOW, GroupView, group_view
from modelcast.dashboard.groups.decider.looks import GroupLook
from modelcast.dashboard.groups.decider.troubles import GroupsSeen
from modelcast.schemas.errors import ModelcastError

LOOK_SECONDS = 5.0
SHARE_MAX = 0.2
"""Looking takes at most such a part of the time."""
KEPT = 20 * WINDOW

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """Looks at the groups; see ``GroupReader``."""

    def look(self) -> tuple[GroupLook, ...]:
        """Look at all groups."""

    def close(self) -> None:
        """Close its connections."""


class GroupsWatch:
    """What is known of the consumer groups. For one event loop.

    Args:
        make_reader: makes the reader, in a thread; called again after a failure.
        tell: called with what is known after every look.
    """

    def __init__(self, make_reader: Callable[[], Reader], tell: Callable[[GroupsSeen], None] = lambda _: None) -> None:
        self._make_reader, self._tell = make_reader, tell
        self._looks: defaultdict[str, deque[tuple[int, GroupLook]]] = defaultdict(lambda: deque(maxlen=KEPT))
        self.groups: tuple[GroupView, ...] = ()
        """The groups at the last look that succeeded, worst first by the reader of it."""
        self.looked_at_us = 0
        """When that was (UTC microseconds, this machine's clock); 0: never."""
        self.error = ""
        """Why the last look failed; "": it did not."""

    async def run(self) -> None:
        """Look until cancelled."""
        reader: Reader | None = None
        try:
            while True:
                began = time.monotonic()
                try:
                    if reader is None:
                        reader = await asyncio.to_thread(self._make_reader)
                    found = await asyncio.to_thread(reader.look)
                except ModelcastError as error:
                    if not self.error:
                        log.warning("consumer groups can't be looked at", error=str(error))
                    self.error = str(error)
                    self._tell(GroupsSeen(self.groups, self.looked_at_us, self.error))
                else:
                    self.take(found, time.time_ns() // 1000)
                took = time.monotonic() - began
                await asyncio.sleep(max(LOOK_SECONDS, took / SHARE_MAX))
        finally:
            if reader is not None:
                reader.close()

    def take(self, found: tuple[GroupLook, ...], now_us: int) -> None:
        """Take in what a look found."""
        self.error, self.looked_at_us = "", now_us
        for name in self._looks.keys() - {group.group for group in found}:
            del self._looks[name]
        for group in found:
            self._looks[group.group].append((now_us, group))
        self.groups = tuple(group_view(tuple(self._looks[group.group])) for group in found)
        self._tell(GroupsSeen(self.groups, now_us))
