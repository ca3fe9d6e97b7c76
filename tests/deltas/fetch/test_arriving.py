"""A delta is applied while it arrives, and what is made of it enters the region meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, FetchCancelled, Fetcher
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ByteStream, PreconditionFailed, Ready
from tests.consumers.fetch.publishing import MIB, Wrapped, cached, noise, publish
from tests.deltas.fetch.offering import by_delta, kin, offer

pytestmark = pytest.mark.usefixtures("short_pauses")

OLD = noise(24 * MIB, 1)
NEW = b"".join(noise(MIB // 2, 10 + at) + OLD[at * MIB + MIB // 2 : (at + 1) * MIB] for at in range(24))
"""Half of it is new, so that the delta has a dozen blocks; a chunk of it makes 8 MiB."""
PATIENCE_SECONDS = 60.0


@pytest.fixture
def versions(origin: MemoryStore, cache: ArtifactCache) -> dict[int, Manifest]:
    """Version 1 is in the cache; version 2 is to come by a delta."""
    first = publish(origin, {"weights": OLD})
    Fetcher(origin, None, cache).fetch(first.digest)
    second = publish(origin, {"weights": NEW})
    offer(origin, second, OLD, NEW)
    return {1: first, 2: second}


def test_the_beginning_of_a_file_is_in_the_region_before_the_end_of_its_delta_has_come(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    has_begun = threading.Event()

    class Reads(Wrapped):
        def on_upload(self, path: Path, ready: Ready | None) -> None:
            if ready:
                ready(4 * MIB)
                assert path.read_bytes()[: 4 * MIB] == NEW[: 4 * MIB]
                has_begun.set()

    class HoldsBackTheEnd(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            if key.startswith("deltas/") and start >= 8 * MIB:
                assert has_begun.wait(PATIENCE_SECONDS), "the whole delta is waited for"
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield stream

    reads = Reads(region)
    report = by_delta(HoldsBackTheEnd(origin), reads, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert report.way == "delta from 1"
    assert has_begun.is_set()
    assert cached(cache, versions[2]) == {"weights": NEW}
    assert reads.uploads == [keys.blob(versions[2].files[0].digest)]


def test_a_delta_that_is_replaced_while_it_is_applied_begins_anew(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    replaced = []

    class ReplacesOnce(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            if key.startswith("deltas/") and etag and not replaced:
                replaced.append(key)
                raise PreconditionFailed("another object", subject=key)
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield stream

    report = by_delta(ReplacesOnce(origin), None, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert replaced
    assert report.way == "delta from 1"
    assert cached(cache, versions[2]) == {"weights": NEW}


def test_a_rebuild_that_was_cut_off_brings_only_the_rest(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    """What was made and what came of the delta are both kept: neither crosses twice."""
    stop = threading.Event()

    class Cuts(Wrapped):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            if self.blob_bytes_read >= 10 * MIB:
                stop.set()

    cut = Cuts(origin)
    size = next(iter(origin.list(keys.delta_prefix(versions[2].digest)))).size_bytes
    with pytest.raises(Exception, match="cancel"):
        by_delta(cut, None, cache).fetch(versions[2].digest, candidates=kin(versions), cancel=stop)
    again = Wrapped(origin)
    by_delta(again, None, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert cached(cache, versions[2]) == {"weights": NEW}
    assert cut.blob_bytes_read + again.blob_bytes_read == size
    assert size > 11 * MIB


def test_deltas_are_looked_for_while_the_manifest_is_on_its_way(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    listed = threading.Event()

    class ListsFirst(Wrapped):
        def get(self, key: str, *, size_max: int) -> object:  # type: ignore[override]
            if key == keys.manifest(versions[2].digest):
                assert listed.wait(PATIENCE_SECONDS), "one waits for the other"
            return super().get(key, size_max=size_max)

        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            listed.set()
            return super().list(prefix, start_after=start_after)

    report = by_delta(ListsFirst(origin), None, cache).fetch(
        versions[2].digest, size_bytes=len(NEW), candidates=kin(versions)
    )
    assert report.way == "delta from 1"


@pytest.mark.parametrize("last", [bytes(2 * MIB), NEW[-2 * MIB :]], ids=["zeros", "not zeros"])
def test_a_delta_that_breaks_off_is_followed_by_the_whole_though_the_file_is_entering_the_region(
    last: bytes, origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    """Blocks that nobody brought may be right all the same: of zeros, as what was reserved is."""
    new = NEW[: -len(last)] + last
    third = publish(origin, {"weights": new})
    offer(origin, third, OLD, new)

    class Breaks(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            if key.startswith("deltas/") and start >= 8 * MIB:
                raise StoreUnavailable("broken", subject=key)
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield stream

    wanted = {1: versions[1], 2: third}
    report = by_delta(Breaks(origin), region, cache).fetch(third.digest, candidates=kin(wanted))
    assert report.way != "delta from 1"
    assert cached(cache, third) == {"weights": new}
    assert region.head(keys.blob(third.files[0].digest)) is not None


def test_two_files_are_made_of_one_base_that_only_the_region_has(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, tmp_path: Path
) -> None:
    first = publish(origin, {"weights": OLD})
    Fetcher(origin, region, ArtifactCache(tmp_path / "other")).fetch(first.digest)
    new = {"ema": NEW, "weights": NEW[: 20 * MIB] + OLD[20 * MIB :]}
    second = publish(origin, new)
    sizes = 0
    for body in new.values():
        sizes += origin.head(offer(origin, second, OLD, body)).size_bytes  # type: ignore[union-attr]
    report = by_delta(origin, region, cache).fetch(second.digest, candidates=kin({1: first, 2: second}, {1: sizes}))
    assert report.way == "2 deltas from 1"
    assert report.bytes_moved == sizes
    assert cached(cache, second) == new


def test_who_gives_up_does_not_wait_for_a_region_that_does_not_answer(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    holds, hangs, answers = threading.Event(), threading.Event(), threading.Event()

    class Hangs(Wrapped):
        def on_upload(self, path: Path, ready: Ready | None) -> None:
            hangs.set()
            holds.set()
            assert answers.wait(PATIENCE_SECONDS)

    fetched: list[BaseException] = []

    def fetch() -> None:
        try:
            by_delta(origin, Hangs(region), cache).fetch(versions[2].digest, candidates=kin(versions), cancel=holds)
        except FetchCancelled as error:
            fetched.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert hangs.is_set()
    assert fetched, "it waits for the region"
    answers.set()
