"""A TCP proxy in front of a store: it can be slow, and hold back requests, whoever is at either end."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

CHUNK_BYTES = 32 * 1024
BACKLOG_SECONDS = 0.04
"""How much waits in front of a paced link: who sleeps wakes late, and the link must not stand idle for it."""


class Link(Protocol):
    """A way to a store that can be made slow. See ``SlowLink``."""

    bytes_per_second: float | None
    round_trip_seconds: float
    drops_orphans: bool

    @property
    def endpoint_url(self) -> str: ...

    @property
    def carried_bytes(self) -> int: ...

    def hold(self, method: str, path: str, seconds: float) -> None: ...

    def heal(self) -> None: ...


class Links(Protocol):
    """Makes links."""

    def link(self, endpoint_url: str) -> Link:
        """A link to ``endpoint_url``."""
        ...


class SlowLink:
    """Passes bytes on unchanged, so that signatures stay valid.

    Attributes:
        bytes_per_second: of all answers together; None: as fast as it goes.
        round_trip_seconds: between a request and the first byte of its answer, and to connect, at least.
        carried_bytes: of all answers so far.
        hold_seconds: how long a request waits here whose first line starts with a method and holds a path of ``held``.
        held: (method, part of the path).
        drops_orphans: what its sender did not live to see answered is not passed on.
    """

    def __init__(self, network: "Network", endpoint_url: str) -> None:
        parts = urlsplit(endpoint_url)
        self._target = (parts.hostname or "", parts.port or 80)
        self.bytes_per_second: float | None = None
        self.round_trip_seconds = 0.0
        self.carried_bytes = 0
        self.hold_seconds = 0.0
        self.held: tuple[bytes, bytes] = (b"", b"\0")
        self.drops_orphans = False
        self._free_at = 0.0
        self._server = network.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.endpoint_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold(self, method: str, path: str, seconds: float) -> None:
        """From now on such requests wait."""
        self.held, self.hold_seconds = (method.encode(), path.encode()), seconds

    def heal(self) -> None:
        """Fast again, and nothing is held."""
        self.bytes_per_second, self.hold_seconds, self.held, self.drops_orphans = None, 0.0, (b"", b"\0"), False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.round_trip_seconds)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self._up(reader, up_writer), self._down(up_reader, writer))
        finally:
            for each in (writer, up_writer):
                each.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A request starts a chunk of its own: clients wait for the answer to the one before."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                line = chunk[:2048].split(b"\r\n", 1)[0]
                if self.hold_seconds and line.startswith(self.held[0]) and self.held[1] in line:
                    await asyncio.sleep(self.hold_seconds)
                    if self.drops_orphans and reader.at_eof():
                        break
                await asyncio.sleep(self.round_trip_seconds / 2)
                writer.write(chunk)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(flying, writer))
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                self.carried_bytes += len(chunk)
                through_at = loop.time()
                if self.bytes_per_second:
                    # Its place on the link is fixed when it comes to it, however late anybody wakes.
                    self._free_at = through_at = max(through_at, self._free_at) + len(chunk) / self.bytes_per_second
                flying.put_nowait((through_at + self.round_trip_seconds / 2, chunk))
                if self.bytes_per_second:
                    await asyncio.sleep(self._free_at - BACKLOG_SECONDS - loop.time())
                if not self.round_trip_seconds:
                    await flying.join()  # whoever reads slowly is sent no more
        flying.put_nowait((loop.time(), b""))
        await arriving
        with suppress(OSError, RuntimeError):
            writer.close()

    async def _arrive(self, flying: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        broken = False
        while True:
            at, chunk = await flying.get()
            try:
                if not chunk:
                    return
                if not broken:
                    await asyncio.sleep(at - loop.time())
                    writer.write(chunk)
                    await writer.drain()
            except OSError:
                broken = True  # nobody is there any more: what is still flying is lost
            finally:
                flying.task_done()


class Network:
    """The event loop on a thread of its own on which links (and whatever else is given to it) run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def run(self, doing: Coroutine[Any, Any, Any], timeout_seconds: float = 30.0) -> Any:
        """What comes of ``doing``, run there."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(timeout_seconds)

    def spawn(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Start ``doing`` there; a future."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop)

    def link(self, endpoint_url: str) -> SlowLink:
        """A link to ``endpoint_url``."""
        return SlowLink(self, endpoint_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with suppress(Exception):
            self.run(end(), 5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()
