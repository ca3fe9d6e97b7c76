"""Links carry what they are given, at the pace that they are set to, here and in a process of their own."""

import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.network.links_apart import LinksApart
from tests.support.network.slow_link import Links, Network

BODY = os.urandom(1 << 20)
PATIENCE_SECONDS = 60.0


class Store(socketserver.BaseRequestHandler):
    """Answers whatever comes with all of ``BODY``."""

    def handle(self) -> None:
        while self.request.recv(4096):
            self.request.sendall(BODY)


@pytest.fixture
def store() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Store) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(params=[Network, LinksApart], ids=["here", "apart"])
def links(request: pytest.FixtureRequest) -> Iterator[Links]:
    with request.param() as made:
        yield made


def ask(url: str) -> bytes:
    """What comes of one request."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        got = bytearray()
        while len(got) < len(BODY) and (chunk := connection.recv(1 << 16)):
            got += chunk
    return bytes(got)


def test_a_link_passes_on_what_it_is_given_and_counts_it(links: Links, store: str) -> None:
    link = links.link(store)
    assert ask(link.endpoint_url) == BODY
    assert link.carried_bytes == len(BODY)


def test_a_paced_link_is_never_faster_than_it_is_set(links: Links, store: str) -> None:
    link = links.link(store)
    link.bytes_per_second, link.round_trip_seconds = 4e6, 0.02
    assert (link.bytes_per_second, link.round_trip_seconds) == (4e6, 0.02)
    began = time.perf_counter()
    assert ask(link.endpoint_url) == BODY
    assert time.perf_counter() - began >= len(BODY) / 4e6 + 2 * 0.02


def test_a_healed_link_is_not_paced_any_more(links: Links, store: str) -> None:
    link = links.link(store)
    link.bytes_per_second, link.drops_orphans = 1.0, True
    link.heal()
    assert (link.bytes_per_second, link.drops_orphans) == (None, False)
    assert ask(link.endpoint_url) == BODY


def test_a_held_request_waits(links: Links, store: str) -> None:
    link = links.link(store)
    link.hold("GET", "/x", 0.3)
    began = time.perf_counter()
    assert ask(link.endpoint_url) == BODY
    assert time.perf_counter() - began >= 0.3


def test_links_of_one_process_do_not_share_their_pace(links: Links, store: str) -> None:
    slow, fast = links.link(store), links.link(store)
    slow.bytes_per_second = 1.0
    assert fast.bytes_per_second is None
    assert ask(fast.endpoint_url) == BODY
    assert slow.carried_bytes == 0


PARENT = """
import os, signal
from tests.support.network.links_apart import LinksApart
links = LinksApart()
links.link("http://127.0.0.1:1")
print(links.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_of_the_links_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS)
    pid, until = int(parent.stdout), time.monotonic() + PATIENCE_SECONDS
    while runs(pid):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether the process is there, and not only its entry."""
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
