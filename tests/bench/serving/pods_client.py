"""Clients that cost little: an open loop that judges each answer, and a closed loop that only counts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import orjson


@dataclass
class Answers:
    """What came of the requests of an open loop."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


Ask = Callable[[], Awaitable[float]]
"""Asks once; the first value of the answer. Raises ``Unanswered``."""


class Unanswered(Exception):
    """A request failed, and how."""


@asynccontextmanager
async def asking_http(url: str, body: bytes) -> AsyncIterator[Ask]:
    """Asks by HTTP, JSON both ways."""
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:

        async def ask() -> float:
            try:
                async with http.post(url, data=body, headers=headers) as response:
                    raw = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unanswered(repr(error)) from None
            if response.status != 200:
                raise Unanswered(f"{response.status}: {raw[:200]!r}")
            return float(orjson.loads(raw)["outputs"][0]["data"][0])

        yield ask


@asynccontextmanager
async def asking_grpc(address: str, model: str, row: int) -> AsyncIterator[Ask]:
    """Asks Triton by gRPC, tensors as bytes."""
    import tritonclient.grpc.aio as triton
    from tritonclient.utils import InferenceServerException

    inputs = grpc_inputs(row)
    async with triton.InferenceServerClient(address) as client:

        async def ask() -> float:
            try:
                answer = await client.infer(model, inputs, client_timeout=60)
            except InferenceServerException as error:
                raise Unanswered(str(error)[:200]) from None
            return float(answer.as_numpy("y").ravel()[0])

        yield ask


def grpc_inputs(row: int) -> list[Any]:
    """The request for one row of the table."""
    import tritonclient.grpc.aio as triton

    asked = triton.InferInput("i", [1], "INT64")
    asked.set_data_from_numpy(np.array([row], "i8"))
    return [asked]


async def open_loop(
    ask: Ask, rate_per_second: float, stop: asyncio.Event, allowed: Callable[[], frozenset[str]],
    versions: dict[float, str],
) -> Answers:  # fmt: skip
    """Ask at a fixed rate, whatever the answers do; latency counts from when a request was due.

    Args:
        ask: one request.
        rate_per_second: how often.
        stop: ends it.
        allowed: the versions that may answer a request that is sent now.
        versions: which version answers with this first value: what an answer *is*, whatever it names.
    """
    answers, tasks = Answers(), set[asyncio.Task[None]]()

    async def one(due: float, may: frozenset[str]) -> None:
        try:
            found = versions.get(round(await ask(), 4), "no version")
            if found not in may | allowed():
                answers.wrong.append(f"{found} answered, allowed were {sorted(may)}")
        except Unanswered as error:
            answers.failed.append(str(error))
        answers.seconds.append(time.perf_counter() - due)

    due = time.perf_counter()
    while not stop.is_set():
        due += 1 / rate_per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(due, allowed()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return answers


class _Closed(asyncio.Protocol):
    """One connection that sends the same request again as soon as it was answered."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request, self._until = request, until
        self._buffer = bytearray()
        self.count = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = bytes(self._buffer[:head]).lower()
        size = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._buffer) < head + 4 + size:
            return
        assert self._buffer.startswith(b"HTTP/1.1 200"), bytes(self._buffer[:500])
        self._buffer.clear()
        self.count += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)  # type: ignore[attr-defined]
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def closed_loop(url: str, body: bytes, connections: int, seconds: float) -> int:
    """How many requests were answered on so many connections."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    loop, until = asyncio.get_running_loop(), time.perf_counter() + seconds
    made = [
        (await loop.create_connection(lambda: _Closed(head.encode() + body, until), parts.hostname, parts.port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in made))
    return sum(client.count for client in made)


async def closed_loop_grpc(address: str, model: str, row: int, tasks: int, seconds: float) -> int:
    """As ``closed_loop``, by Triton's own client, which costs more than the server."""
    async with asking_grpc(address, model, row) as ask:
        until = time.perf_counter() + seconds

        async def one() -> int:
            count = 0
            while time.perf_counter() < until:
                await ask()
                count += 1
            return count

        return sum(await asyncio.gather(*(one() for _ in range(tasks))))
