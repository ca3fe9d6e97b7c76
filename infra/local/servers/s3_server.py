"""The embedded S3 server: ``python -m modelcast.infra.local.servers.s3_server PORT READY_FILE [FOLDER]``."""

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from modelcast.infra.local.ports import LOOPBACK
from modelcast.infra.local.servers.s3_kept import KeptObjects

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def main(port: int, ready_file: Path, kept: Path | None) -> None:
    """Serve S3 from memory until SIGTERM.

    Args:
        port: where it listens.
        ready_file: appears once it listens.
        kept: the folder in which objects outlive this process; None: they end with it.
    """
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    class KeepAlive(MotoRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *args: object) -> None:
            """Log no requests: there are many."""

    app: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    if kept is not None:
        objects = KeptObjects(kept, s3_backends[DEFAULT_ACCOUNT_ID]["aws"])
        objects.load()
        app = objects.wrap(app)
    server = make_server(
        LOOPBACK,
        port,
        one_condition_at_a_time(app),
        threaded=True,
        request_handler=KeepAlive,
    )
    server.daemon_threads = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready_file.touch()
    server.serve_forever()


def one_condition_at_a_time(app: "WSGIApplication") -> "WSGIApplication":
    """moto looks at a put's condition first and writes later: of two racing puts with ``If-Match`` both could win."""
    lock = threading.Lock()

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if environ["REQUEST_METHOD"] == "PUT" and ("HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ):
            with lock:
                return app(environ, start_response)
        return app(environ, start_response)

    return serve


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
