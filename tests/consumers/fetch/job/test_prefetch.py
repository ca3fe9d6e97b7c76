"""What was announced is asked for before the log was read, and nothing more comes of it."""

import threading
import time

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.consumers.fetch.job.prefetch import KEPT_MAX, KEPT_SECONDS, Prefetch
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore, StoredObject
from tests.consumers.fetch.publishing import MIB, Wrapped, cached, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")

DEADLINE_SECONDS = 60.0
LARGE = {"weights": noise(2 * MIB + 5, 8)}


class Asked(Wrapped):
    """Notes which keys are read and what is listed, and how many connections were asked for."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self.got: list[str] = []
        self.warmed: list[int] = []
        self.fails = False
        self._changed = threading.Condition()

    def warm(self, connections: int) -> None:
        self.warmed.append(connections)

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        with self._changed:
            self.got.append(key)
            self._changed.notify_all()
        if self.fails:
            self.fails = False
            raise StoreUnavailable("away")
        return super().get(key, size_max=size_max)

    def wait_for(self, key: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: key in self.got, DEADLINE_SECONDS), f"nobody asked for {key}"


def test_a_manifest_that_was_prefetched_is_asked_for_once(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest, asked = publish(origin, LARGE), Asked(origin)
    fetcher = Fetcher(asked, region, cache)
    fetcher.prefetch(manifest.digest, size_bytes=manifest.size_bytes)
    asked.wait_for(keys.manifest(manifest.digest))
    assert asked.blobs_opened == []
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert cached(cache, manifest) == LARGE
    assert asked.got == [keys.manifest(manifest.digest)]


def test_what_did_not_come_is_asked_for_again(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    manifest, asked = publish(origin, LARGE), Asked(origin)
    asked.fails = True
    fetcher = Fetcher(asked, region, cache)
    fetcher.prefetch(manifest.digest, size_bytes=manifest.size_bytes)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert cached(cache, manifest) == LARGE
    assert asked.got == [keys.manifest(manifest.digest)] * 2


def test_what_an_announcement_names_beside_the_manifest_is_not_read_on_its_word(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, LARGE)
    origin.put("elsewhere", b"{}")
    asked = Asked(origin)
    fetcher = Fetcher(asked, region, cache)
    fetcher.prefetch(manifest.digest, "elsewhere", size_bytes=manifest.size_bytes)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert asked.got == [keys.manifest(manifest.digest)]
    assert cached(cache, manifest) == LARGE


def test_connections_are_opened_beside_the_manifest(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest, asked = publish(origin, LARGE), Asked(origin)
    Fetcher(asked, region, cache).fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert asked.warmed == [4]
    small, asked = publish(origin, {"w": b"small"}), Asked(origin)
    Fetcher(asked, region, cache).fetch(small.digest, size_bytes=small.size_bytes)
    assert asked.warmed == []


def test_nothing_is_asked_for_that_is_here_or_small(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest, asked = publish(origin, LARGE), Asked(origin)
    fetcher = Fetcher(asked, region, cache)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    asked.got.clear()
    fetcher.prefetch(manifest.digest, size_bytes=manifest.size_bytes)
    fetcher.prefetch(sha256_of(b"another"), size_bytes=1000)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert asked.got == []


class World:
    """A foresight with a clock of its own."""

    def __init__(self) -> None:
        self.now, self.reads = 0.0, 0
        self.foresight = Prefetch(lambda: self.now)
        self.answers = threading.Event()
        self.answers.set()

    def begin(self, name: str) -> bool:
        digest = sha256_of(name.encode())
        return self.foresight.begin(digest, self._read)

    def _read(self) -> Manifest:
        assert self.answers.wait(DEADLINE_SECONDS)
        self.reads += 1
        raise StoreUnavailable("away")

    def wait_for_reads(self, count: int) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while self.reads < count or self.foresight._running:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_what_nobody_waits_for_any_more_still_counts_while_it_runs() -> None:
    world = World()
    world.answers.clear()
    assert all(world.begin(f"{n}") for n in range(KEPT_MAX))
    world.now += KEPT_SECONDS
    assert not world.begin("later")
    world.answers.set()
    world.wait_for_reads(KEPT_MAX)
    assert world.begin("later")


def test_only_so_much_is_prefetched_at_once_and_not_for_long() -> None:
    world = World()
    assert [world.begin(f"{n}") for n in range(KEPT_MAX + 2)] == [True] * KEPT_MAX + [False] * 2
    assert not world.begin("0")
    assert world.foresight.take(sha256_of(b"0")) is not None
    assert world.foresight.take(sha256_of(b"0")) is None
    world.wait_for_reads(KEPT_MAX)
    assert world.begin("one more")
    world.now += KEPT_SECONDS
    assert world.foresight.take(sha256_of(b"1")) is None
    world.wait_for_reads(KEPT_MAX + 1)
    assert all(world.begin(f"later {n}") for n in range(KEPT_MAX))
    world.wait_for_reads(2 * KEPT_MAX + 1)
