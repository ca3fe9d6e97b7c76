"""Connections are opened before they are needed, only as many as are, and used then."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.stores import open_store
from modelcast.infra.stores.s3_direct import ConnectionPool
from tests.support.waiting import until

PATIENCE_SECONDS = 60.0


class Counting:
    """A server that counts who connects, and answers with three bytes."""

    def __init__(self) -> None:
        self.connections = 0
        lock, counting = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                with lock:
                    counting.connections += 1
                super().setup()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "3")
                self.send_header("ETag", '"e"')
                self.end_headers()
                self.wfile.write(b"yes")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def counting() -> Iterator[Counting]:
    one = Counting()
    yield one
    one.server.shutdown()
    one.server.server_close()


def read(pool: ConnectionPool, url: str) -> bytes:
    with pool.request("GET", f"{url}/x", {}, b"") as response:
        return bytes(response.read())


def test_only_what_lacks_is_opened(counting: Counting) -> None:
    pool = ConnectionPool()
    pool.warm(counting.url, 3)
    pool.warm(counting.url, 3)
    pool.warm(counting.url, 2)
    until(lambda: counting.connections == 3)
    pool.warm(counting.url, 4)
    until(lambda: counting.connections >= 4)
    assert counting.connections == 4


def test_what_is_open_is_used(counting: Counting) -> None:
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


def test_a_store_passes_it_on(counting: Counting) -> None:
    store = open_store("s3://bucket", endpoint_url=counting.url, access_key_id="a", secret_access_key="b" * 8)
    store.warm(2)
    until(lambda: counting.connections == 2)
    found = store.get("k", size_max=3)
    assert found is not None
    assert found.body == b"yes"
