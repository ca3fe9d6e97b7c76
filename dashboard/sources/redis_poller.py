"""Heartbeats from Redis, and whether a tracker lives; states, too, while Kafka is away."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.view.overview import Worker
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import RedisUnavailable
from modelcast.schemas.quantities import duration

ALIVE_SECONDS = 1.0
"""How often is asked whether Redis and the trackers are there."""
BEATS_SECONDS = 5.0
STATES_SECONDS = 2.0
SHARE_MAX = 0.2
"""Reading takes at most such a part of the time, however many models there are."""
SLOW_SECONDS = 2.0
"""Redis answers that one small question in a millisecond; so much, and people are told."""


class RedisPoller:
    """Polls Redis over one connection, on a thread of its own: whatever else waits, it does not.

    Args:
        settings: where Redis is.
        deliver: called on the event loop with what was read.
        states_wanted: whether states are to be read, too.
    """

    def __init__(
        self, settings: Settings, deliver: Callable[[NewsBatch], None], states_wanted: Callable[[], bool]
    ) -> None:
        self._settings, self._deliver, self._states_wanted = settings, deliver, states_wanted

    async def run(self) -> None:
        """Poll until cancelled."""
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "redis-poller")
        view = await loop.run_in_executor(thread, RedisView, self._settings)
        next_beats = next_states = 0.0
        try:
            while True:
                began = time.monotonic()
                states = self._states_wanted() and began >= next_states
                beats = began >= next_beats
                batch = await loop.run_in_executor(thread, _look, view, beats, states)
                self._deliver(batch)
                now = time.monotonic()
                rest = (now - began) / SHARE_MAX
                if batch.reach is Reach.LIVE:
                    next_beats = now + max(BEATS_SECONDS, rest) if beats else next_beats
                    next_states = now + max(STATES_SECONDS, rest) if states else next_states
                else:
                    next_beats = next_states = 0.0  # all of it, once it is back
                await asyncio.sleep(ALIVE_SECONDS)
        finally:
            view.close()
            thread.shutdown(wait=False)


def _look(view: RedisView, beats: bool, states: bool) -> NewsBatch:
    """What Redis tells; each time as of when it answered, and of the tracker last, so that it is not old already."""
    try:
        heard = view.heartbeats() if beats else None
        heard_us = _now_us()
        found = view.models() if states else []
        found_us = _now_us()
        began = time.monotonic()
        tracker_seconds = view.tracker_seconds()
        took = time.monotonic() - began
    except RedisUnavailable as error:
        return NewsBatch("redis", Reach.AWAY, missing=(f"{error.message}: lists of pods and workers are not shown",))
    seen = tuple(SeenState(s.value.model, s.value, found_us - _us(s.age_seconds), s.said_us) for s in found)
    by_region: dict[str, tuple[Worker, ...]] | None = None
    if heard is not None:
        workers: dict[str, list[Worker]] = defaultdict(list)
        for beat in heard:
            workers[beat.value.region].append(Worker(beat.value, heard_us - _us(beat.age_seconds)))
        by_region = {region: tuple(those) for region, those in workers.items()}
    slow = f"Redis answers slowly, after {duration(took)}: lists of pods and workers may be late, or missing"
    missing = (slow,) if took >= SLOW_SECONDS else ()
    return NewsBatch("redis", Reach.LIVE, seen, workers=by_region, missing=missing, tracker_seconds=tracker_seconds)


def _now_us() -> int:
    return time.time_ns() // 1000


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
