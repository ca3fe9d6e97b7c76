"""Run by test_full_disk.py with 48 MiB of disk at /mnt: the disk fills while a file is rebuilt from a delta."""

from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, DiskFull, Fetcher
from modelcast.deltas.fetch.rebuild import Rebuilder
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, noise, publish, step_from, tree
from tests.deltas.fetch.offering import by_delta, kin, offer
from tests.faults.filling import HOG, full_before

cache, origin = ArtifactCache(Path("/mnt/cache")), MemoryStore("origin")
served = publish(origin, {"w": noise(4 * MIB, 1)})
Fetcher(origin, None, cache).fetch(served.digest)


def still_serves() -> None:
    with cache.open(served.digest) as folder:
        assert tree(folder) == {"w": noise(4 * MIB, 1)}


NEAR = [
    (Rebuilder, "make"),  # the delta has no room: the whole comes, but not even the manifest has any
    (Rebuilder, "_apply"),  # it has come, or comes: what it makes has its room already
]
for place, name in NEAR:
    new = step_from(noise(4 * MIB, 1), 40 + len(name))
    manifest = publish(origin, {"w": new})
    offer(origin, manifest, noise(4 * MIB, 1), new)
    family = kin({1: served, 2: manifest}, {1: 50_000})
    near = by_delta(origin, None, cache)
    heal = full_before(place, name)
    try:
        near.fetch(manifest.digest, keep={served.digest}, candidates=family)
        outcome = "passed"
    except DiskFull as error:
        assert error.retryable and error.hint
        outcome = "refused"
    heal()
    assert HOG.exists(), name
    still_serves()
    assert cache.has(manifest.digest) == (outcome == "passed"), name
    HOG.unlink()
    report = near.fetch(manifest.digest, keep={served.digest}, candidates=family)
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == {"w": new}
    assert report.bytes_moved == 0, name  # the whole had come before
    still_serves()
    assert cache.evict(manifest.digest)
    assert list((cache.folder / "incoming").iterdir()) == []
    print(name, outcome, flush=True)
