"""What a server that does not answer is said to have done."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from modelcast.consumers.companion.http import ServerClient
from modelcast.consumers.pod_clients.port import PodUnreachable
from modelcast.infra.local.ports import free_ports

GRPC_GREETING = b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x04\x00@\x00\x00\x00\x05\x00@\x00\x00"


@pytest_asyncio.fixture
async def answers(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a server that answers these bytes, and no more."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request.param)
        await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def reason(url: str) -> str:
    client = ServerClient(url)
    try:
        with pytest.raises(PodUnreachable) as caught:
            await client.ask("GET", "/v2", seconds=0.5)
        assert caught.value.message.startswith(f"GET {url}/v2: ")
        return caught.value.message.removeprefix(f"GET {url}/v2: ")
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("answers", "said"),
    [(GRPC_GREETING, "what answers does not speak HTTP"), (b"", "no answer in 0.5 s")],
    indirect=["answers"],
)
async def test_an_answer_that_is_none(answers: str, said: str) -> None:
    assert await reason(answers) == said


async def test_nobody_there() -> None:
    (port,) = free_ports(1)
    assert await reason(f"http://127.0.0.1:{port}") == "Connection refused"
