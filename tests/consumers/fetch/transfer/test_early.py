"""The manifest of a small artifact is asked for near and far at once."""

import threading
from collections.abc import Callable

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.consumers.fetch.transfer.early import started
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectStore, StoredObject
from tests.consumers.fetch.publishing import Wrapped, cached, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")

DEADLINE_SECONDS = 60.0
SMALL = {"model.onnx": noise(1000)}


class Watched(Wrapped):
    """Calls ``before(key)`` before an object is read."""

    def __init__(self, store: ObjectStore, before: Callable[[str], None]) -> None:
        super().__init__(store)
        self._before = before

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self._before(key)
        return super().get(key, size_max=size_max)


def test_the_origin_is_asked_before_the_region_has_answered(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, SMALL)
    asked = threading.Event()
    in_time: list[bool] = []
    near = Watched(region, lambda _: in_time.append(asked.wait(DEADLINE_SECONDS)))
    far = Watched(origin, lambda _: asked.set())
    Fetcher(far, near, cache).fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert in_time and all(in_time)
    assert cached(cache, manifest) == SMALL


def test_what_the_region_has_does_not_wait_for_an_origin_that_does_not_answer(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, SMALL)
    publish(region, SMALL)
    released = threading.Event()
    frozen = Watched(origin, lambda _: released.wait(DEADLINE_SECONDS) and None)
    try:
        report = Fetcher(frozen, region, cache).fetch(manifest.digest, size_bytes=manifest.size_bytes)
        assert not released.is_set()
    finally:
        released.set()
    assert report.bytes_moved == 0
    assert frozen.blobs_opened == []


def test_an_origin_that_fails_once_is_asked_again(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, SMALL)
    failures = [StoreUnavailable("away", subject="origin")]

    def fail_once(key: str) -> None:
        if key == keys.manifest(manifest.digest) and failures:
            raise failures.pop()

    Fetcher(Watched(origin, fail_once), region, cache).fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert not failures
    assert cached(cache, manifest) == SMALL


def test_what_failed_early_is_nothing() -> None:
    def fail() -> int:
        raise OSError

    assert started(fail)() is None
    assert started(lambda: 5)() == 5
