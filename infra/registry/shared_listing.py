"""Which models the registry holds, asked by many at once: one listing answers all who asked before it began.

Every writer of the topic can make names of models up, so a name that is not known must cost the store little.
A store that times out is not asked again for a while, and is not waited for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import StoreUnavailable

LISTING_SECONDS_MIN = 1.0
"""Between the beginnings of two listings, however many ask."""
AWAY_SECONDS_FIRST, AWAY_SECONDS_MAX = 1.0, 30.0
"""How long a store that did not answer is not asked: doubling."""
UNKNOWN_SECONDS = 30.0
UNKNOWN_MAX = 10_000


class UnknownModels:
    """Names that the registry did not hold when it was asked; bounded, and each forgotten after a while. Pure."""

    def __init__(self, seconds: float = UNKNOWN_SECONDS, most: int = UNKNOWN_MAX) -> None:
        self._seconds, self._most = seconds, most
        self._since: OrderedDict[str, float] = OrderedDict()

    def remember(self, model: str, now: float) -> None:
        """The registry does not hold it."""
        self._since[model] = now
        self._since.move_to_end(model)
        if len(self._since) > self._most:
            self._since.popitem(last=False)

    def holds(self, model: str, now: float) -> bool:
        """Whether the registry did not hold it a short while ago."""
        since = self._since.get(model)
        return since is not None and now - since < self._seconds

    def __len__(self) -> int:
        return len(self._since)


class SharedListing:
    """The registry's models, listed once for everybody who waits. Use it on one event loop.

    Args:
        names: lists them. Blocking.
        threads: where.
        seconds_min: between the beginnings of two listings.
    """

    def __init__(
        self, names: Callable[[], Iterable[str]], threads: Executor, seconds_min: float = LISTING_SECONDS_MIN
    ) -> None:
        self._names, self._threads, self._seconds_min = names, threads, seconds_min
        self._running: asyncio.Task[frozenset[str]] | None = None
        self._next: asyncio.Task[frozenset[str]] | None = None
        self._began = float("-inf")
        self._failures = 0
        self._away_until = float("-inf")

    async def names(self) -> frozenset[str]:
        """The names, by a listing that begins after the call.

        Raises:
            StoreUnavailable: the store did not answer, or did not a moment ago.
            ModelcastError: as the listing raises.
        """
        left = self._away_until - asyncio.get_running_loop().time()
        if left > 0:
            raise StoreUnavailable(f"the store did not answer; it is asked again in {left:.0f} s")
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._list())
        return await asyncio.shield(self._next)

    async def _list(self) -> frozenset[str]:
        loop = asyncio.get_running_loop()
        if self._running is not None:
            await asyncio.wait({self._running})
        if (pause := self._began + self._seconds_min - loop.time()) > 0:
            await asyncio.sleep(pause)
        self._running, self._next, self._began = self._next, None, loop.time()
        try:
            found = await loop.run_in_executor(self._threads, lambda: frozenset(self._names()))
        except StoreUnavailable:
            self._failures += 1
            seconds = backoff_seconds(AWAY_SECONDS_FIRST, self._failures, AWAY_SECONDS_MAX)
            self._away_until = loop.time() + seconds
            raise
        self._failures = 0
        return found
