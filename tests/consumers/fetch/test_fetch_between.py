"""A cache, a proxy or a login page between here and the store: the artifact comes whole, or the way there is named."""

import gzip
import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.errors import StoreUnavailable
from tests.consumers.fetch.publishing import MIB, cached, noise, publish
from tests.support.servers import S3ForTests

pytestmark = [pytest.mark.usefixtures("short_pauses"), pytest.mark.integration]

FILES = {"model.onnx": noise(20 * MIB + 17, 1), "small.txt": noise(900, 2)}
Answer = tuple[int, dict[str, str], bytes]
Meddle = Callable[[Answer], Answer]


def ignores_range(answer: Answer) -> Answer:
    return answer  # Range is never passed on, see below


def compresses(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body, 1)


def wants_a_login(_: Answer) -> Answer:
    return 200, {"Content-Type": "text/html", "ETag": '"page"'}, b"<html>Please log in</html>"


def cuts(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, {**headers, "Content-Length": str(len(body)), "Connection": "close"}, body[: len(body) // 2]


def shifts(answer: Answer) -> Answer:
    _, headers, body = answer
    return 206, {**headers, "Content-Range": f"bytes 7-{len(body) - 1}/{len(body)}"}, body[7:]


def _handler(target: str, meddle: Meddle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            link = http.client.HTTPConnection(urlsplit(target).netloc, timeout=30)
            asked = {name: value for name, value in self.headers.items() if name.lower() != "range"}
            link.request("GET", self.path, headers=asked)
            came = link.getresponse()
            kept = {name: value for name, value in came.headers.items() if name.lower() in {"etag", "last-modified"}}
            answer = (came.status, kept, came.read())
            link.close()
            status, headers, body = meddle(answer) if "/blobs/" in self.path else answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = headers.get("Connection") == "close"

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def behind(s3: S3ForTests) -> Iterator[Callable[[Meddle], tuple[S3Store, S3Store]]]:
    """The store itself, and the store behind what meddles with its blobs."""
    servers: list[ThreadingHTTPServer] = []
    bucket = s3.bucket()

    def opened(url: str) -> S3Store:
        return open_store(
            f"s3://{bucket}",
            endpoint_url=url,
            region=s3.region,
            access_key_id=s3.access_key_id,
            secret_access_key=s3.secret_access_key,
        )

    def start(meddle: Meddle) -> tuple[S3Store, S3Store]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(s3.endpoint_url, meddle))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return opened(s3.endpoint_url), opened(f"http://127.0.0.1:{server.server_address[1]}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_artifact_comes_whole_from_a_store_without_ranges(
    behind: Callable[[Meddle], tuple[S3Store, S3Store]], cache: ArtifactCache
) -> None:
    store, meddled = behind(ignores_range)
    manifest = publish(store, FILES)
    Fetcher(meddled, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == FILES


@pytest.mark.parametrize("meddle", [compresses, wants_a_login, cuts, shifts])
def test_what_meddles_with_the_bytes_is_not_damage(
    behind: Callable[[Meddle], tuple[S3Store, S3Store]], cache: ArtifactCache, meddle: Meddle
) -> None:
    """``DamagedBytes`` would quarantine the version after a few tries."""
    store, meddled = behind(meddle)
    manifest = publish(store, FILES)
    if meddle is cuts:
        with suppress(StoreUnavailable):  # each try brings half of what is left
            Fetcher(meddled, None, cache).fetch(manifest.digest)
    else:
        with pytest.raises(StoreUnavailable):
            Fetcher(meddled, None, cache).fetch(manifest.digest)
    Fetcher(store, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == FILES
