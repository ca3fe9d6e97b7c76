"""An HTTP server in front of objects in memory that has bad days: cuts, storms of errors, wrong rights.

It speaks as much S3 as reading takes, and counts what it sends, on its own side.
"""

import fcntl
import re
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.digests import sha256_of

CHUNK_BYTES = 16 * 1024
MODIFIED = "Wed, 21 Oct 2026 07:28:00 GMT"
SKEW_MAX = timedelta(minutes=15)
"""As S3 has it."""
DRAIN_SECONDS_MAX = 60.0
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_RESETS = struct.pack("ii", 1, 0)
"""``SO_LINGER``: closing sends RST instead of FIN."""


class ShakyStore:
    """Serves ``objects`` of one bucket.

    Attributes:
        objects: by key.
        answers: asked for each request (method, key, number of the request): a status to answer with, or None.
        cut_after: asked for each answer: after how many bytes of its body the connection ends, or None.
        resets: whether a connection that is cut ends with a reset (RST) instead of an orderly end (FIN).
        clock: what is compared with the date of each request's signature, or None.
        sent_bytes: of all bodies of objects, those of answers that were cut included.
        requests: (method, key) of all.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.answers: Callable[[str, str, int], int | None] = lambda *_: None
        self.cut_after: Callable[[], int | None] = lambda: None
        self.resets = False
        self.clock: Callable[[], datetime] | None = None
        self.sent_bytes = 0
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def store(self) -> S3Store:
        """An adapter to it."""
        return open_store("s3://bucket", endpoint_url=self.endpoint_url, access_key_id="a", secret_access_key="b" * 8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESETS)) == _RESETS:
            self.close_request(request)  # an orderly shutdown before would send FIN
        else:
            super().shutdown_request(request)


def _handler(shaky: ShakyStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _answer(self) -> None:
            key = self.path.removeprefix("/bucket/").split("?")[0]
            with shaky.lock:
                shaky.requests.append((self.command, key))
                number = len(shaky.requests)
            status = shaky.answers(self.command, key, number)
            body = shaky.objects.get(key)
            if status is None and body is None:
                status = 404
            if shaky.clock is not None and abs(shaky.clock() - self._signed_at()) > SKEW_MAX:
                self._say(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
                return
            if status is not None:
                self._say(status)
                return
            assert body is not None
            etag = f'"{sha256_of(body)[7:39]}"'
            if self.headers.get("If-Match", etag) != etag:
                self._say(412)
                return
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            end = min(int(wanted[2]) + 1 if wanted and wanted[2] else len(body), len(body))
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
            for name, value in {"ETag": etag, "Last-Modified": MODIFIED, "Content-Length": str(end - start)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self._send(memoryview(body)[start:end])

        def _send(self, body: memoryview) -> None:
            cut = shaky.cut_after()
            left = len(body) if cut is None else min(cut, len(body))
            for at in range(0, left, CHUNK_BYTES):
                chunk = body[at : min(at + CHUNK_BYTES, left)]
                with shaky.lock:
                    shaky.sent_bytes += len(chunk)
                self.wfile.write(chunk)
            if left < len(body):
                self.close_connection = True
                if shaky.resets:
                    self._drain()
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)

        def _drain(self) -> None:
            """What the kernel still has to send would go with a reset, and not be where it is counted."""
            deadline = time.monotonic() + DRAIN_SECONDS_MAX
            while any(fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4))) and time.monotonic() < deadline:
                time.sleep(0.001)

        def _signed_at(self) -> datetime:
            return datetime.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

        def _say(self, status: int, code: str = "", message: str = "so it is") -> None:
            said = f"<Error><Code>{code or f'E{status}'}</Code><Message>{message}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        def handle(self) -> None:
            with suppress(OSError):  # whoever hung up has its reasons
                super().handle()

        do_GET = do_HEAD = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
