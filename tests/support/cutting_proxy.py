"""A TCP proxy in front of a server that counts what goes up, and cuts every link once so much more has."""

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes bytes on unchanged until it is told to cut; then nothing goes through until it is mended.

    Attributes:
        sent_bytes: from clients to the server, since the start.
    """

    def __init__(self, endpoint_url: str) -> None:
        parts = urlsplit(endpoint_url)
        self._target = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._cut_at: int | None = None
        self.sent_bytes = 0
        self.is_cut = False
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def cut_after(self, more_bytes: int) -> None:
        """Cut once ``more_bytes`` more have gone up; whole until then."""
        with self._lock:
            self._cut_at, self.is_cut = self.sent_bytes + more_bytes, False

    def mend(self) -> None:
        """Let everything through."""
        with self._lock:
            self._cut_at, self.is_cut = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._links |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(64 * 1024):
                if up and self._count(len(chunk)):
                    self._cut()
                    break
                target.sendall(chunk)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            with self._lock:
                self._links.discard(each)

    def _count(self, size: int) -> bool:
        with self._lock:
            self.sent_bytes += size
            if self._cut_at is not None and self.sent_bytes >= self._cut_at:
                self.is_cut = True
            return self.is_cut

    def _cut(self) -> None:
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
