"""Warm workers: processes that have done their imports and wait for one model."""

import asyncio
from collections import deque
from collections.abc import Callable

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.pod.worker.channel import WorkerChannel, WorkerGone
from modelcast.consumers.pod_clients.port import LoadFailed


class Spares:
    """Keeps ``count`` workers warm, so that a small model need not wait for an interpreter to start."""

    def __init__(self, count: int, artifacts: ArtifactSourceFactory, *, nice: Callable[[], int]) -> None:
        self._count = count
        self._artifacts = artifacts
        self._nice = nice  # what a worker started now steps back by
        self._channels: deque[WorkerChannel] = deque()
        self._closed = False
        self._refilling = asyncio.Lock()

    async def take(self) -> WorkerChannel:
        """A warm worker; a fresh one if there is no spare.

        Raises:
            LoadFailed: worker processes die before they are warm.
        """
        for attempt in range(3):
            channel = self._channels.popleft() if self._channels else await self._start()
            try:
                await channel.warm()
            except WorkerGone as error:
                if attempt == 2:
                    raise LoadFailed(str(error), code="no_worker") from None
                continue
            except asyncio.CancelledError:
                await channel.kill()
                raise
            if not channel.gone.done():
                return channel
        raise LoadFailed("worker processes end before they are warm", code="no_worker")

    async def refill(self) -> None:
        """Start what is missing; does not wait until they are warm."""
        async with self._refilling:
            self._channels = deque(channel for channel in self._channels if not channel.gone.done())
            while len(self._channels) < self._count and not self._closed:
                self._channels.append(await self._start())

    async def close(self) -> None:
        """End every spare worker."""
        self._closed = True
        async with self._refilling:
            while self._channels:
                await self._channels.popleft().kill()

    async def _start(self) -> WorkerChannel:
        try:
            return await WorkerChannel.start(self._artifacts, load_nice=self._nice())
        except OSError as error:
            raise LoadFailed(f"can't start a worker process: {error}", code="no_worker") from None
