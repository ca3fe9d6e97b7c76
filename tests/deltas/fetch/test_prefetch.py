"""Offers are asked for while the manifest is on its way, and once."""

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.deltas.fetch.accelerator import DeltaAccelerator
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from tests.consumers.fetch.publishing import MIB, Wrapped, noise, publish

LARGE = {"weights": noise(3 * MIB, 1)}


def test_offers_that_were_foreseen_are_not_listed_again(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    listed: list[str] = []

    class Listed(Wrapped):
        def list(self, prefix: str, *, start_after: str = "") -> object:  # type: ignore[override]
            listed.append(prefix)
            return super().list(prefix, start_after=start_after)

    held, manifest = publish(origin, {"weights": noise(2 * MIB, 9)}), publish(origin, LARGE)
    fetcher = Fetcher(Listed(origin), region, cache, accelerator=DeltaAccelerator())
    fetcher.fetch(held.digest, size_bytes=held.size_bytes)
    listed.clear()
    fetcher.foresee(manifest.digest, size_bytes=manifest.size_bytes)
    fetcher.fetch(manifest.digest, size_bytes=manifest.size_bytes)
    assert listed == [keys.delta_prefix(manifest.digest)]
