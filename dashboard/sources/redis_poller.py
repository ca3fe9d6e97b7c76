"""Heartbeats and pods from Redis, and whether a tracker lives; states, too, while Kafka is away."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.view.overview import Worker
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import RedisUnavailable
from modelcast.schemas.records import PodReport

ALIVE_SECONDS = 1.0
"""How often is asked whether Redis and the trackers are there."""
BEATS_SECONDS = 5.0
STATES_SECONDS = 2.0
SHARE_MAX = 0.2
"""Reading takes at most such a part of the time, however many models there are."""


class RedisPoller:
    """Polls Redis over one connection.

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
        view = await asyncio.to_thread(RedisView, self._settings)
        next_beats = next_states = 0.0
        try:
            while True:
                began = time.monotonic()
                states = self._states_wanted() and began >= next_states
                beats = began >= next_beats
                batch = await asyncio.to_thread(_look, view, beats=beats, states=states)
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


def _look(view: RedisView, *, beats: bool, states: bool) -> NewsBatch:
    try:
        tracker_seconds = view.tracker_seconds()
        heard = view.heartbeats() if beats else None
        found = view.models() if states else []
    except RedisUnavailable as error:
        return NewsBatch("redis", Reach.AWAY, missing=(f"{error.message}: lists of pods and workers are not shown",))
    now_us = time.time_ns() // 1000
    seen = tuple(SeenState(s.value.model, s.value, now_us - round(s.age_seconds * 1_000_000), s.said_us) for s in found)
    by_region: dict[str, tuple[Worker, ...]] | None = None
    if heard is not None:
        workers: dict[str, list[Worker]] = defaultdict(list)
        for beat in heard:
            workers[beat.value.region].append(Worker(beat.value, now_us - round(beat.age_seconds * 1_000_000)))
        by_region = {region: tuple(those) for region, those in workers.items()}
    return NewsBatch("redis", Reach.LIVE, seen, workers=by_region, tracker_seconds=tracker_seconds)


def read_pods(settings: Settings, model: str, region: str) -> tuple[tuple[PodReport, ...], float] | None:
    """All pods of a model in a region and the age of the list in seconds; None: never reported.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    with RedisView(settings) as view:
        seen = view.pods(model, region)
        return (seen.value, seen.age_seconds) if seen is not None else None
