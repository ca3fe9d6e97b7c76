"""Connections are opened before they are needed, only as many as are, and used then."""

import socket
from collections.abc import Iterator

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.stores import open_store
from modelcast.infra.stores.s3.direct import ConnectionPool
from tests.support.servers.http_server import ScriptedServer
from tests.support.waiting import until

PATIENCE_SECONDS = 60.0


@pytest.fixture
def counting() -> Iterator[ScriptedServer]:
    """Counts who connects, and answers with three bytes."""
    with ScriptedServer(lambda _: (200, {"ETag": '"e"'}, b"yes"), idle_seconds=PATIENCE_SECONDS) as server:
        yield server


def read(pool: ConnectionPool, url: str) -> bytes:
    with pool.request("GET", f"{url}/x", {}, b"") as response:
        return bytes(response.read())


def test_only_what_lacks_is_opened(counting: ScriptedServer) -> None:
    pool = ConnectionPool()
    pool.warm(counting.url, 3)
    pool.warm(counting.url, 3)
    pool.warm(counting.url, 2)
    until(lambda: counting.connections == 3)
    pool.warm(counting.url, 4)
    until(lambda: counting.connections >= 4)
    assert counting.connections == 4


def test_what_is_open_is_used(counting: ScriptedServer) -> None:
    pool = ConnectionPool()
    pool.warm(counting.url, 1)
    until(lambda: any(pool._idle.values()))
    assert [read(pool, counting.url), read(pool, counting.url)] == [b"yes"] * 2
    assert counting.connections == 1


def test_what_the_store_hung_up_on_counts_for_nothing() -> None:
    """As after a pause: it is then that connections are worth being opened in advance."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pool = ConnectionPool()
        pool.warm(url, 2)
        accepted += [listener.accept()[0], listener.accept()[0]]
        until(lambda: sum(map(len, pool._idle.values())) == 2)
        for each in accepted:
            each.close()
        listener.settimeout(PATIENCE_SECONDS)
        pool.warm(url, 2)
        accepted += [listener.accept()[0], listener.accept()[0]]
        for each in accepted[2:]:
            each.close()


def test_a_store_that_is_away_is_met_only_by_whoever_needs_it() -> None:
    pool, url = ConnectionPool(), f"http://127.0.0.1:{free_ports(1)[0]}"
    pool.warm(url, 2)
    until(lambda: not sum(pool._coming.values()))
    with pytest.raises(ConnectionRefusedError):
        read(pool, url)


def test_a_store_passes_it_on(counting: ScriptedServer) -> None:
    store = open_store("s3://bucket", endpoint_url=counting.url, access_key_id="a", secret_access_key="b" * 8)
    store.warm(2)
    until(lambda: counting.connections == 2)
    found = store.get("k", size_max=3)
    assert found is not None
    assert found.body == b"yes"
