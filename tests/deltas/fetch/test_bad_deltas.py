"""Whatever is wrong with a delta, the right bytes arrive by the next way."""

import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from modelcast.consumers.fetch import ArtifactCache, BlobMissing, Fetcher
from modelcast.deltas.codec.container import HEADER_SIZE
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import Refused, StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ByteStream
from tests.consumers.fetch.publishing import MIB, OLD, SMALL, Failing, Wrapped, cached, noise, publish, step_from
from tests.deltas.fetch.offering import NEW, NEXT, by_delta, kin, made, nothing_left, offer, patient
from tests.support.lanes import often

pytestmark = pytest.mark.usefixtures("short_pauses")


def flipped(body: bytes) -> bytes:
    at = len(body) - 10
    return body[:at] + bytes([body[at] ^ 0x40]) + body[at + 1 :]


def lying(body: bytes, *, size_bytes: int | None = None, digest: str | None = None) -> bytes:
    """Its header says that it makes something else than it does, with the right checksum."""
    head = bytearray(body[: HEADER_SIZE - 4])
    if size_bytes is not None:
        struct.pack_into("<Q", head, NEW_SIZE_AT, size_bytes)
    if digest is not None:
        head[NEW_SIZE_AT + 8 : NEW_SIZE_AT + 40] = bytes.fromhex(digest.removeprefix("sha256:"))
    return bytes(head) + struct.pack("<I", zlib.crc32(head)) + body[HEADER_SIZE:]


NEW_SIZE_AT = 8 + 2 + 2 + 4 + 8 + 32
BAD: dict[str, Callable[[], bytes]] = {
    "for another base": lambda: made(noise(len(OLD), 77), NEW),
    "makes something else": lambda: made(OLD, NEXT),
    "truncated": lambda: made(OLD, NEW)[:-1000],
    "header only": lambda: made(OLD, NEW)[:HEADER_SIZE],
    "empty": lambda: b"",
    "bit flipped": lambda: flipped(made(OLD, NEW)),
    "no delta at all": lambda: noise(5000, 66),
    "declares a huge size": lambda: lying(made(OLD, NEW), size_bytes=1 << 50),
    "bomb": lambda: lying(made(OLD, bytes(100 * MIB)), digest=sha256_of(NEW)),
    "bomb of the right size": lambda: lying(made(OLD, bytes(100 * MIB)), size_bytes=len(NEW), digest=sha256_of(NEW)),
    "says the right digest": lambda: lying(made(OLD, NEXT), digest=sha256_of(NEW)),
    "needs no base and makes something else": lambda: made(None, noise(1000) * 3),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_delta_costs_a_second_way_and_is_never_tried_again(
    what: str, origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    key = offer(origin, versions[2], OLD, NEW, BAD[what]())
    watched, deltas = Wrapped(origin), patient()
    fetcher = by_delta(watched, region, cache, deltas=deltas)
    report = fetcher.fetch(versions[2].digest, candidates=kin(versions, {1: 99}))
    assert cached(cache, versions[2]) == {"weights": NEW, "small": SMALL}
    assert report.way == "1 unchanged, 1 whole"
    assert report.bytes_moved >= len(NEW)
    assert nothing_left(cache)
    # Gone from cache and region, it is fetched again: by the same way at once.
    assert cache.evict(versions[2].digest)
    for info in list(region.list("")):
        region.delete(info.key)
    watched.blobs_opened.clear()
    fetcher.fetch(versions[2].digest, candidates=kin(versions, {1: 99}))
    assert key not in watched.blobs_opened


@pytest.mark.timeout(600)
def test_flipped_bits_never_make_wrong_bytes(origin: MemoryStore, cache: ArtifactCache) -> None:
    """Each alone. What a flip does not spoil is right; what it spoils is fetched another way."""
    old, random = noise(40_000, 3), Random(5)
    new = step_from(old)
    versions = {1: publish(origin, {"w": old}), 2: publish(origin, {"w": new})}
    Fetcher(origin, None, cache).fetch(versions[1].digest)
    body = made(old, new)
    for _ in range(often(1000, 40)):
        bit = random.randrange(8 * len(body))
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << (bit % 8)
        offer(origin, versions[2], old, new, bytes(damaged))
        fetcher = by_delta(origin, None, cache, deltas=patient(size_min_bytes=1))
        report = fetcher.fetch(versions[2].digest, candidates=kin(versions, {1: len(body)}))
        assert report.way == "whole"
        assert report.bytes_moved == len(body) + len(new)
        assert cached(cache, versions[2]) == {"w": new}
        assert cache.evict(versions[2].digest)


def test_a_mended_delta_is_tried_again(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    offer(origin, versions[2], OLD, NEW, BAD["bit flipped"]())
    fetcher = by_delta(origin, None, cache)
    fetcher.fetch(versions[2].digest, candidates=kin(versions))
    assert cache.evict(versions[2].digest)
    offer(origin, versions[2], OLD, NEW)
    assert fetcher.fetch(versions[2].digest, candidates=kin(versions)).way == "1 unchanged, 1 delta from 1"


def test_of_two_deltas_the_second_is_taken_when_the_first_is_bad(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    versions[3] = publish(origin, {"weights": NEXT, "small": SMALL})
    Fetcher(origin, None, cache).fetch(versions[2].digest)
    bad = made(NEW, NEXT)[:-500]
    offer(origin, versions[3], NEW, NEXT, bad)
    good = offer(origin, versions[3], OLD, NEXT)
    report = by_delta(origin, None, cache).fetch(versions[3].digest, candidates=kin(versions))
    info = origin.head(good)
    assert info is not None
    assert report.way == "1 unchanged, 1 delta from 1"
    assert report.bytes_moved == len(bad) + info.size_bytes
    assert cached(cache, versions[3])["weights"] == NEXT


@pytest.mark.parametrize(
    "error", [StoreUnavailable("503", subject="x"), Refused("403", subject="x")], ids=["503", "403"]
)
def test_a_delta_that_can_not_be_read_is_not_needed(
    error: Exception, origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    offer(origin, versions[2], OLD, NEW)
    broken = Failing(origin, lambda key, _: error if key.startswith("deltas/") else None)
    report = by_delta(broken, None, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert report.bytes_moved == len(NEW)


def test_a_delta_that_is_removed_between_the_listing_and_the_reading_is_not_needed(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    key = offer(origin, versions[2], OLD, NEW)

    class Vanishes(Wrapped):
        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            found = list(super().list(prefix, start_after=start_after))
            self.store.delete(key)
            return iter(found)

    watched = Vanishes(origin)
    report = by_delta(watched, region, cache).fetch(versions[2].digest, candidates=kin(versions, {1: 99}))
    assert key in watched.blobs_opened
    assert (report.way, report.bytes_moved) == ("1 unchanged, 1 whole", len(NEW))
    assert cached(cache, versions[2]) == {"weights": NEW, "small": SMALL}
    assert nothing_left(cache)


def test_a_listing_that_is_refused_is_not_needed(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    class NoLists(Wrapped):
        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            raise Refused("403", subject=prefix)

    report = by_delta(NoLists(origin), None, cache).fetch(versions[2].digest, candidates=kin(versions, {1: 9}))
    assert report.bytes_moved == len(NEW)


def test_a_damaged_base_means_the_whole(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    offer(origin, versions[2], OLD, NEW)
    with cache.open(versions[1].digest) as folder:
        (folder / "weights").write_bytes(OLD[:-1] + b"\0")
    report = by_delta(origin, None, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert report.bytes_moved >= len(NEW)
    assert cached(cache, versions[2])["weights"] == NEW


def test_a_base_that_was_evicted_meanwhile_is_not_the_delta_s_fault(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    offer(origin, versions[2], OLD, NEW)

    class Evicts(Wrapped):
        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            found = list(super().list(prefix, start_after=start_after))
            assert cache.evict(versions[1].digest)
            return iter(found)

    deltas = patient()
    report = by_delta(Evicts(origin), None, cache, deltas=deltas).fetch(versions[2].digest, candidates=kin(versions))
    assert report.bytes_moved == len(NEW)
    assert cached(cache, versions[2])["weights"] == NEW
    assert not deltas.experience.bad.of(versions[2].digest)


def test_a_file_that_is_missing_ends_the_fetch_though_a_delta_is_on_its_way(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    fresh = noise(MIB, 50)
    versions[3] = publish(origin, {"weights": NEW, "fresh": fresh})
    key = offer(origin, versions[3], OLD, NEW)
    origin.delete(keys.blob(sha256_of(fresh)))
    failed = threading.Event()

    class HoldsTheDelta(Wrapped):
        """Gives nothing of the delta until the other file was asked for."""

        @contextmanager
        def open(
            self, at: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            if at == key:
                assert failed.wait(60)
            else:
                failed.set()
            with super().open(at, start=start, length=length, etag=etag) as stream:
                yield stream

    with pytest.raises(BlobMissing):
        by_delta(HoldsTheDelta(origin), None, cache).fetch(versions[3].digest, candidates=kin(versions))
    assert not cache.has(versions[3].digest)
