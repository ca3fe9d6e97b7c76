"""Uploads that are interrupted and begun again, counted at the link."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from modelcast.infra.local.servers.s3 import client_for
from modelcast.infra.stores import S3Store, open_store
from modelcast.infra.stores.s3 import unfinished as s3_unfinished
from modelcast.infra.stores.s3.etags import etag_fits
from modelcast.infra.stores.s3.parts import PART_SIZE_MIN_BYTES, PARTS_MAX, part_size_of
from modelcast.infra.stores.s3.upload import PARTS_IN_FLIGHT
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import StoreUnavailable, VerificationFailed
from tests.support.network.cutting_proxy import CuttingProxy
from tests.support.servers.stores import S3ForTests

MIB = 1024 * 1024
SIZE = 73 * MIB + 12_345
PARTS = -(-SIZE // PART_SIZE_MIN_BYTES)
HEADERS = 4096  # a request's first lines, signature and all, and a few small requests a run


@pytest.fixture(
    params=[pytest.param("s3", marks=pytest.mark.integration), pytest.param("versitygw", marks=pytest.mark.real)]
)
def server(request: pytest.FixtureRequest) -> S3ForTests:
    found: S3ForTests = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def proxy(server: S3ForTests) -> Iterator[CuttingProxy]:
    with CuttingProxy(server.endpoint_url) as one:
        yield one


@pytest.fixture(scope="module")
def body() -> bytes:
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def file(tmp_path: Path, body: bytes) -> Path:
    (tmp_path / "blob").write_bytes(body)
    return tmp_path / "blob"


@pytest.fixture
def bucket(server: S3ForTests) -> str:
    return server.bucket()


def store_at(server: S3ForTests, bucket: str, endpoint_url: str) -> S3Store:
    return open_store(
        f"s3://{bucket}/some/prefix",
        endpoint_url=endpoint_url,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
    )


def open_uploads(server: S3ForTests, bucket: str) -> list[str]:
    return [u["Key"] for u in client_for(server.endpoint_url).list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def stored(store: S3Store, key: str) -> str:
    found = store.get(key, size_max=SIZE)
    assert found is not None
    return sha256_of(found.body)


def test_what_was_sent_before_a_cut_is_not_sent_again(
    server: S3ForTests, proxy: CuttingProxy, bucket: str, file: Path, body: bytes
) -> None:
    store, digest, cuts = store_at(server, bucket, proxy.endpoint_url), sha256_of(body), 3
    for cut in range(cuts):
        proxy.cut_after((30 if cut == 0 else 25) * MIB)
        with pytest.raises(StoreUnavailable):
            store.upload("blobs/x", file, size_bytes=SIZE, digest=digest)
        proxy.mend()
        assert store.head("blobs/x") is None
    moved: list[int] = []
    before = proxy.sent_bytes
    store.upload("blobs/x", file, size_bytes=SIZE, digest=digest, progress=moved.append)
    assert stored(store, "blobs/x") == digest
    assert sum(moved) == SIZE
    assert proxy.sent_bytes - before < SIZE - 3 * PART_SIZE_MIN_BYTES
    lost_at_most = cuts * PARTS_IN_FLIGHT * PART_SIZE_MIN_BYTES
    assert proxy.sent_bytes < SIZE + lost_at_most + (PARTS + cuts) * 3 * HEADERS
    assert open_uploads(server, bucket) == []


def test_parts_of_other_bytes_are_sent_again(
    server: S3ForTests, proxy: CuttingProxy, bucket: str, file: Path, body: bytes, tmp_path: Path
) -> None:
    store = store_at(server, bucket, proxy.endpoint_url)
    (tmp_path / "other").write_bytes(bytes(SIZE))
    proxy.cut_after(40 * MIB)
    with pytest.raises(StoreUnavailable):
        store.upload("blobs/x", tmp_path / "other", size_bytes=SIZE, digest=sha256_of(bytes(SIZE)))
    proxy.mend()
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body))
    assert stored(store, "blobs/x") == sha256_of(body)


def test_a_file_that_changed_leaves_neither_object_nor_upload(
    server: S3ForTests, bucket: str, file: Path, body: bytes
) -> None:
    store = store_at(server, bucket, server.endpoint_url)
    with file.open("r+b") as out:
        out.seek(SIZE - 1)
        out.write(b"\x00" if body[-1] else b"\x01")
    with pytest.raises(VerificationFailed):
        store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body))
    assert store.head("blobs/x") is None
    assert open_uploads(server, bucket) == []


def test_what_grows_goes_with_one_request(
    server: S3ForTests, proxy: CuttingProxy, bucket: str, file: Path, body: bytes
) -> None:
    store, moved = store_at(server, bucket, proxy.endpoint_url), list[int]()
    asked: list[int] = []
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), progress=moved.append, ready=asked.append)
    assert stored(store, "blobs/x") == sha256_of(body)
    info = store.head("blobs/x")
    assert info is not None
    assert "-" not in info.etag, "it went in parts"
    assert proxy.sent_bytes < SIZE + 2 * HEADERS
    assert sum(moved) == SIZE
    assert asked == sorted(asked)
    assert max(b - a for a, b in itertools.pairwise(asked)) <= MIB


def test_what_grows_goes_in_parts_where_one_request_does_not_go(
    server: S3ForTests, proxy: CuttingProxy, bucket: str, file: Path, body: bytes
) -> None:
    store, moved = store_at(server, bucket, proxy.endpoint_url), list[int]()
    proxy.cut_after(30 * MIB)

    def mend() -> None:
        while not proxy.is_cut:
            time.sleep(0.01)
        proxy.mend()

    mending = threading.Thread(target=mend, daemon=True)
    mending.start()
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), progress=moved.append, ready=lambda _: None)
    assert not mending.is_alive()
    assert stored(store, "blobs/x") == sha256_of(body)
    assert proxy.sent_bytes > SIZE + 29 * MIB
    assert sum(moved) == SIZE
    assert open_uploads(server, bucket) == []


def test_what_grows_beyond_all_measure_goes_in_parts_at_once(
    server: S3ForTests, bucket: str, file: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.infra.stores.s3.store.STREAM_MAX_BYTES", SIZE - 1)
    store, asked = store_at(server, bucket, server.endpoint_url), list[int]()
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), ready=asked.append)
    assert stored(store, "blobs/x") == sha256_of(body)
    info = store.head("blobs/x")
    assert info is not None
    assert info.etag.strip('"').endswith(f"-{PARTS}")
    assert asked[0] == PART_SIZE_MIN_BYTES


def test_a_growing_file_that_is_cut_off_leaves_nothing(
    server: S3ForTests, proxy: CuttingProxy, bucket: str, file: Path, body: bytes
) -> None:
    store = store_at(server, bucket, proxy.endpoint_url)
    proxy.cut_after(SIZE - MIB)
    with pytest.raises(StoreUnavailable):
        store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), ready=lambda _: None)
    assert store_at(server, bucket, server.endpoint_url).head("blobs/x") is None
    proxy.mend()
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), ready=lambda _: None)
    assert stored(store, "blobs/x") == sha256_of(body)


@pytest.mark.parametrize("truth", [True, False])
def test_stale_uploads_of_the_same_folder_are_ended_and_others_left_alone(
    server: S3ForTests, bucket: str, file: Path, body: bytes, monkeypatch: pytest.MonkeyPatch, truth: bool
) -> None:
    client = client_for(server.endpoint_url)
    for key in ("some/prefix/blobs/a", "some/prefix/other/b", "elsewhere/blobs/c"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    store = store_at(server, bucket, server.endpoint_url)
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body))
    assert sorted(open_uploads(server, bucket)) == ["elsewhere/blobs/c", "some/prefix/blobs/a", "some/prefix/other/b"]
    monkeypatch.setattr(s3_unfinished, "STALE_AFTER", timedelta(seconds=-60))
    monkeypatch.setattr(s3_unfinished, "UNTRUE_AFTER", timedelta(days=36500) if truth else timedelta(seconds=-60))
    store.upload("blobs/y", file, size_bytes=SIZE, digest=sha256_of(body))
    ended = set() if not truth else {"some/prefix/blobs/a"}
    assert (
        set(open_uploads(server, bucket)) == {"elsewhere/blobs/c", "some/prefix/blobs/a", "some/prefix/other/b"} - ended
    )


@pytest.mark.real
def test_an_upload_that_another_publisher_ended_is_begun_anew(
    versitygw: S3ForTests, file: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, bucket = versitygw, versitygw.bucket()
    store = store_at(server, bucket, server.endpoint_url)
    client = client_for(server.endpoint_url)
    gone = client.create_multipart_upload(Bucket=bucket, Key="some/prefix/blobs/x")["UploadId"]
    client.abort_multipart_upload(Bucket=bucket, Key="some/prefix/blobs/x", UploadId=gone)
    answers = [s3_unfinished.Unfinished(gone, {})]
    monkeypatch.setattr("modelcast.infra.stores.s3.upload.unfinished", lambda *_: answers.pop() if answers else None)
    moved: list[int] = []
    store.upload("blobs/x", file, size_bytes=SIZE, digest=sha256_of(body), progress=moved.append)
    assert stored(store, "blobs/x") == sha256_of(body)
    assert (sum(moved), answers) == (SIZE, [])


@pytest.mark.parametrize("size", [0, 1000, 3 * MIB, SIZE])
def test_an_etag_tells_whether_the_store_has_these_bytes(
    server: S3ForTests, bucket: str, file: Path, body: bytes, size: int
) -> None:
    store = store_at(server, bucket, server.endpoint_url)
    file.write_bytes(body[:size])
    store.upload("blobs/x", file, size_bytes=size, digest=sha256_of(body[:size]))
    found = store.head("blobs/x")
    assert found is not None
    assert etag_fits(found.etag, file, size)
    if size:
        file.write_bytes(body[1 : size + 1])
        assert not etag_fits(found.etag, file, size)
    assert not etag_fits('"something-else"', file, size)


@pytest.mark.parametrize("size", [1, 33 * MIB, 4 * 1024 * MIB, 5 * 1024 * 1024 * MIB])
def test_parts_are_neither_too_small_nor_too_many(size: int) -> None:
    part = part_size_of(size)
    assert part >= 5 * MIB
    assert -(-size // part) <= PARTS_MAX
    assert part % MIB == 0
