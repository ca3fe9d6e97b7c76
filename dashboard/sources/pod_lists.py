"""All pods of a model in a region, read from Redis when somebody looks, by one reader for all who do."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import RedisUnavailable
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import PodReport

READERS = 4
KEPT_SECONDS = 1.0
LISTS_KEPT = 64
WAIT_SECONDS_MAX = 3.0
"""Seconds that a request waits for Redis; a later answer serves the next request."""


@dataclass(frozen=True, slots=True)
class PodList:
    """The pods of a model in a region.

    Attributes:
        pods: as they were last reported.
        reported_us: when that was, this machine's clock; 0: never.
        error: why the list can't be read; "": it was.
    """

    pods: tuple[PodReport, ...] = ()
    reported_us: int = 0
    error: str = ""


class PodLists:
    """Reads lists of pods on threads of its own: a Redis that hangs delays nobody who asks for something else.

    It belongs to one event loop.

    Args:
        settings: where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(READERS, "pods")
        self._reading: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._lists: dict[tuple[str, str], tuple[float, PodList]] = {}

    async def newest(self, model: str, region: str) -> PodList:
        """The list as Redis has it, or why it can't be read."""
        key = (model, region)
        kept = self._lists.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read(model, region))
        done, _ = await asyncio.wait({task}, timeout=WAIT_SECONDS_MAX)
        if not done:
            return PodList(error=f"Redis has not answered in {duration(WAIT_SECONDS_MAX)}")
        return self._lists[key][1]

    def close(self) -> None:
        """Read no more; what is under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, model: str, region: str) -> None:
        key = (model, region)
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, _read_pods, self._settings, model, region
            )
            self._lists.pop(key, None)
            while len(self._lists) >= LISTS_KEPT:
                self._lists.pop(next(iter(self._lists)))
            self._lists[key] = (time.monotonic() + KEPT_SECONDS, found)
        finally:
            self._reading.pop(key, None)


def _read_pods(settings: Settings, model: str, region: str) -> PodList:
    try:
        with RedisView(settings) as view:
            seen = view.pods(model, region)
    except RedisUnavailable as error:
        return PodList(error=error.message)
    now_us = time.time_ns() // 1000
    return PodList(seen.value, now_us - round(seen.age_seconds * 1_000_000)) if seen is not None else PodList()
