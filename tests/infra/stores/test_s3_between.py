"""What stands between here and the store is at fault for what it does; it never makes the store's bytes look damaged.

A scripted server stands for a cache without ranges, a proxy that compresses and a login page.
"""

import gzip
from collections.abc import Callable, Iterator

import pytest

from modelcast.infra.ablation import OWN_HTTP, VARIABLE
from modelcast.infra.stores import S3Store, open_store
from modelcast.infra.stores.s3 import answers as s3_answers
from modelcast.schemas.errors import ContentError, StoreUnavailable
from modelcast.schemas.ports import PreconditionFailed
from tests.support.servers.http_server import ScriptedServer

BODY = bytes(range(256)) * 40
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
DATE = "Sat, 21 Nov 2026 00:00:00 GMT"
Headers = dict[str, str]
Script = Callable[[str, Headers], tuple[int, Headers, bytes]]  # (method, headers) -> answer


@pytest.fixture(params=["own", "boto3"])
def between(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], S3Store]]:
    """Opens a store behind a script, reached directly or by boto3."""
    if request.param == "boto3":
        monkeypatch.setenv(VARIABLE, OWN_HTTP)
    servers: list[ScriptedServer] = []

    def start(script: Script) -> S3Store:
        servers.append(ScriptedServer(lambda request: script(request.method, dict(request.headers))))
        url = servers[-1].url
        return open_store("s3://bucket", endpoint_url=url, access_key_id="a", secret_access_key="b" * 8)

    yield start
    for server in servers:
        server.close()


def object_of(etag: str = '"e"') -> Headers:
    return {"ETag": etag, "Last-Modified": DATE, "x-amz-request-id": "1"}


def read(store: S3Store, start: int, length: int | None, etag: str | None = None) -> bytes:
    found, buffer = bytearray(), memoryview(bytearray(1000))
    with store.open("k", start=start, length=length, etag=etag) as stream:
        assert stream.info.size_bytes == len(BODY)
        while count := stream.readinto(buffer):
            found += buffer[:count]
    return bytes(found)


RANGES = [(0, 50), (100, 50), (9_000, 5_000), (10_000, None), (10_239, 1)]


@pytest.mark.parametrize(("start", "length"), RANGES)
def test_where_a_range_is_answered_with_the_whole_the_range_is_taken_out(
    between: Callable[[Script], S3Store], start: int, length: int | None
) -> None:
    store = between(lambda method, headers: (200, object_of(), BODY))
    assert read(store, start, length) == BODY[start:][:length]
    assert read(store, start, length, etag='"e"') == BODY[start:][:length]


@pytest.mark.parametrize(("start", "length"), RANGES[1:])
def test_where_a_range_is_answered_with_a_wider_one_the_range_is_taken_out(
    between: Callable[[Script], S3Store], start: int, length: int | None
) -> None:
    def script(method: str, headers: Headers) -> tuple[int, Headers, bytes]:
        first = start // 64 * 64  # as caches do that keep blocks
        return 206, {**object_of(), "Content-Range": f"bytes {first}-{len(BODY) - 1}/{len(BODY)}"}, BODY[first:]

    assert read(between(script), start, length) == BODY[start:][:length]


def test_a_narrower_range_ends_early(between: Callable[[Script], S3Store]) -> None:
    """Whoever reads asks for the rest."""
    headers = {**object_of(), "Content-Range": f"bytes 100-109/{len(BODY)}"}
    store = between(lambda method, _: (206, headers, BODY[100:110]))
    assert read(store, 100, 50) == BODY[100:110]


def test_a_narrower_answer_is_no_whole_object(between: Callable[[Script], S3Store]) -> None:
    headers = {**object_of(), "Content-Range": f"bytes 0-9/{len(BODY)}"}
    with pytest.raises(StoreUnavailable, match="missing at the end"):
        between(lambda method, _: (206, headers, BODY[:10])).get("k", size_max=len(BODY))


def test_a_range_that_lies_too_far_behind_is_not_waited_for(
    between: Callable[[Script], S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_answers, "SKIP_MAX_BYTES", 1000)
    store = between(lambda method, headers: (200, object_of(), BODY))
    assert read(store, 1000, 10) == BODY[1000:1010]
    with pytest.raises(StoreUnavailable, match="ignores Range") as caught:
        read(store, 1001, 10)
    assert "NO_PROXY" in caught.value.hint


FAULTS: dict[str, tuple[int, Headers, bytes]] = {
    "a later range": (206, {**object_of(), "Content-Range": f"bytes 200-249/{len(BODY)}"}, BODY[200:250]),
    "a range that ends before": (206, {**object_of(), "Content-Range": f"bytes 0-49/{len(BODY)}"}, BODY[:50]),
    "206 without Content-Range": (206, object_of(), BODY[100:150]),
    "several ranges": (206, {**object_of(), "Content-Type": "multipart/byteranges; boundary=x"}, BODY[:50]),
    "another length than its range": (206, {**object_of(), "Content-Range": f"bytes 100-149/{len(BODY)}"}, BODY[:40]),
    "a range beyond the object's end": (206, {**object_of(), "Content-Range": "bytes 100-149/120"}, BODY[100:150]),
    "an unknown size": (206, {**object_of(), "Content-Range": "bytes 100-149/*"}, BODY[100:150]),
    "less than where it begins": (200, object_of(), BODY[:50]),
    "compressed by a proxy": (200, {**object_of(), "Content-Encoding": "gzip"}, gzip.compress(BODY)),
    "a range of the compressed": (
        206,
        {**object_of(), "Content-Encoding": "br", "Content-Range": f"bytes 100-149/{len(BODY)}"},
        BODY[:50],
    ),
    "no length": (200, {**object_of(), "Transfer-Encoding": "chunked"}, b"a\r\n0123456789\r\n0\r\n\r\n"),
    "a login page": (200, {"Content-Type": "text/html; charset=utf-8", "ETag": '"page"'}, PAGE),
    "a page without a kind": (200, {}, PAGE),
    "a page that is missing": (404, {"Content-Type": "text/html"}, PAGE),
    "no route": (404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found"),
    "a gateway's refusal": (403, {"Content-Type": "text/html"}, PAGE),
    "a gateway's refusal for programs": (401, {"Content-Type": "application/json"}, b'{"message": "no"}'),
    "a proxy that wants a password": (407, {"Content-Type": "text/html"}, PAGE),
    "leads to a login page": (302, {"Location": "http://login.invalid/"}, b""),
    "a range that a cache finds wrong": (416, {"Content-Range": "bytes */20"}, b""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_store_answers_is_a_fault_of_the_way_there(between: Callable[[Script], S3Store], fault: str) -> None:
    store = between(lambda method, headers: FAULTS[fault])
    with pytest.raises(StoreUnavailable) as caught:
        read(store, 100, 50)
    assert not isinstance(caught.value, ContentError)
    assert caught.value.hint
    assert caught.value.subject == "s3://bucket/k"


PAGES = [name for name, (status, headers, _) in FAULTS.items() if "x-amz-request-id" not in headers and status != 416]


@pytest.mark.parametrize("fault", PAGES)
@pytest.mark.parametrize("act", ["get", "head", "put", "claim", "list", "upload"])
def test_a_page_is_no_answer_to_any_request(
    between: Callable[[Script], S3Store], fault: str, act: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is neither "stored", nor "absent", nor "empty"."""
    store = between(lambda method, headers: FAULTS[fault])
    acts: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("k", size_max=1000),
        "head": lambda: store.head("k"),
        "put": lambda: store.put("k", b"1"),
        "claim": lambda: store.put("k", b"1", if_absent=True),
        "list": lambda: list(store.list("")),
        "upload": lambda: store.put("k", bytes(1024 * 1024)),
    }
    with pytest.raises(StoreUnavailable):
        acts[act]()


def test_another_object_than_was_asked_for_is_noticed(between: Callable[[Script], S3Store]) -> None:
    """A cache may ignore If-Match."""
    store = between(lambda method, headers: (200, object_of('"other"'), BODY))
    with pytest.raises(PreconditionFailed):
        read(store, 100, 50, etag='"e"')


@pytest.mark.parametrize("etag", ['W/"e"', "e"])
def test_an_etag_in_another_dialect_is_the_same(between: Callable[[Script], S3Store], etag: str) -> None:
    store = between(lambda method, headers: (200, object_of(etag), BODY))
    assert read(store, 100, 50, etag='"e"') == BODY[100:150]


def test_a_body_that_is_cut_off_is_a_broken_link(between: Callable[[Script], S3Store]) -> None:
    headers = {**object_of(), "Content-Length": str(len(BODY)), "Connection": "close"}
    store = between(lambda method, _: (200, headers, BODY[:500]))
    with pytest.raises(StoreUnavailable):
        read(store, 400, 500)
    with pytest.raises(StoreUnavailable):
        read(store, 600, 50)


def test_what_follows_a_range_that_was_taken_out_is_another_answer(between: Callable[[Script], S3Store]) -> None:
    """The rest of the answer is not taken for the next one."""
    store = between(lambda method, headers: (200, object_of(), BODY))
    for start in (0, 4_000, 9_999):
        assert read(store, start, 7) == BODY[start : start + 7]
