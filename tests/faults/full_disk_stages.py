"""Run by test_full_disk.py with 48 MiB of disk at /mnt: the disk fills at one stage of a fetch after the other.

What served keeps serving, the error says what it is, and once there is room again the same fetch comes through.
"""

from pathlib import Path
from random import Random

from modelcast.consumers.fetch import ArtifactCache, Context, DiskFull, Fetcher, Source
from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, noise, publish, tree
from tests.faults.filling import HOG, fill, full_before
from tests.support.part_files import OnePlace

cache = ArtifactCache(Path("/mnt/cache"))
origin, region = MemoryStore("origin"), MemoryStore("region")
fetcher = Fetcher(origin, region, cache)
served = publish(origin, {"w": noise(4 * MIB, 1)})
fetcher.fetch(served.digest)


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

fill()
target = Path("/mnt/cache/delta")
body = Random(5).randbytes(3 * MIB)
origin.put("delta", body)
download = Download(
    {Source.ORIGIN: origin},
    OnePlace(target),
    context=Context(),
)
try:
    download.object("delta", target, len(body))
    raise SystemExit("there was no room for it")
except OSError:
    HOG.unlink()
download.object("delta", target, len(body))
assert target.read_bytes() == body
print("object refused", flush=True)
