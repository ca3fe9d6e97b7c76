"""One set of servers for all workers of a test run.

The process that people started (xdist's controller, or pytest itself without workers) owns them: each starts when the
first test asks for it, and a guard ends it with its owner, however that ends. Workers ask over a Unix socket.
"""

import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Protocol

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.local.servers.s3 import S3Server
from tests.support.processes.forked import ForkServer
from tests.support.servers.stores import required_binary, start_versitygw


class Server(Protocol):
    """A running server."""

    def stop(self) -> None: ...


Started = tuple[Server, str]
"""A server, and the address that its clients use."""


def start_kafka(folder: Path) -> Started:
    """The embedded Kafka."""
    server = KafkaServer.start(folder)
    return server, server.bootstrap_servers


def start_s3(folder: Path) -> Started:
    """The embedded S3 server (moto)."""
    server = S3Server.start(folder)
    return server, server.endpoint_url


def start_redis(folder: Path) -> Started:
    """The embedded Redis."""
    server = RedisServer.start(folder)
    return server, server.url


def start_debian_redis(folder: Path) -> Started:
    """The machine's own redis-server."""
    server = RedisServer.start(folder, executable=required_binary("redis-server", "MODELCAST_REDIS_SERVER"))
    return server, server.url


def start_real_s3(folder: Path) -> Started:
    """A versitygw on real files."""
    child, store = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder)
    return child, store.endpoint_url


def start_forks(folder: Path) -> Started:
    """What forks commands and daemons."""
    server = ForkServer(folder)
    return server, server.address


STARTERS: dict[str, Callable[[Path], Started]] = {
    "kafka": start_kafka,
    "s3": start_s3,
    "redis": start_redis,
    "debian_redis": start_debian_redis,
    "versitygw": start_real_s3,
    "forks": start_forks,
}


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    started: Started | None = None


class ServerOwner:
    """Starts servers once, and tells every worker that asks at ``address`` where they are."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mc-servers-", ignore_cleanup_errors=True)
        self._slots = {name: _Slot() for name in STARTERS}
        self._listener = Listener(str(Path(self._folder.name) / "socket"), family="AF_UNIX", backlog=16)
        threading.Thread(target=self._listen, name="servers", daemon=True).start()

    @property
    def address(self) -> str:
        """Where workers ask."""
        return str(self._listener.address)

    def where(self, name: str) -> str:
        """The address of a server, which is started if it is not there yet."""
        slot = self._slots[name]
        with slot.lock:
            if slot.started is None:
                slot.started = STARTERS[name](Path(self._folder.name) / name)
            return slot.started[1]

    def stop(self) -> None:
        """End every server."""
        self._listener.close()
        for slot in self._slots.values():
            with slot.lock:
                if slot.started is not None:
                    slot.started[0].stop()
        self._folder.cleanup()

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                link = self._listener.accept()
                threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: Connection) -> None:
        with link, suppress(EOFError, OSError):
            try:
                answer = (True, self.where(link.recv()))
            except Exception as error:
                answer = (False, f"{type(error).__name__}: {error}")
            link.send(answer)


def ask(address: str, name: str) -> str:
    """The address of a server that another process owns.

    Raises:
        RuntimeError: it could not be started.
    """
    with Client(address, family="AF_UNIX") as link:
        link.send(name)
        started, told = link.recv()
    if not started:
        raise RuntimeError(f"{name}: {told}")
    return str(told)


_owners: list[Callable[[str], str]] = []


def share(where: Callable[[str], str]) -> None:
    """Have ``shared`` ask ``where``: a test run begins."""
    _owners.append(where)


def is_test_run() -> bool:
    """Whether there is somebody to ask; a benchmark has servers of its own."""
    return bool(_owners)


def shared(name: str) -> str:
    """The address of a server of ``STARTERS``."""
    return _owners[-1](name)
