"""The front process's end of one worker process: starts it, sends it frames, matches answers, ends it."""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.pod.worker.frames import (
    ALL_JSON,
    NO_PART,
    STATUS_MASK,
    FrameKind,
    WorkerFrame,
    header,
    take_frame,
)
from modelcast.consumers.pod.worker.process import LoadSpec
from modelcast.consumers.pod_clients.port import LoadFailed

_JOIN_BYTES_MAX = 64 * 1024


Grant = Callable[[int], int | None]
"""How much memory a load may take that needs so many bytes at least; None: as much as it wants. Raises ``LoadFailed``
if there is too little."""


class WorkerGone(Exception):
    """The worker process died before it answered."""


class Answer(NamedTuple):
    """A worker's V2 answer. ``json_size_bytes`` is ``ALL_JSON`` unless binary tensors follow."""

    status: int
    json_size_bytes: int
    body: bytes
    seen: int = 0  # of its outputs, where that was asked for; see ``frames``


@dataclass(frozen=True, slots=True)
class WorkerLoaded:
    """What a worker reported of the model that it now serves."""

    metadata: dict[str, Any]
    seconds: dict[str, float]
    parts: tuple[str, ...] = ("",)


class WorkerChannel(asyncio.Protocol):
    """One worker. ``gone`` is done once its process has ended, for whatever reason."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[int] = loop.create_future()
        self._process = process
        self._warm: asyncio.Future[None] = loop.create_future()
        self._loaded: asyncio.Future[WorkerLoaded] = loop.create_future()
        self._pending: dict[int, tuple[asyncio.Future[Answer], float]] = {}  # with its deadline
        self._expiry: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._next_id = 0
        self._answered_at = 0.0
        self._buffer = bytearray()
        self._out: list[bytes] = []  # frames that go out in this step of the event loop
        self._transport: asyncio.Transport | None = None
        self._burial: asyncio.Task[None] | None = None
        self._parts: dict[str, int] = {}
        self._stage = "start"
        self._grant: Grant = lambda _need_bytes: None
        self.promised_bytes = 0  # memory that the load needs, until it is loaded

    @classmethod
    async def start(cls, artifacts: ArtifactSourceFactory, *, load_nice: int) -> "WorkerChannel":
        """Start a worker process. Call it on the loop's own thread, which must outlive the worker."""
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: a folder named like one of our packages, where the pod was started, must not be imported.
            process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec: a millisecond
                [
                    *(sys.executable, "-P", "-m", "modelcast.consumers.pod.worker.process"),
                    *(str(theirs.fileno()), str(os.getpid()), str(load_nice)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        channel = cls(process)
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)
        channel._send(FrameKind.PREPARE, pickle.dumps(artifacts))
        return channel

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    async def warm(self) -> None:
        """Return when the worker waits for a load. Raises ``WorkerGone``."""
        await asyncio.shield(self._warm)

    async def load(self, spec: LoadSpec, *, timeout: float, grant: Grant) -> WorkerLoaded:
        """Have the worker verify, load and warm up.

        Args:
            spec: what.
            timeout: in seconds.
            grant: see ``Grant``; asked when the files have been verified.

        Raises:
            LoadFailed: it said why it can't, there is no memory for it, it took too long, or died of it.
        """
        self._grant = grant
        self._send(FrameKind.LOAD, pickle.dumps(spec))
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._loaded)
        except TimeoutError:
            raise LoadFailed(f"not loaded within {timeout:g} s: still at {self._stage}", code="load_timeout") from None
        except WorkerGone as error:
            raise LoadFailed(f"{error} while it loaded the model: at {self._stage}", code="load_crashed") from None
        finally:
            self.promised_bytes = 0

    def part(self, name: str) -> int | None:
        """The number of a part of what it serves; None: it has none of that name."""
        return self._parts.get(name, None if name else NO_PART)

    @property
    def parts(self) -> list[str]:
        """The names of its parts."""
        return sorted(name for name in self._parts if name)

    def infer(
        self, part: int, body: bytes, json_size_bytes: int, *, timeout: float, look: bool = False
    ) -> "asyncio.Future[Answer]":
        """Pass one request on, for the part of that number; ``look``: see what its outputs are like.

        The future fails with ``WorkerGone`` (the process ends first) or ``TimeoutError`` (after ``timeout`` seconds).

        Raises:
            WorkerGone: the process has ended.
        """
        if self._transport is None or self._transport.is_closing():
            raise WorkerGone("the worker process has ended")
        self._next_id += 1
        request_id = self._next_id
        now = self._loop.time()
        future: asyncio.Future[Answer] = self._loop.create_future()
        if not self._pending:
            self._answered_at = now  # it owes nothing older than this
            self._idle.clear()
        self._pending[request_id] = future, now + timeout
        if self._expiry is None or now + timeout < self._expiry.when():
            self._expire_at(now + timeout)
        kind = FrameKind.INFER_AND_LOOK if look else FrameKind.INFER
        self._send(kind, body, request_id=request_id, part=part, json_size_bytes=json_size_bytes)
        # One that is not waited for any more counts until the worker has answered it; its answer is dropped.
        return future

    def _expire_at(self, when: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        """Fail the requests that waited too long. One timer for all: a timer each would cost more than a request."""
        now, self._expiry = self._loop.time(), None
        waiting = [(future, deadline) for future, deadline in self._pending.values() if not future.done()]
        for future, deadline in waiting:
            if deadline <= now:
                future.set_exception(TimeoutError())
        if later := [deadline for _, deadline in waiting if deadline > now]:
            self._expire_at(min(later))

    def silent_seconds(self) -> float:
        """Seconds for which it has owed an answer without giving any."""
        return self._loop.time() - self._answered_at if self._pending else 0.0

    async def retire(self, *, timeout: float) -> None:
        """Let it answer what it has begun, at most ``timeout`` seconds, then end it."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            pass
        await self.kill()

    async def kill(self) -> None:
        """End it now; return when the process is gone."""
        self._process.kill()  # it holds nothing that needs an orderly end
        await asyncio.shield(self.gone)

    def _send(
        self, kind: FrameKind, body: bytes, *, request_id: int = 0, part: int = 0, json_size_bytes: int = ALL_JSON
    ) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        head = header(kind, len(body), request_id=request_id, status=part, json_size_bytes=json_size_bytes)
        if len(body) >= _JOIN_BYTES_MAX:
            self._flush()
            self._transport.writelines((head, body))
            return
        self._out.append(head + body)
        if len(self._pending) <= 1:
            self._flush()
        elif len(self._out) == 1:  # what the other connections have sent at the same time goes with it
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Match what arrived with what waits."""
        self._buffer += data
        while (frame := take_frame(self._buffer)) is not None:
            self._take(frame)

    def _take(self, frame: WorkerFrame) -> None:
        if frame.kind == FrameKind.ANSWER:
            self._answered_at = self._loop.time()
            waiting = self._pending.pop(frame.request_id, None)
            if waiting is not None and not waiting[0].done():
                status = frame.status & STATUS_MASK
                waiting[0].set_result(Answer(status, frame.json_size_bytes, frame.body, frame.status - status))
            if not self._pending:
                self._idle.set()
        elif frame.kind == FrameKind.WARM:
            self._warm.set_result(None)
        elif frame.kind == FrameKind.READY:
            loaded = WorkerLoaded(**orjson.loads(frame.body))
            self._parts = {name: number for number, name in enumerate(loaded.parts)}
            self._loaded.set_result(loaded)
        elif frame.kind == FrameKind.FAILED:
            failure = orjson.loads(frame.body)
            self._fail(LoadFailed(failure["error"], code=failure["code"]))
        elif frame.kind == FrameKind.STAGE:
            self._stage = frame.body.decode()
        elif frame.kind == FrameKind.NEEDS:
            self._answer_needs(int(frame.body))

    def _answer_needs(self, need_bytes: int) -> None:
        try:
            granted = self._grant(need_bytes)
        except LoadFailed as error:
            self._fail(error)
            return
        self.promised_bytes = need_bytes
        self._send(FrameKind.GRANTED, b"" if granted is None else str(granted).encode())

    def _fail(self, error: LoadFailed) -> None:
        if not self._loaded.done():
            self._loaded.set_exception(error)
            self._loaded.exception()  # seen: the load may have been given up

    def connection_lost(self, exc: Exception | None) -> None:
        """End the worker, which has closed its end."""
        self._process.kill()
        if self._expiry is not None:
            self._expiry.cancel()
        self._burial = asyncio.get_running_loop().create_task(self._bury())

    async def _bury(self) -> None:
        code = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        gone = WorkerGone(f"the worker process ended ({_cause(code)})")
        waiting: list[asyncio.Future[Any]] = [self._warm, self._loaded, *(f for f, _ in self._pending.values())]
        self._pending.clear()
        self._idle.set()
        for future in waiting:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # seen: not everything is being awaited
        self.gone.set_result(code)


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
