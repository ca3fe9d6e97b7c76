"""Reads one model's log as often as it is asked for, one reading at a time."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from modelcast.agents.region.decider.events_and_effects import Contradicted, Folded, Unreadable
from modelcast.agents.region.decider.log_demand import LogDemand, LogReading
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.shell.effects import in_thread
from modelcast.agents.region.shell.ports import LogReader
from modelcast.schemas.errors import ForeignRegistry, ModelcastError
from modelcast.schemas.log.fold import ModelLog


class FollowsLog(Protocol):
    """Who asks for the log, and hears what was read."""

    @property
    def stopped(self) -> bool:
        """Whether it wants to hear no more."""
        ...

    @property
    def alarmed(self) -> bool:
        """Whether it does not obey the log, which contradicts what was read of it before."""
        ...

    def heard(self, event: Folded | Contradicted | Unreadable) -> None:
        """What came of a reading."""
        ...

    def spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else; it ends when the follower stops."""
        ...


class LogFollower:
    """Follows one model's log for ``owner``. It belongs to one event loop."""

    def __init__(
        self, reader: LogReader, reads: Executor, policy: Policy, owner: FollowsLog, log: FilteringBoundLogger
    ) -> None:
        self.reader = reader
        self.asked_at = float("-inf")  # when the reading began that the reader's log is from, or an earlier one
        self._reads = reads
        self._policy = policy
        self._owner = owner
        self._log = log
        self._demand = LogDemand()
        self._task: asyncio.Task[None] | None = None
        self._away: asyncio.Future[None] | None = None  # done once the store does not answer

    def knows(self, generation: int) -> bool:
        """Whether the log was read that far."""
        return self.reader.log is not None and self.reader.log.head >= generation

    def reach(self, generation: int) -> asyncio.Task[None] | None:
        """Read up to ``generation``; what ends once that was done or can't be. None: it was read that far."""
        self._demand = self._demand.reaching(generation)
        return None if self.knows(generation) else self._follow()

    def refresh(self) -> asyncio.Task[None]:
        """Look for news, and prove that what was read still stands; what ends once that was done or can't be."""
        self._demand = self._demand.refreshing()
        return self._follow()

    async def try_refresh(self) -> None:
        """Refresh; return once that was done, or the store did not answer. It is asked on meanwhile."""
        reading = self.refresh()
        if self._demand.failures:  # it is away, and said so before
            return
        if self._away is None or self._away.done():
            self._away = asyncio.get_running_loop().create_future()
        await asyncio.wait({reading, self._away}, return_when=asyncio.FIRST_COMPLETED)

    def _follow(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = self._owner.spawn(self._read_on())
        return self._task

    async def _read_on(self) -> None:
        """Read until what is wanted was read, however long the store is away."""
        loop = asyncio.get_running_loop()
        while not self._owner.stopped:
            now, known, obeyed = loop.time(), self.reader.log is not None, not self._owner.alarmed
            reading, self._demand = self._demand.next(now, self._policy, known=known, obeyed=obeyed)
            if reading.at > now:
                await asyncio.sleep(reading.at - now)
            asks = reading.whole or reading.refresh or not self.knows(reading.until)
            asked_at = loop.time() if asks else self.asked_at
            try:
                log = await in_thread(self._reads, partial(self._read, reading))
            except ModelcastError as error:
                if not await self._failed(reading, error):
                    return
                continue
            self.asked_at = asked_at
            self._demand = self._demand.answered()
            self._owner.heard(Folded(log, reading.whole, asked_at))
            if self._demand.met_by(reading):
                return

    async def _failed(self, reading: LogReading, error: ModelcastError) -> bool:
        """Whether to read again: after a pause, if it was only the store that was away."""
        if error.retryable and not isinstance(error, ForeignRegistry):
            if self._demand.failures == 0:
                self._log.warning("the log can't be read now", error=error)
            self._demand = self._demand.failed(reading)
            if self._away is not None and not self._away.done():
                self._away.set_result(None)
            await asyncio.sleep(self._policy.store_pause(self._demand.failures))
            return True
        self._demand = self._demand.answered()
        if isinstance(error, ForeignRegistry):
            self._log.error("the store contradicts what this region obeys: the model is stopped", error=error)
            self._owner.heard(Contradicted(str(error)))
        else:
            self._owner.heard(Unreadable(str(error)))
        return False

    def _read(self, reading: LogReading) -> ModelLog:
        if reading.whole:
            return self.reader.refold()
        return self.reader.refresh() if reading.refresh else self.reader.read(reading.until)
