"""Run by test_full_disk.py with 48 MiB of disk at /mnt: the disk fills at one stage of a fetch after the other.

What served keeps serving, the error says what it is, and once there is room again the same fetch comes through.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from modelcast.consumers.fetch import ArtifactCache, DiskFull, Fetcher
from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.rebuild import Rebuilder
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.offering import kin, offer, patient, step_from
from tests.consumers.fetch.publishing import MIB, noise, publish, tree

HOG = Path("/mnt/hog")
cache = ArtifactCache(Path("/mnt/cache"))
origin, region = MemoryStore("origin"), MemoryStore("region")
fetcher = Fetcher(origin, region, cache)
served = publish(origin, {"w": noise(4 * MIB, 1)})
fetcher.fetch(served.digest)


def fill() -> None:
    """Somebody else takes every byte."""
    with HOG.open("ab", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                hog.write(b"x")
        except OSError:
            pass


def full_before(place: type, name: str) -> Callable[[], None]:
    """The disk is full when this is called next; returns what puts it right again."""
    real = getattr(place, name)

    def filled(*args: Any, **kwargs: Any) -> Any:
        fill()
        return real(*args, **kwargs)

    setattr(place, name, filled)
    return lambda: setattr(place, name, real)


def still_serves() -> None:
    with cache.open(served.digest) as folder:
        assert tree(folder) == {"w": noise(4 * MIB, 1)}


STAGES = [
    (ArtifactCache, "fetching"),  # nothing is there yet
    (Incoming, "begin"),  # folders
    (Incoming, "allocate"),  # room for the files
    (Download, "run"),  # room is taken
    (Incoming, "syncing"),  # the manifest
    (Incoming, "publish"),  # a rename
]
for number, (place, name) in enumerate(STAGES):
    files = {f"f{n}": noise(MIB + n, 10 * number + n + 2) for n in range(3)}
    manifest = publish(origin, files)
    heal = full_before(place, name)
    try:
        fetcher.fetch(manifest.digest, keep={served.digest})
        outcome = "passed"
    except DiskFull as error:
        assert error.retryable and error.hint
        outcome = "refused"
    heal()
    assert HOG.exists(), name
    still_serves()
    assert cache.has(manifest.digest) == (outcome == "passed"), name
    HOG.unlink()
    fetcher.fetch(manifest.digest, keep={served.digest})
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == files
    still_serves()
    assert cache.evict(manifest.digest)
    assert list((cache.folder / "incoming").iterdir()) == []
    print(name, outcome, flush=True)

NEAR = [
    (Rebuilder, "make"),  # the delta has no room: the whole comes, but not even the manifest has any
    (Rebuilder, "_apply"),  # it has come, or comes: what it makes has its room already
]
for place, name in NEAR:
    new = step_from(noise(4 * MIB, 1), 40 + len(name))
    manifest = publish(origin, {"w": new})
    offer(origin, manifest, noise(4 * MIB, 1), new)
    family = kin({1: served, 2: manifest}, {1: 50_000})
    near = Fetcher(origin, None, cache, deltas=patient())
    heal = full_before(place, name)
    try:
        near.fetch(manifest.digest, keep={served.digest}, kin=family)
        outcome = "passed"
    except DiskFull as error:
        assert error.retryable and error.hint
        outcome = "refused"
    heal()
    assert HOG.exists(), name
    still_serves()
    assert cache.has(manifest.digest) == (outcome == "passed"), name
    HOG.unlink()
    report = near.fetch(manifest.digest, keep={served.digest}, kin=family)
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == {"w": new}
    assert report.bytes_moved == 0, name  # the whole had come before
    still_serves()
    assert cache.evict(manifest.digest)
    assert list((cache.folder / "incoming").iterdir()) == []
    print(name, outcome, flush=True)

fill()
target = Path("/mnt/cache/delta")
body = Random(5).randbytes(3 * MIB)
origin.put("delta", body)
download = Download(
    {0: origin, 2: origin},  # type: ignore[dict-item]
    lambda part: target,
    progress=lambda _: None,
    cancelled=lambda: False,
    distrust=lambda _: None,
)
try:
    download.object("delta", target, len(body))
    raise SystemExit("there was no room for it")
except OSError:
    HOG.unlink()
download.object("delta", target, len(body))
assert target.read_bytes() == body
print("object refused", flush=True)
