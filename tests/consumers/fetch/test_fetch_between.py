"""A cache, a proxy or a login page between here and the store: the artifact comes whole, or the way there is named."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.errors import StoreUnavailable
from tests.consumers.fetch.publishing import MIB, cached, noise, publish
from tests.support.servers.http_server import Answer, Request, ScriptedServer, passed_on
from tests.support.servers.stores import S3ForTests

pytestmark = [pytest.mark.usefixtures("short_pauses"), pytest.mark.integration]

FILES = {"model.onnx": noise(20 * MIB + 17, 1), "small.txt": noise(900, 2)}
Meddle = Callable[[Answer], Answer]


def ignores_range(answer: Answer) -> Answer:
    return answer  # Range is never passed on, see below


def compresses(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body, 0)


def wants_a_login(_: Answer) -> Answer:
    return 200, {"Content-Type": "text/html", "ETag": '"page"'}, b"<html>Please log in</html>"


def cuts(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, {**headers, "Content-Length": str(len(body)), "Connection": "close"}, body[: len(body) // 2]


def shifts(answer: Answer) -> Answer:
    _, headers, body = answer
    return 206, {**headers, "Content-Range": f"bytes 7-{len(body) - 1}/{len(body)}"}, body[7:]


@pytest.fixture
def behind(s3: S3ForTests) -> Iterator[Callable[[Meddle], tuple[S3Store, S3Store]]]:
    """The store itself, and the store behind what meddles with its blobs."""
    servers: list[ScriptedServer] = []
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
        def script(request: Request) -> Answer:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "range"}
            status, came, body = passed_on(request._replace(headers=headers), s3.endpoint_url)
            kept = {name: value for name, value in came.items() if name.lower() in {"etag", "last-modified"}}
            answer = (status, kept, body)
            return meddle(answer) if "/blobs/" in request.path else answer

        servers.append(ScriptedServer(script))
        return opened(s3.endpoint_url), opened(servers[-1].url)

    yield start
    for server in servers:
        server.close()


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
