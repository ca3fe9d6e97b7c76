"""This machine's clock is wrong, for a while or for good: what is said, what is kept, what is swept."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore import auth

from modelcast.consumers.fetch import ArtifactCache, Fetcher, FetchReport
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import Refused, StoreUnavailable
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, Wrapped, manifest_of, noise, publish, tree
from tests.faults.shaky_store import ShakyStore

FILES = {"weights": noise(6 * MIB + 321, 1), "vocab": noise(300_000, 2)}
TOTAL = sum(map(len, FILES.values()))
TEN_YEARS = timedelta(days=3653)


@contextmanager
def clock_off(by: timedelta) -> Iterator[None]:
    """What the machine's clock says, to us and to those who sign for us. Monotonic ones are not concerned."""
    right = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + by.total_seconds())
        patch.setattr(auth, "get_current_datetime", lambda: datetime.now(UTC).replace(tzinfo=None) + by)
        yield


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def check_whole(cache: ArtifactCache, manifest: Manifest) -> None:
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == FILES


# --- stores compare the date of a signature with their own clock


@pytest.fixture
def strict() -> Iterator[ShakyStore]:
    manifest = manifest_of(FILES)
    objects = {keys.blob(file.digest): FILES[file.path] for file in manifest.files}
    with ShakyStore({**objects, keys.manifest(manifest.digest): manifest.encode()}) as store:
        store.clock = lambda: datetime.now(UTC)
        yield store


@pytest.mark.integration
@pytest.mark.parametrize("off_by", [TEN_YEARS, -TEN_YEARS, timedelta(hours=1)], ids=["ahead", "behind", "an hour"])
def test_a_store_that_refuses_our_clock_is_named_so_and_serves_once_it_is_right(
    strict: ShakyStore, cache: ArtifactCache, off_by: timedelta
) -> None:
    manifest = manifest_of(FILES)
    fetcher = Fetcher(strict.store(), None, cache)
    with clock_off(off_by), pytest.raises(Refused, match=r"RequestTimeTooSkewed.*clock is wrong"):
        fetcher.fetch(manifest.digest)
    assert not cache.has(manifest.digest)
    fetcher.fetch(manifest.digest)
    check_whole(cache, manifest)


@pytest.mark.integration
def test_a_clock_that_jumps_midway_costs_nothing_of_what_came(strict: ShakyStore, cache: ArtifactCache) -> None:
    manifest = manifest_of(FILES)
    fetcher = Fetcher(strict.store(), None, cache)
    strict.cut_after = lambda: 5 * MIB // 4  # so that there is something left to ask for
    strict.clock = lambda: datetime.now(UTC) + (TEN_YEARS if strict.sent_bytes > 3 * MIB else timedelta())
    with pytest.raises(Refused, match=r"RequestTimeTooSkewed.*clock is wrong"):
        fetcher.fetch(manifest.digest)
    before = strict.sent_bytes
    strict.cut_after, strict.clock = (lambda: None), (lambda: datetime.now(UTC))
    fetcher.fetch(manifest.digest)
    check_whole(cache, manifest)
    assert strict.sent_bytes - before <= TOTAL - 2 * MIB


# --- what was left behind is judged by its age


class Paused(Wrapped):
    """Stands still in the middle of a blob, until it is told to go on, or to break."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.stands, self.goes_on = threading.Event(), threading.Event()
        self.breaks = False

    def on_read(self, count: int) -> None:
        super().on_read(count)
        if self.blob_bytes_read >= 3 * MIB:
            self.stands.set()
            assert self.goes_on.wait(60)
            if self.breaks:
                raise StoreUnavailable("gone")


def wrong_clock(_: Path, by: timedelta) -> timedelta:
    return by


def wrong_folder(folder: Path, by: timedelta) -> timedelta:
    """The folder was touched while the clock was wrong the other way."""
    touched = time.time() - by.total_seconds()
    os.utime(folder, (touched, touched))
    return timedelta()


Wrong = Callable[[Path, timedelta], timedelta]
wrongs = pytest.mark.parametrize("wrong", [wrong_clock, wrong_folder])
"""Make the age of an unfinished fetch look too great by so much, or too small; how far the clock is to be off then."""


Begun = tuple[Manifest, Paused, threading.Thread, list[object]]


@pytest.fixture
def begun(cache: ArtifactCache) -> Iterator[Begun]:
    """A fetch that stands still midway, and what will come of it."""
    store, results = MemoryStore("origin"), list[object]()
    manifest = publish(store, FILES)
    origin = Paused(store)

    def fetch() -> None:
        try:
            results.append(Fetcher(origin, None, cache).fetch(manifest.digest))
        except StoreUnavailable as error:
            results.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    assert origin.stands.wait(60)
    yield manifest, origin, thread, results
    origin.goes_on.set()
    thread.join(60)


@wrongs
@pytest.mark.parametrize("by", [TEN_YEARS, -TEN_YEARS], ids=["too old", "too young"])
def test_what_somebody_works_on_is_never_swept(cache: ArtifactCache, begun: Begun, wrong: Wrong, by: timedelta) -> None:
    manifest, origin, thread, results = begun
    folder = cache.folder / "incoming" / hex_of(manifest.digest)
    with clock_off(wrong(folder, by)):
        ArtifactCache(cache.folder)  # another process starts
    assert folder.is_dir()
    origin.goes_on.set()
    thread.join(60)
    assert [result.bytes_moved for result in results if isinstance(result, FetchReport)] == [TOTAL]
    check_whole(cache, manifest)


@wrongs
@pytest.mark.parametrize("by", [TEN_YEARS, -TEN_YEARS], ids=["too old", "too young"])
def test_what_nobody_works_on_is_swept_when_it_looks_old_and_gone_on_with_when_it_does_not(
    cache: ArtifactCache, begun: Begun, wrong: Wrong, by: timedelta
) -> None:
    manifest, origin, thread, results = begun
    folder = cache.folder / "incoming" / hex_of(manifest.digest)
    origin.breaks = True
    origin.goes_on.set()
    thread.join(60)
    assert [type(result) for result in results] == [StoreUnavailable]
    with clock_off(wrong(folder, by)):
        again = ArtifactCache(cache.folder)
        assert folder.is_dir() == (by < timedelta())
        assert list((cache.folder / "trash").iterdir()) == []
        moved = Fetcher(origin.store, None, again).fetch(manifest.digest).bytes_moved
    assert moved == TOTAL if by > timedelta() else moved <= TOTAL - 2 * MIB
    check_whole(again, manifest)
