"""An HTTP server that answers as a test tells it to, and the answers of another server to pass on."""

import http.client
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding"}
PASS_ON_SECONDS_MAX = 60.0


class Request(NamedTuple):
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body. ``Content-Length`` is added; a header with an empty value is left out."""


class ScriptedServer:
    """Asks ``script`` for each answer. Runs from the start; use it as a context, or ``close`` it.

    Attributes:
        url: where it is.
        connections: how many were accepted.
        requests: the methods of all requests, in their order.
    """

    def __init__(self, script: Callable[[Request], Answer], *, idle_seconds: float = 5.0) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, script, idle_seconds))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handler(
    server: ScriptedServer, script: Callable[[Request], Answer], idle_seconds: float
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = idle_seconds

        def setup(self) -> None:
            with server.lock:
                server.connections += 1
            super().setup()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with server.lock:
                server.requests.append(self.command)
            status, headers, answer = script(Request(self.command, self.path, dict(self.headers.items()), body))
            self.send_response_only(status)
            length = {} if "Transfer-Encoding" in headers or status == 204 else {"Content-Length": str(len(answer))}
            for name, value in {**length, **headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)
            self.close_connection = headers.get("Connection") == "close"

        def handle(self) -> None:
            with suppress(OSError):  # a client that hung up has its reasons
                super().handle()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def passed_on(request: Request, endpoint_url: str) -> Answer:
    """What the server at ``endpoint_url`` answers to a request."""
    link = http.client.HTTPConnection(urlsplit(endpoint_url).netloc, timeout=PASS_ON_SECONDS_MAX)
    try:
        link.request(request.method, request.path, request.body or None, dict(request.headers))
        came = link.getresponse()
        return came.status, {n: v for n, v in came.headers.items() if n.lower() not in _HOP}, came.read()
    finally:
        link.close()
