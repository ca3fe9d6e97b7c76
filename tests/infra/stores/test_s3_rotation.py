"""Keys that are replaced under a running process are noticed at the first refusal, whatever is asked for."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelcast.infra.ablation import OWN_HTTP, VARIABLE
from modelcast.infra.stores import S3Store, open_store
from modelcast.infra.stores.s3 import credentials as s3_credentials
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import Refused
from tests.support.servers.http_server import Answer, Request, ScriptedServer
from tests.support.servers.stores import S3ForTests

Rotate = Callable[[str, str], None]
OLD = ("AKIAFORMER", "formersecret")


@pytest.fixture
def bucket(versitygw: S3ForTests) -> str:
    return f"s3://{versitygw.bucket()}"


@pytest.fixture
def rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rotate:
    """Replaces the keys of the profile that this test uses."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "daemon")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def write(key: str, secret: str) -> None:
        lines = f"[daemon]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        (tmp_path / "new").write_text(lines)
        (tmp_path / "new").replace(tmp_path / "credentials")

    return write


@pytest.fixture(params=["own", "boto3"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "boto3":
        monkeypatch.setenv(VARIABLE, OWN_HTTP)
    return str(request.param)


def streamed(store: S3Store) -> bytes:
    buffer = bytearray(100)
    with store.open("there", start=2, length=3) as stream:
        return bytes(buffer[: stream.readinto(memoryview(buffer))])


def uploaded(store: S3Store, folder: Path, size: int, *, grows: bool) -> bool:
    (folder / "file").write_bytes(bytes(size))
    ready = (lambda _: None) if grows else None
    store.upload("new", folder / "file", size_bytes=size, digest=sha256_of(bytes(size)), ready=ready)
    found = store.head("new")
    return found is not None and found.size_bytes == size


ACTS: dict[str, Callable[[S3Store, Path], bool]] = {
    "get": lambda store, _: getattr(store.get("there", size_max=10), "body", b"") == b"0123456789",
    "get absent": lambda store, _: store.get("absent", size_max=10) is None,
    "range": lambda store, _: streamed(store) == b"234",
    "head": lambda store, _: store.head("there") is not None,
    "put": lambda store, _: store.put("new", b"1").size_bytes == 1,
    "claim": lambda store, _: store.put("new", b"1", if_absent=True).size_bytes == 1,
    "list": lambda store, _: [info.key for info in store.list("")] == ["there"],
    "folders": lambda store, _: list(store.folders("")) == [],
    "delete": lambda store, _: (store.delete("there"), store.head("there"))[1] is None,
    "upload": lambda store, folder: uploaded(store, folder, 1_000_000, grows=False),
    "upload of what grows": lambda store, folder: uploaded(store, folder, 1_000_000, grows=True),
    "upload in parts": lambda store, folder: uploaded(store, folder, 20_000_000, grows=False),
}


@pytest.mark.real
@pytest.mark.parametrize("act", ACTS)
def test_replaced_keys_are_read_at_the_first_refusal(
    bucket: str, versitygw: S3ForTests, rotate: Rotate, client: str, act: str, tmp_path: Path
) -> None:
    server = versitygw
    rotate(server.access_key_id, server.secret_access_key)
    open_store(bucket, endpoint_url=server.endpoint_url).put("there", b"0123456789")
    rotate(*OLD)
    store = open_store(bucket, endpoint_url=server.endpoint_url)
    os.environ["AWS_MAX_ATTEMPTS"] = "3"  # other clients than those that know the good keys
    try:
        with pytest.raises(Refused, match="denied access") as caught:
            store.get("there", size_max=10)
        assert "credentials file" in caught.value.hint
        rotate(server.access_key_id, server.secret_access_key)
        assert ACTS[act](store, tmp_path)
    finally:
        del os.environ["AWS_MAX_ATTEMPTS"]


@pytest.mark.real
def test_many_threads_notice_it_at_once(bucket: str, versitygw: S3ForTests, rotate: Rotate, client: str) -> None:
    rotate(*OLD)
    store = open_store(bucket, endpoint_url=versitygw.endpoint_url)
    with pytest.raises(Refused):
        store.head("k")
    rotate(versitygw.access_key_id, versitygw.secret_access_key)
    barrier = threading.Barrier(12)

    def put(i: int) -> str:
        barrier.wait()
        return store.put(f"k{i}", b"1", if_absent=True).key

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(put, range(12))) == sorted(f"k{i}" for i in range(12))


@pytest.mark.real
def test_what_gives_keys_by_a_program_is_asked_again(
    bucket: str, versitygw: S3ForTests, rotate: Rotate, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an expiry, boto3 would keep what the program said for ever."""

    def says(key: str, secret: str) -> None:
        (tmp_path / "answer").write_text(f'{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}"}}')

    (tmp_path / "config").write_text(f"[profile daemon]\ncredential_process = cat {tmp_path / 'answer'}\n")
    says(*OLD)
    store = open_store(bucket, endpoint_url=versitygw.endpoint_url)
    with pytest.raises(Refused):
        store.get("k", size_max=1)
    monkeypatch.setattr(s3_credentials, "READ_AGAIN_SECONDS", 0.0)
    says(versitygw.access_key_id, versitygw.secret_access_key)
    assert store.get("k", size_max=1) is None


@pytest.mark.real
def test_keys_that_come_after_the_start_are_found(
    bucket: str, versitygw: S3ForTests, rotate: Rotate, client: str
) -> None:
    store = open_store(bucket, endpoint_url=versitygw.endpoint_url)
    with pytest.raises(Refused, match="AWS_ACCESS_KEY_ID"):
        store.get("k", size_max=1)
    rotate(versitygw.access_key_id, versitygw.secret_access_key)
    assert store.get("k", size_max=1) is None


@pytest.mark.real
def test_a_file_that_is_half_written_is_read_again_later(
    bucket: str, versitygw: S3ForTests, rotate: Rotate, client: str, tmp_path: Path
) -> None:
    rotate(*OLD)
    store = open_store(bucket, endpoint_url=versitygw.endpoint_url)
    with pytest.raises(Refused, match="denied access"):
        store.put("k", b"", if_absent=True)
    for half in ("[daemon", f"[daemon]\naws_access_key_id = {versitygw.access_key_id}\n", ""):
        (tmp_path / "credentials").write_text(half)
        with pytest.raises(Refused, match="denied access"):
            store.put("k", b"", if_absent=True)
    rotate(versitygw.access_key_id, versitygw.secret_access_key)
    store.put("k", b"", if_absent=True)


class Tokens(ScriptedServer):
    """A store that knows one session token, and counts what it refuses."""

    def __init__(self, status: int, code: str) -> None:
        self.good, self.refused = "first", 0
        self._refusal = (status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
        super().__init__(self._answered)

    def _answered(self, request: Request) -> Answer:
        known = {name.lower(): value for name, value in request.headers.items()}
        good = known.get("x-amz-security-token") == self.good
        self.refused += not good
        status, body = (200, b"1" if request.method == "GET" else b"") if good else self._refusal
        return status, {"x-amz-request-id": "1", "ETag": '"e"'}, body


@pytest.fixture
def tokens(request: pytest.FixtureRequest) -> Iterator[Tokens]:
    with Tokens(*request.param) as one:
        yield one


@pytest.mark.parametrize(
    "tokens",
    [(400, "ExpiredToken"), (403, "ExpiredToken"), (400, "InvalidToken"), (403, "AccessDenied")],
    indirect=True,
)
def test_a_session_token_that_has_expired_is_read_again(
    tokens: Tokens, rotate: Rotate, client: str, tmp_path: Path
) -> None:
    def write(token: str) -> None:
        rotate("AKIAKEY", "secret")
        with (tmp_path / "credentials").open("a") as file:
            file.write(f"aws_session_token = {token}\n")

    write("first")
    store = open_store("s3://bucket", endpoint_url=tokens.url)
    store.put("k", b"1", if_absent=True)
    assert tokens.refused == 0
    tokens.good = "second"
    write("second")
    store.put("k", b"1", if_absent=True)
    found = store.get("k", size_max=1)
    assert found is not None
    assert tokens.refused <= 2  # one on each client
    tokens.good, tokens.refused = "third", 0
    with pytest.raises(Refused, match="denied access"):
        store.get("k", size_max=1)
    assert tokens.refused <= 2, "a refusal is not tried again and again"
