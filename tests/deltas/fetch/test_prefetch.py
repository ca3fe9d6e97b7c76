"""Offers are asked for while the manifest is on its way, and once."""

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.deltas.fetch.accelerator import FRESH_SECONDS, DeltaFetchAccelerator
from modelcast.deltas.fetch.chooser import Experience
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, OLD, Wrapped, noise, publish
from tests.deltas.fetch.offering import NEW, NEXT, SLOW_LINK, Patient, by_delta, kin, made, offer
from tests.support.waiting import until

LARGE = {"weights": noise(3 * MIB, 1)}


class Listed(Wrapped):
    """Notes what is listed."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.listed: list[str] = []

    def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
        self.listed.append(prefix)
        return super().list(prefix, start_after=start_after)


def test_offers_that_were_prefetched_are_not_listed_again(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    listed_origin = Listed(origin)
    held, manifest = publish(origin, {"weights": noise(2 * MIB, 9)}), publish(origin, LARGE)
    fetcher = Fetcher(listed_origin, region, cache, accelerator=DeltaFetchAccelerator())
    fetcher.fetch(held.digest, size_bytes=held.size_bytes)
    listed_origin.listed.clear()
    fetcher.prefetch(manifest.digest, size_bytes=manifest.size_bytes)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert listed_origin.listed == [keys.delta_prefix(manifest.digest)]


def test_a_look_that_is_no_longer_fresh_is_repeated(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    """A region that was paused begins long after the announcement: deltas came to the store meanwhile."""
    now = [100.0]
    held, manifest = publish(origin, {"weights": noise(2 * MIB, 9)}), publish(origin, LARGE)
    listed_origin = Listed(origin)
    accelerator = DeltaFetchAccelerator(clock=lambda: now[0])
    fetcher = Fetcher(listed_origin, region, cache, accelerator=accelerator)
    fetcher.fetch(held.digest, size_bytes=held.size_bytes)
    listed_origin.listed.clear()
    fetcher.prefetch(manifest.digest, size_bytes=manifest.size_bytes)
    _, look, _ = accelerator._prefetched[manifest.digest]
    until(lambda: look.answered_at_seconds is not None, "the origin has answered", 30)
    now[0] += FRESH_SECONDS
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert listed_origin.listed == [keys.delta_prefix(manifest.digest)] * 2


def test_a_look_that_came_before_the_deltas_is_repeated(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    """A region two versions behind needs a chain, and waits for none: what it saw too early must not decide."""
    versions[3] = publish(origin, {"weights": NEXT})
    deltas = made(OLD, NEW), made(NEW, NEXT)
    accelerator = DeltaFetchAccelerator(clock=lambda: 100.0)
    fetcher = by_delta(origin, None, cache, deltas=Patient(accelerator, SLOW_LINK, Experience()))
    wanted, candidates = versions[3], kin(versions, {2: 1000})
    fetcher.prefetch(wanted.digest, size_bytes=wanted.size_bytes, candidates=candidates)
    _, look, _ = accelerator._prefetched[wanted.digest]
    until(lambda: look.answered_at_seconds is not None, "the origin has answered", 30)
    offer(origin, versions[2], OLD, NEW, deltas[0])
    offer(origin, wanted, NEW, NEXT, deltas[1])
    assert fetcher.fetch(wanted.digest, candidates=candidates).way == "chain of 2 deltas from 1"


def test_a_look_that_found_a_delta_of_every_file_is_not_repeated_for_what_else_was_announced(
    origin: MemoryStore, cache: ArtifactCache, versions: dict[int, Manifest]
) -> None:
    """A compressed whole is announced beside the delta and comes later: over a long link another look costs a tenth of
    a second, and finds nothing better."""
    listed_origin = Listed(origin)
    accelerator = DeltaFetchAccelerator(clock=lambda: 100.0)
    fetcher = by_delta(listed_origin, None, cache, deltas=Patient(accelerator, SLOW_LINK, Experience()))
    wanted, candidates = versions[2], kin(versions, {1: 1000, 0: 1000})
    offer(origin, wanted, OLD, NEW)
    fetcher.prefetch(wanted.digest, size_bytes=wanted.size_bytes, candidates=candidates)
    assert fetcher.fetch(wanted.digest, candidates=candidates).way == "1 unchanged, 1 delta from 1"
    assert listed_origin.listed == [keys.delta_prefix(wanted.digest)]
