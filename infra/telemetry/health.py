"""``/livez``, ``/readyz`` and ``/metrics`` over plain HTTP, on the standard library alone."""

import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from modelcast.infra.telemetry.metrics import BUILD_INFO, installed_version
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.text.tokens import TokenDigests

Check = Callable[[], str | bool | None]
"""True, None or "": well. False, or a text: not, for that reason."""


class HealthServer:
    """A daemon's window: whether it lives, whether it is ready, and its metrics.

    Args:
        host: address to listen on.
        port: 0 takes a free one, which ``port`` then tells.
        live: False (or a reason) means: restart me.
        ready: False (or a reason) means: leave me alone for now.
        registry: whose metrics are shown.
        metrics_tokens: see ``TokenDigests``: what /metrics asks for; the others ask for nothing.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        live: Check = lambda: True,
        ready: Check = lambda: True,
        *,
        registry: CollectorRegistry = REGISTRY,
        metrics_tokens: Sequence[str] = (),
    ) -> None:
        self._readers = TokenDigests(metrics_tokens)
        self._live, self._ready, self._registry = live, ready, registry
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port listened on (0 before ``start``)."""
        return self._server.server_address[1] if self._server else 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self._address[0]}:{self.port}"

    def start(self) -> Self:
        """Listen.

        Raises:
            ModelcastError: the address can't be taken.
        """
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics" and not outer._readers.admit(self.headers.get("Authorization")):
                    status, kind, body = 401, "text/plain", b"metrics need a token\n"
                else:
                    status, kind, body = outer._answer(path, self.headers.get("Accept") or "")
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", "Bearer")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Health checks every few seconds are not worth a line each."""

        try:
            self._server = ThreadingHTTPServer(self._address, Handler)
        except OSError as error:
            raise ModelcastError(
                f"can't listen: {error.strerror}",
                subject=f"{self._address[0]}:{self._address[1]}",
                hint="set MODELCAST_DAEMON__PORT",
            ) from error
        self._server.daemon_threads = True
        BUILD_INFO.labels(installed_version()).set(1)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="health", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(self._registry)
        checks = {"/livez": self._live, "/readyz": self._ready}
        if path not in checks:
            return 404, "text/plain", b"/livez /readyz /metrics\n"
        try:
            answer = checks[path]()
        except Exception as error:
            answer = f"the check itself failed: {error}"
        if answer is True or answer is None or answer == "":
            return 200, "text/plain", b"ok\n"
        reason = answer if isinstance(answer, str) else "not " + path[1:-1]
        return 503, "text/plain; charset=utf-8", f"{reason}\n".encode()
