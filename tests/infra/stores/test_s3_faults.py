"""What the S3 adapter says when store, link or settings are wrong. A scripted server stands for the store."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.stores import MemoryStore, S3Store, open_store, prove_conditional_puts
from modelcast.infra.stores.s3 import clients as s3_clients
from modelcast.infra.stores.s3.errors import of_status
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ModelcastError, NotFound, Refused, StoreUnavailable, UsageError
from modelcast.schemas.ports import ObjectInfo, PreconditionFailed
from tests.support.servers.http_server import Answer, Request, ScriptedServer
from tests.support.servers.stores import S3ForTests

Script = Callable[[str, int], Answer]  # (method, number of the request) -> answer


class ScriptedStore(ScriptedServer):
    """A store that answers from a script and remembers who asked what."""

    def __init__(self, script: Script) -> None:
        def answer(request: Request) -> Answer:
            status, headers, body = script(request.method, len(self.requests))
            return status, {"ETag": '"e"', **headers}, body

        super().__init__(answer, idle_seconds=1)

    def store(self) -> S3Store:
        return _store(self.url)


def _store(endpoint_url: str, bucket: str = "bucket") -> S3Store:
    return open_store(f"s3://{bucket}", endpoint_url=endpoint_url, access_key_id="a", secret_access_key="b" * 8)


@pytest.fixture
def scripted() -> Iterator[Callable[[Script], ScriptedStore]]:
    made: list[ScriptedStore] = []

    def start(script: Script) -> ScriptedStore:
        made.append(ScriptedStore(script))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_store_that_is_not_there_is_known_soon() -> None:
    store = _store(f"http://127.0.0.1:{free_ports(1)[0]}")
    started = time.monotonic()
    for act in [
        lambda: store.get("k", size_max=1),
        lambda: store.head("k"),
        lambda: store.put("k", b""),
        lambda: store.put("k", b"", if_absent=True),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
    ]:
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            act()
    assert time.monotonic() - started < 30


@pytest.mark.soak
def test_a_store_that_accepts_and_is_silent_is_known_within_thirty_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            _store(f"http://127.0.0.1:{silent.getsockname()[1]}").get("k", size_max=1)
        assert time.monotonic() - started < 30


def test_a_read_that_meets_a_server_error_is_asked_again(scripted: Callable[[Script], ScriptedStore]) -> None:
    def script(method: str, number: int) -> Answer:
        return (500, {}, b"") if number <= 2 else (200, {"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}, b"body")

    found = scripted(script).store().get("k", size_max=10)
    assert found is not None
    assert found.body == b"body"
    assert found.info.last_modified_us == 1_640_995_200_000_000


def test_a_conditional_put_is_sent_once(scripted: Callable[[Script], ScriptedStore]) -> None:
    server = scripted(lambda method, number: (503, {}, b""))
    with pytest.raises(StoreUnavailable):
        server.store().put("k", b"", if_absent=True)
    with pytest.raises(StoreUnavailable):
        server.store().put("k", b"", if_match='"e"')
    assert server.requests == ["PUT", "PUT"]


def test_a_conditional_put_whose_answer_is_lost_is_not_sent_again(scripted: Callable[[Script], ScriptedStore]) -> None:
    def script(method: str, number: int) -> Answer:
        if number == 2:
            raise ConnectionAbortedError("the link breaks after the store acted")
        return 200, {}, b""

    server = scripted(script)
    server.store().put("k", b"", if_absent=True)
    with pytest.raises(StoreUnavailable):
        server.store().put("k", b"", if_absent=True)  # on the connection that was kept
    assert server.requests == ["PUT", "PUT"]


def test_an_unconditional_put_is_retried(scripted: Callable[[Script], ScriptedStore]) -> None:
    server = scripted(lambda method, number: (503 if number == 1 else 200, {}, b""))
    server.store().put("k", b"")
    assert server.requests == ["PUT", "PUT"]


def test_a_conflict_is_not_a_loss(scripted: Callable[[Script], ScriptedStore]) -> None:
    body = b"<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>"
    with pytest.raises(StoreUnavailable):
        scripted(lambda method, number: (409, {}, body)).store().put("k", b"", if_absent=True)


@pytest.mark.parametrize("way", ["upload", "put"])
def test_a_slow_link_may_take_longer_than_the_time_outs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(s3_clients, "CONNECT_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(s3_clients, "READ_TIMEOUT_SECONDS", 1)
    body = bytes(15 * 1024 * 1024)  # more than the kernel's buffers hold, and one request
    (tmp_path / "f").write_bytes(body)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = threading.Thread(target=_read_slowly, args=(listening, len(body), 3.0))
        server.start()
        if way == "upload":
            _store(address).upload("k", tmp_path / "f", size_bytes=len(body), digest=sha256_of(body))
        else:
            _store(address).put("k", body)
        server.join()


def _read_slowly(listening: socket.socket, size_bytes: int, seconds: float) -> None:
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as request:
        while (line := request.readline()) != b"\r\n":
            if line.lower().startswith(b"expect: 100"):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for _ in range(20):
            request.read(size_bytes // 20)
            time.sleep(seconds / 20)
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')


def test_a_link_that_breaks_inside_the_body_is_noticed(scripted: Callable[[Script], ScriptedStore]) -> None:
    server = scripted(lambda method, number: (200, {"Content-Length": "100", "Connection": "close"}, b"half"))
    with pytest.raises(StoreUnavailable, match="96 bytes before the end"):
        server.store().get("k", size_max=100)


def test_a_read_gives_what_has_arrived(scripted: Callable[[Script], ScriptedStore]) -> None:
    """So that a reader can notice that a link trickles, and be cancelled."""
    server = scripted(lambda method, number: (200, {"Content-Length": "100"}, b"half"))
    with server.store().open("k") as stream:
        buffer = memoryview(bytearray(100))
        assert stream.readinto(buffer) == 4
        assert buffer[:4] == b"half"


def test_a_read_through_a_proxy_waits_for_little(
    scripted: Callable[[Script], ScriptedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boto3 gives what it was asked for or waits, and what it holds is lost if the link breaks."""
    arrived = 200_000
    headers = {"Content-Length": "1000000", "Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT"}
    server = scripted(lambda method, number: (200, headers, bytes(arrived)))
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    with _store("http://store.invalid").open("k") as stream:
        assert 0 < stream.readinto(memoryview(bytearray(1_000_000))) < arrived


def test_a_connection_that_the_store_hung_up_on_is_replaced(scripted: Callable[[Script], ScriptedStore]) -> None:
    server = scripted(lambda method, number: (200, {}, b"body"))
    store = server.store()
    for _ in range(3):
        assert store.get("k", size_max=10) is not None
        time.sleep(1.2)  # the server closes idle connections after one second
    assert server.requests == ["GET"] * 3


def test_a_store_that_ignores_conditions_is_refused(scripted: Callable[[Script], ScriptedStore]) -> None:
    with pytest.raises(Refused, match="ignores If-None-Match") as caught:
        prove_conditional_puts(scripted(lambda method, number: (200, {}, b"")).store())
    assert caught.value.hint


class IgnoresIfMatch(MemoryStore):
    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        return super().put(key, body, if_absent=if_absent)


class RefusesIfMatch(MemoryStore):
    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        if if_match is not None:
            raise PreconditionFailed("no")
        return super().put(key, body, if_absent=if_absent)


@pytest.mark.parametrize(
    ("store", "complaint"), [(IgnoresIfMatch(), "ignores If-Match"), (RefusesIfMatch(), "whose If-Match held")]
)
def test_half_a_conditional_store_is_refused_too(store: MemoryStore, complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        prove_conditional_puts(store)
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", Refused),
        (401, "", Refused),
        (403, "RequestTimeTooSkewed", Refused),
        (400, "InvalidRequest", Refused),
        (501, "NotImplemented", Refused),
        (400, "RequestTimeout", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (429, "", StoreUnavailable),
        (409, "ConditionalRequestConflict", StoreUnavailable),
        (404, "NoSuchBucket", StoreUnavailable),
        (404, "NoSuchKey", NotFound),
        (412, "PreconditionFailed", PreconditionFailed),
    ],
)
def test_s3_errors_have_meanings(status: int, code: str, kind: type[ModelcastError]) -> None:
    error = of_status(status, code, "said", "s3://bucket/key")
    assert type(error) is kind
    assert error.subject == "s3://bucket/key"


@pytest.mark.parametrize("url", ["bucket", "http://host/bucket", "s3://", "s3://b/p?x=1", ""])
def test_a_bad_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url)


def test_credentials_are_never_shown() -> None:
    store = open_store("s3://b/p", access_key_id="AKIA", secret_access_key="hush")
    assert store.name == "s3://b/p"
    assert "hush" not in repr(store._endpoint)
    assert "AKIA" not in repr(store._endpoint)


@pytest.mark.real
def test_wrong_credentials_and_missing_buckets_are_named(versitygw: S3ForTests) -> None:
    bucket = versitygw.bucket()
    with pytest.raises(Refused, match="denied access"):
        _store(versitygw.endpoint_url, bucket).get("k", size_max=1)
    missing = open_store(
        "s3://no-such-bucket-here",
        endpoint_url=versitygw.endpoint_url,
        region=versitygw.region,
        access_key_id=versitygw.access_key_id,
        secret_access_key=versitygw.secret_access_key,
    )
    for act in [lambda: missing.get("k", size_max=1), lambda: missing.put("k", b""), lambda: list(missing.list(""))]:
        with pytest.raises(StoreUnavailable, match="no such bucket"):
            act()
