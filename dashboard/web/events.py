"""``/api/v1/events``: what changes, as server-sent events."""

import asyncio
from contextlib import suppress

from aiohttp import ClientConnectionResetError, web

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.web.api import BASE

WRITE_SECONDS_MAX = 30.0
"""Seconds after which a client that reads nothing is disconnected."""
RETRY_MS = 2000
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events until its buffer is full
}


class Events:
    """The stream's handler.

    Args:
        board: what is shown.
        watchers_max: how many streams may be open.
    """

    def __init__(self, board: Dashboard, watchers_max: int) -> None:
        self._board, self._watchers_max = board, watchers_max
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Paths and handlers."""
        return [web.get(BASE + "/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What changes, from now on or since ``Last-Event-ID``."""
        stream = self._board.stream
        if len(stream.watchers) >= self._watchers_max:
            return web.json_response(
                {
                    "error": "too many watch already",
                    "subject": str(self._watchers_max),
                    "hint": "dashboard.watchers_max",
                },
                status=503,
                headers={"Retry-After": "10"},
            )
        response = web.StreamResponse(headers=HEADERS)
        watcher, missed = stream.join(request.headers.get("Last-Event-ID", ""))
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ClientConnectionResetError, ConnectionResetError, TimeoutError, asyncio.CancelledError):
                await response.prepare(request)
                fresh = self._board.freshness()
                hello = {
                    "boot": stream.boot,
                    "id": stream.number,
                    "fresh": fresh,
                    "revision": self._board.overview.revision,
                }
                await write_frame(response, f"retry: {RETRY_MS}\n\n".encode() + stream.frame("hello", hello))
                for frame in missed:
                    await write_frame(response, frame)
                while True:
                    await write_frame(response, await watcher.queue.get())
        finally:
            stream.leave(watcher)
            self._tasks.discard(task)
        return response

    async def close(self, _app: web.Application) -> None:
        """End every stream: clients reconnect after ``retry``."""
        bye = self._board.stream.frame("bye", {"retry_ms": RETRY_MS})
        for watcher in tuple(self._board.stream.watchers):
            watcher.put(bye, bye)
        await asyncio.sleep(0.1)
        for task in tuple(self._tasks):
            task.cancel()


async def write_frame(response: web.StreamResponse, frame: bytes) -> None:
    """Write to a stream. Raises ``TimeoutError`` if its client reads nothing."""
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(frame)
