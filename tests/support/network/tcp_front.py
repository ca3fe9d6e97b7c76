"""What stands in front of a server and sees its bytes pass: accepts connections, and pumps them to and fro."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


class TcpFront:
    """Accepts connections and gives each to ``serve`` on a thread of its own. Use it as a context."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._guarded, args=(connection,), daemon=True).start()

    def _guarded(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Talk with a client; the connection is closed after it."""
        raise NotImplementedError


def address_of(endpoint_url: str) -> tuple[str, int]:
    """Where a server of this URL listens."""
    parts = urlsplit(endpoint_url)
    return parts.hostname or "", parts.port or 80


def pump_both(client: socket.socket, server: socket.socket, up: Callable[[int], bool] = lambda _: True) -> None:
    """Pass bytes on both ways until both are done. ``up`` is told how many are about to go up; False: no more."""
    back = threading.Thread(target=_pump, args=(server, client, lambda _: True), daemon=True)
    back.start()
    _pump(client, server, up)
    back.join()


def _pump(source: socket.socket, target: socket.socket, may: Callable[[int], bool]) -> None:
    with suppress(OSError):
        while (chunk := source.recv(CHUNK_BYTES)) and may(len(chunk)):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
