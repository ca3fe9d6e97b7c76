"""Warm workers: processes that have done their imports and wait for one model."""

import asyncio
from collections import deque
from collections.abc import Callable

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.pod.worker.link import WorkerGone, WorkerLink
from modelcast.consumers.pod_clients.port import LoadFailed


class Spares:
    """Keeps ``count`` workers warm, so that a small model need not wait for an interpreter to start."""

    def __init__(self, count: int, artifacts: ArtifactSourceFactory, *, nice: Callable[[], int]) -> None:
        self._count = count
        self._artifacts = artifacts
        self._nice = nice  # what a worker started now steps back by
        self._links: deque[WorkerLink] = deque()
        self._closed = False
        self._refilling = asyncio.Lock()

    async def take(self) -> WorkerLink:
        """A warm worker; a fresh one if there is no spare.

        Raises:
            LoadFailed: worker processes die before they are warm.
        """
        for attempt in range(3):
            link = self._links.popleft() if self._links else await self._start()
            try:
                await link.warm()
            except WorkerGone as error:
                if attempt == 2:
                    raise LoadFailed(str(error), code="no_worker") from None
                continue
            except asyncio.CancelledError:
                await link.kill()
                raise
            if not link.gone.done():
                return link
        raise LoadFailed("worker processes end before they are warm", code="no_worker")

    async def refill(self) -> None:
        """Start what is missing; does not wait until they are warm."""
        async with self._refilling:
            self._links = deque(link for link in self._links if not link.gone.done())
            while len(self._links) < self._count and not self._closed:
                self._links.append(await self._start())

    async def close(self) -> None:
        """End every spare worker."""
        self._closed = True
        async with self._refilling:
            while self._links:
                await self._links.popleft().kill()

    async def _start(self) -> WorkerLink:
        try:
            return await WorkerLink.start(self._artifacts, load_nice=self._nice())
        except OSError as error:
            raise LoadFailed(f"can't start a worker process: {error}", code="no_worker") from None
