"""Fetching by deltas: few bytes cross, and whatever is wrong with a delta, the right bytes arrive."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher, FetchReport, FetchStatus
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, OLD, SMALL, Wrapped, cached, noise, publish, step_from
from tests.deltas.fetch.offering import NEW, NEXT, SLOW_LINK, by_delta, kin, made, nothing_left, offer, patient

pytestmark = pytest.mark.usefixtures("short_pauses")


# --- the delta is enough


def test_only_the_delta_crosses(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    size = len(made(OLD, NEW))
    offer(origin, versions[2], OLD, NEW)
    watched, told, progress = Wrapped(origin), list[FetchStatus](), list[int]()
    report = by_delta(watched, region, cache).fetch(
        versions[2].digest, candidates=kin(versions, {1: size}), on_status=told.append, on_progress=progress.append
    )
    assert report.bytes_moved == report.bytes_planned == size < len(NEW) // 10
    assert report.bytes_saved == report.bytes_total - size
    assert report.way == "1 unchanged, 1 delta from 1"
    assert keys.blob(sha256_of(NEW)) not in watched.blobs_opened
    assert cached(cache, versions[2]) == {"weights": NEW, "small": SMALL}
    assert sum(progress) == report.bytes_total
    assert told[0].way == report.way
    assert told[0].bytes_planned == size
    assert nothing_left(cache)


def test_the_region_gets_the_whole_so_that_others_need_no_delta(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest], tmp_path: Path
) -> None:
    offer(origin, versions[2], OLD, NEW)
    by_delta(origin, region, cache).fetch(versions[2].digest, candidates=kin(versions))
    watched, elsewhere = Wrapped(origin), ArtifactCache(tmp_path / "elsewhere")
    report = by_delta(watched, region, elsewhere).fetch(versions[2].digest, candidates=kin(versions))
    assert report.bytes_moved == 0
    assert watched.blobs_opened == []
    assert cached(elsewhere, versions[2])["weights"] == NEW


def test_a_chain_leads_where_no_single_delta_does(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    versions[3] = publish(origin, {"weights": NEXT})
    first, second = offer(origin, versions[2], OLD, NEW), offer(origin, versions[3], NEW, NEXT)
    report = by_delta(origin, None, cache).fetch(versions[3].digest, candidates=kin(versions, {2: 9}))
    assert report.way == "chain of 2 deltas from 1"
    sizes = [info.size_bytes for key in (first, second) if (info := origin.head(key))]
    assert report.bytes_moved == sum(sizes)
    assert cached(cache, versions[3]) == {"weights": NEXT}
    assert nothing_left(cache)


def test_a_first_arrival_takes_the_compressed_whole(origin: MemoryStore, cache: ArtifactCache) -> None:
    body = noise(1000) * 2000
    manifest = publish(origin, {"weights": body})
    key = offer(origin, manifest, None, body)
    report = by_delta(origin, None, cache).fetch(manifest.digest, candidates=kin({1: manifest}, {0: 5}))
    info = origin.head(key)
    assert info is not None
    assert (report.way, report.bytes_moved) == ("compressed whole", info.size_bytes)
    assert cached(cache, manifest) == {"weights": body}


def test_a_base_that_only_the_region_holds_is_taken_from_there(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest], tmp_path: Path
) -> None:
    Fetcher(origin, region, cache).fetch(versions[1].digest)
    key = offer(origin, versions[2], OLD, NEW)
    elsewhere, info = ArtifactCache(tmp_path / "elsewhere"), origin.head(key)
    assert info is not None
    hints = kin(versions, {1: info.size_bytes})
    report = by_delta(origin, region, elsewhere).fetch(versions[2].digest, candidates=hints)
    assert report.bytes_moved == info.size_bytes
    assert report.way == "1 from the region, 1 delta from 1"
    assert cached(elsewhere, versions[2])["weights"] == NEW


def test_only_blocks_that_changed_cross_where_no_delta_is_offered(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    """One block is new, one moved, one stayed."""
    body = noise(MIB, 5) + OLD[: 2 * MIB]
    manifest = publish(origin, {"w": body})
    report = by_delta(origin, None, cache).fetch(manifest.digest, candidates=kin(versions))
    assert (report.bytes_moved, report.way) == (MIB, "in changed blocks")
    assert cached(cache, manifest) == {"w": body}


def test_an_interrupted_fetch_of_changed_blocks_still_says_so_and_one_of_a_whole_says_resumed(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    files = {"changed": noise(2 * MIB, 5) + OLD[: 2 * MIB], "fresh": noise(3 * MIB, 6)}
    manifest, told = publish(origin, files), list[FetchStatus]()
    with cache.fetching(manifest.digest) as incoming:
        incoming.begin(manifest)
        for entry in manifest.files:  # a crash left the second block of each, and one that was taken from here
            body, empty = files[entry.path], bytes(MIB)
            here = body[2 * MIB : 3 * MIB] if entry.path == "changed" else empty
            left = empty + body[MIB : 2 * MIB] + here
            incoming.path(entry).write_bytes(left + bytes(len(body) - len(left)))
    fetcher = by_delta(origin, None, cache)
    report = fetcher.fetch(manifest.digest, candidates=kin(versions), on_status=told.append)
    assert report.bytes_moved == MIB + 2 * MIB
    assert report.way == told[0].way == "1 in changed blocks, 1 resumed whole"
    assert cached(cache, manifest) == files


def test_a_held_block_that_rotted_is_not_taken(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    body = noise(MIB, 5) + OLD[: 2 * MIB]
    manifest = publish(origin, {"w": body})
    with cache.open(versions[1].digest) as folder:
        (folder / "weights").write_bytes(b"\0" + OLD[1:])
    report = by_delta(origin, None, cache).fetch(manifest.digest)
    assert report.bytes_moved == 2 * MIB
    assert cached(cache, manifest) == {"w": body}


def test_many_files_travel_each_its_own_way(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    old = {f"shard-{i}": noise(MIB + i, i) for i in range(6)}
    new = {path: step_from(body, 7) if i % 2 else body for i, (path, body) in enumerate(old.items())}
    new["fresh"] = noise(MIB, 99)
    first, second = publish(origin, old), publish(origin, new)
    fetcher = by_delta(origin, region, cache)
    fetcher.fetch(first.digest)
    for path in ("shard-1", "shard-3", "shard-5"):
        offer(origin, second, old[path], new[path])
    report = fetcher.fetch(second.digest, candidates=kin({1: first, 2: second}))
    assert report.way == "3 unchanged, 3 deltas from 1, 1 whole"
    assert report.bytes_moved < MIB + 3 * MIB // 10
    assert cached(cache, second) == new
    assert region.head(keys.manifest(second.digest)) is not None


# --- nothing is asked in vain


class Lists(Wrapped):
    listed = 0

    def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
        self.listed += 1
        return super().list(prefix, start_after=start_after)


def test_small_artifacts_ask_for_no_deltas(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    watched = Lists(origin)
    first, second = publish(origin, {"w": noise(9000, 1)}), publish(origin, {"w": noise(9000, 2)})
    fetcher = by_delta(watched, region, cache)
    fetcher.fetch(first.digest)
    report = fetcher.fetch(second.digest, candidates=kin({1: first, 2: second}, {1: 5}))
    assert watched.listed == 0
    assert set(report.stage_seconds) == {"manifest", "verify", "origin", "regional", "stage"}


@pytest.mark.parametrize(("rate", "asked"), [(1e6, 1), (1e9, 0)])
def test_who_holds_nothing_and_was_told_nothing_looks_where_a_listing_takes_little_of_the_whole(
    origin: MemoryStore, cache: ArtifactCache, rate: float, asked: int
) -> None:
    watched = Lists(origin)
    manifest = publish(origin, {"w": noise(1000) * 2500})
    info = origin.head(offer(origin, manifest, None, noise(1000) * 2500))
    assert info is not None
    speeds = replace(SLOW_LINK, origin_bytes_per_second=rate)
    report = by_delta(watched, None, cache, deltas=patient(speeds)).fetch(
        manifest.digest, candidates=kin({1: manifest})
    )
    assert watched.listed == asked
    assert (report.bytes_moved == info.size_bytes) == bool(asked)


def test_a_first_arrival_finds_what_was_compressed_when_an_earlier_version_was_new(
    origin: MemoryStore, cache: ArtifactCache
) -> None:
    same, before, now = (noise(1000, seed) * 2500 for seed in (1, 2, 3))
    first, second = publish(origin, {"a": same, "b": before}), publish(origin, {"a": same, "b": now})
    compressed = [offer(origin, first, None, same), offer(origin, second, None, now)]
    offer(origin, first, None, before)
    watched = Lists(origin)
    report = by_delta(watched, None, cache).fetch(second.digest, candidates=kin({1: first, 2: second}))
    assert report.way == "2 compressed wholes"
    assert report.bytes_moved == sum(info.size_bytes for key in compressed if (info := origin.head(key)))
    assert watched.listed == 2
    assert cached(cache, second) == {"a": same, "b": now}


def test_where_every_file_has_an_offer_earlier_versions_are_not_asked(
    origin: MemoryStore, cache: ArtifactCache
) -> None:
    first, second = publish(origin, {"a": noise(1000) * 2500}), publish(origin, {"a": noise(1000, 1) * 2500})
    offer(origin, second, None, noise(1000, 1) * 2500)
    watched = Lists(origin)
    by_delta(watched, None, cache).fetch(second.digest, candidates=kin({1: first, 2: second}))
    assert watched.listed == 1


def test_who_holds_the_version_before_asks_no_earlier_one(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    versions[0] = publish(origin, {"weights": noise(MIB, 77)})
    watched = Lists(origin)
    by_delta(watched, None, cache).fetch(versions[2].digest, candidates=kin(versions))
    assert watched.listed == 1


# --- waiting for what was announced


def test_a_delta_that_was_announced_is_waited_for(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    body = made(OLD, NEW)

    class MadeMeanwhile(Lists):
        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            if self.listed == 3:
                offer(origin, versions[2], OLD, NEW, body)
            return super().list(prefix, start_after=start_after)

    watched = MadeMeanwhile(origin)
    report = by_delta(watched, None, cache, deltas=patient(wait_seconds_max=60)).fetch(
        versions[2].digest, candidates=kin(versions, {1: len(body)})
    )
    assert watched.listed >= 4
    assert report.bytes_moved == len(body)


def test_a_delta_that_never_comes_is_not_waited_for_for_ever(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    deltas = patient(wait_seconds_max=0.05)
    report = by_delta(origin, None, cache, deltas=deltas).fetch(versions[2].digest, candidates=kin(versions, {1: 9}))
    assert report.bytes_moved == len(NEW)
    assert cached(cache, versions[2])["weights"] == NEW


# --- interrupted


def test_a_delta_that_was_interrupted_goes_on_where_it_was(origin: MemoryStore, cache: ArtifactCache) -> None:
    old = noise(4 * MIB, 1)
    new = noise(3 * MIB + 100, 2) + old  # the delta has three blocks and a bit; no block of the old file stayed one
    versions = {1: publish(origin, {"w": old}), 2: publish(origin, {"w": new})}
    Fetcher(origin, None, cache).fetch(versions[1].digest)
    size = len(made(old, new))
    offer(origin, versions[2], old, new)
    stop = threading.Event()

    class StopsAfterTwoBlocks(Wrapped):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            if self.blob_bytes_read >= 2 * MIB + 1000:
                stop.set()

    cut = StopsAfterTwoBlocks(origin)
    with pytest.raises(Exception, match="cancel"):  # one reader: others would bring the rest meanwhile
        fetch(cut, cache, versions, cancel=stop, readers=1)
    watched = Wrapped(origin)
    report = fetch(watched, cache, versions)
    assert cached(cache, versions[2]) == {"w": new}
    assert report.bytes_moved <= size - MIB
    assert report.way == "rest of a delta from 1"
    crossed = cut.blob_bytes_read + watched.blob_bytes_read
    assert report.bytes_saved == report.bytes_total - crossed  # blocks that were made of little came with little


def test_what_a_file_that_was_rebuilt_before_has_saved_is_saved_still(
    origin: MemoryStore, cache: ArtifactCache
) -> None:
    old = {"a": noise(MIB, 1), "b": noise(2 * MIB, 2)}
    new = {path: step_from(body) for path, body in old.items()}
    versions = {1: publish(origin, old), 2: publish(origin, new)}
    Fetcher(origin, None, cache).fetch(versions[1].digest)
    keys_of = {path: offer(origin, versions[2], body, new[path]) for path, body in old.items()}
    with cache.fetching(versions[2].digest) as incoming:
        made_first = incoming.path(next(f for f in versions[2].files if f.path == "a"))
    stop = threading.Event()

    class StopsOnceTheFirstIsMade(Wrapped):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            if self.blobs_opened[-1] == keys_of["b"]:
                deadline = time.monotonic() + 60
                while not made_first.exists() or made_first.read_bytes() != new["a"]:
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                stop.set()

    cut = StopsOnceTheFirstIsMade(origin)
    with pytest.raises(Exception, match="cancel"):  # one after the other: who holds the codec does not wait for us
        fetch(cut, cache, versions, cancel=stop, at_once=1)
    watched = Wrapped(origin)
    report = fetch(watched, cache, versions)
    assert cached(cache, versions[2]) == new
    assert report.bytes_saved == report.bytes_total - cut.blob_bytes_read - watched.blob_bytes_read
    assert report.bytes_saved > report.bytes_total * 0.9
    assert not (cache.folder / "artifacts" / versions[2].digest.removeprefix("sha256:") / "crossed").exists()


def test_zeros_for_which_only_room_was_taken_were_not_brought(origin: MemoryStore, cache: ArtifactCache) -> None:
    body = bytes(2 * MIB) + noise(2 * MIB, 4)
    manifest = publish(origin, {"w": body})
    with cache.fetching(manifest.digest) as incoming:
        incoming.begin(manifest)
        incoming.allocate(manifest.files)
    report = by_delta(origin, None, cache).fetch(manifest.digest)
    assert (report.way, report.bytes_moved) == ("whole", 2 * MIB)
    assert cached(cache, manifest) == {"w": body}


def test_files_that_were_rebuilt_before_a_crash_are_kept(origin: MemoryStore, cache: ArtifactCache) -> None:
    old = {"a": noise(MIB, 1), "b": noise(MIB, 2)}
    new = {path: step_from(body) for path, body in old.items()}
    versions = {1: publish(origin, old), 2: publish(origin, new)}
    Fetcher(origin, None, cache).fetch(versions[1].digest)
    for path, body in old.items():
        offer(origin, versions[2], body, new[path])
    entry = next(f for f in versions[2].files if f.path == "a")
    with cache.fetching(versions[2].digest) as incoming:
        incoming.begin(versions[2])
        incoming.path(entry).write_bytes(new["a"])
    watched = Wrapped(origin)
    report = fetch(watched, cache, versions)
    assert report.way == "1 delta from 1, 1 brought before"
    assert cached(cache, versions[2]) == new
    assert [key for key in watched.blobs_opened if sha256_of(new["a"])[7:] in key] == []


def fetch(
    origin: Wrapped,
    cache: ArtifactCache,
    versions: dict[int, Manifest],
    *,
    cancel: threading.Event | None = None,
    at_once: int = 2,
    readers: int = 4,
) -> FetchReport:
    family = kin(versions)
    return by_delta(origin, None, cache, readers=readers, deltas=patient(at_once=at_once)).fetch(
        versions[max(versions)].digest, candidates=family, cancel=cancel
    )
