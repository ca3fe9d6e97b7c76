"""An HTTP proxy in front of a server that answers as it is told for a while, instead of passing requests on."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding"}


class StormyProxy:
    """Use it as a context; clients talk to ``endpoint_url``.

    Attributes:
        storm: asked for each request by its path: a status to answer with, or None to pass the request on.
        refused: how often each status was answered.
    """

    def __init__(self, endpoint_url: str) -> None:
        parts = urlsplit(endpoint_url)
        self.storm: Callable[[str], int | None] = lambda _: None
        self.refused: Counter[int] = Counter()
        self.target = (parts.hostname or "", parts.port or 80)
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _handler(proxy: StormyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = proxy.storm(self.path)
            if status is not None:
                with proxy.lock:
                    proxy.refused[status] += 1
                said = f"<Error><Code>E{status}</Code><Message>a storm</Message></Error>".encode()
                self._say(status, {"Content-Length": str(len(said))}, said)
                return
            link = http.client.HTTPConnection(*proxy.target, timeout=60)
            try:
                link.request(self.command, self.path, body or None, dict(self.headers.items()))
                answer = link.getresponse()
                came = answer.read()
            finally:
                link.close()
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if self.command != "HEAD" and answer.status != 204:
                headers["Content-Length"] = str(len(came))
            self._say(answer.status, headers, came)

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle(self) -> None:
            with suppress(OSError):  # whoever hung up has its reasons
                super().handle()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
