"""A proxy in front of a server that counts what goes up, and cuts every link once so much more has."""

import socket
import threading
from contextlib import suppress

from tests.support.network.tcp_front import TcpFront, address_of, pump_both


class CuttingProxy(TcpFront):
    """Passes bytes on unchanged until it is told to cut; then nothing goes through until it is mended.

    Attributes:
        sent_bytes: from clients to the server, since the start.
    """

    def __init__(self, endpoint_url: str) -> None:
        super().__init__()
        self._target = address_of(endpoint_url)
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._cut_at: int | None = None
        self.sent_bytes = 0
        self.is_cut = False
        self.endpoint_url = f"http://127.0.0.1:{self.port}"

    def cut_after(self, more_bytes: int) -> None:
        """Cut once ``more_bytes`` more have gone up; whole until then."""
        with self._lock:
            self._cut_at, self.is_cut = self.sent_bytes + more_bytes, False

    def mend(self) -> None:
        """Let everything through."""
        with self._lock:
            self._cut_at, self.is_cut = None, False

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._cut()

    def serve(self, connection: socket.socket) -> None:
        if self.is_cut:
            return
        with socket.create_connection(self._target) as server:
            links = {connection, server}
            with self._lock:
                self._links |= links
            try:
                pump_both(connection, server, self._may_go_up)
            finally:
                with self._lock:
                    self._links -= links

    def _may_go_up(self, size: int) -> bool:
        with self._lock:
            self.sent_bytes += size
            if self._cut_at is not None and self.sent_bytes >= self._cut_at:
                self.is_cut = True
        if self.is_cut:
            self._cut()
        return not self.is_cut

    def _cut(self) -> None:
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
