"""What a long link and a store on a bad day do to a fetch. Bytes and requests are counted at the server's side."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, BlobMissing, Context, DamagedBytes, Fetcher, Source
from modelcast.consumers.fetch.errors import FetchTooSlow
from modelcast.consumers.fetch.transfer import reading as reading_module
from modelcast.consumers.fetch.transfer import retry as retry_module
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import Refused, StoreUnavailable
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, manifest_of, noise, tree
from tests.faults.shaky_store import ShakyStore
from tests.support.lanes import often
from tests.support.part_files import OnePlace

pytestmark = pytest.mark.integration

FILES = {"weights": noise(24 * MIB + 321, 1), "vocab": noise(300_000, 2)}
TOTAL = sum(map(len, FILES.values()))
CUTS = 20


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def manifest() -> Manifest:
    return manifest_of(FILES)


@pytest.fixture
def shaky(manifest: Manifest) -> Iterator[ShakyStore]:
    objects = {keys.blob(file.digest): FILES[file.path] for file in manifest.files}
    with ShakyStore({**objects, keys.manifest(manifest.digest): manifest.encode()}) as store:
        yield store


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def fetch(shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest) -> None:
    Fetcher(shaky.store(), None, cache).fetch(manifest.digest)


def check_whole(cache: ArtifactCache, manifest: Manifest) -> None:
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == FILES


how_links_end = pytest.mark.parametrize("resets", [False, True], ids=["fin", "rst"])


class RandomCuts:
    """Ends connections at random offsets, so many times."""

    def __init__(self, cuts: int, seed: int, bytes_max: int) -> None:
        self.left = cuts
        self._random = random.Random(seed)
        self._bytes_max = bytes_max
        self._lock = threading.Lock()

    def __call__(self) -> int | None:
        with self._lock:
            if not self.left:
                return None
            self.left -= 1
            return self._random.randrange(64 * 1024, self._bytes_max)


@how_links_end
@pytest.mark.parametrize("seed", range(often(soak=3, quick=1)))
def test_twenty_cuts_at_random_offsets_cost_at_most_a_twentieth(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest, seed: int, resets: bool
) -> None:
    shaky.cut_after, shaky.resets = (cuts := RandomCuts(CUTS, seed, 1_500_000)), resets
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)
    assert cuts.left == 0
    assert TOTAL <= shaky.sent_bytes - len(manifest.encode()) <= TOTAL * 1.05


@how_links_end
def test_a_storm_of_cuts_ends_after_few_requests_and_what_came_stays(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest, resets: bool
) -> None:
    shaky.resets = resets
    # Long enough for a MiB of each reader, then the link is as good as dead.
    shaky.cut_after = lambda: 5 * MIB // 4 if shaky.sent_bytes < 8 * MIB else 0
    with pytest.raises(StoreUnavailable):
        fetch(shaky, cache, manifest)
    assert len(shaky.requests) < 60
    assert not cache.has(manifest.digest)
    before = shaky.sent_bytes
    shaky.cut_after = lambda: None
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)
    assert shaky.sent_bytes - before <= TOTAL - 4 * MIB


@pytest.mark.parametrize("status", [500, 503])
def test_a_storm_of_server_errors_is_borne_while_it_is_short_and_given_up_soon_when_it_is_not(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest, status: int
) -> None:
    shaky.answers = lambda _, key, number: status if key.startswith("blobs/") else None
    with pytest.raises(StoreUnavailable, match=str(status)):
        fetch(shaky, cache, manifest)
    # Four parts and a small file, each asked for three times at most.
    assert len([key for _, key in shaky.requests if key.startswith("blobs/")]) <= 5 * retry_module.ATTEMPTS
    seen: dict[str, int] = {}

    def twice(_: str, key: str, number: int) -> int | None:
        seen[key] = seen.get(key, 0) + 1
        return status if key.startswith("blobs/") and seen[key] <= 2 else None

    shaky.answers = twice
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)


@pytest.mark.parametrize("what", ["manifests/", "blobs/"])
def test_denied_access_is_said_at_once_and_not_asked_again(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest, what: str
) -> None:
    shaky.answers = lambda _, key, number: 403 if key.startswith(what) else None
    with pytest.raises(Refused, match="denied"):
        fetch(shaky, cache, manifest)
    denied = [key for _, key in shaky.requests if key.startswith(what)]
    assert 1 <= len(denied) <= 10  # each part that was on its way, and once more with keys that were read again
    shaky.answers = lambda *_: None
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)


def test_what_is_not_there_yet_is_said_and_there_later(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    """The event may overtake the bytes: whoever is told so asks again."""
    blob = keys.blob(manifest.files[1].digest)
    later = shaky.objects.pop(blob)
    for _ in range(3):
        with pytest.raises(BlobMissing) as caught:
            fetch(shaky, cache, manifest)
        assert caught.value.retryable
    shaky.objects[blob] = later
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)


def test_the_object_changing_midway_is_noticed(shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest) -> None:
    blob = keys.blob(manifest.files[1].digest)
    other = noise(len(FILES["weights"]), 9)

    def replace(_: str, key: str, number: int) -> None:
        if [key for _, key in shaky.requests].count(blob) >= 3:
            shaky.objects[blob] = other

    shaky.answers = replace
    with pytest.raises((DamagedBytes, StoreUnavailable)):
        fetch(shaky, cache, manifest)
    assert not cache.has(manifest.digest)
    shaky.answers = lambda *_: None
    shaky.objects[blob] = FILES["weights"]
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)


def test_a_transfer_that_takes_for_ever_gives_its_place_to_others(
    shaky: ShakyStore, cache: ArtifactCache, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "DEADLINE_SECONDS", 0.0)
    monkeypatch.setattr(reading_module, "DEADLINE_BYTES_PER_SECOND", 1e15)
    with pytest.raises(FetchTooSlow) as caught:
        fetch(shaky, cache, manifest)
    assert caught.value.retryable
    monkeypatch.undo()
    fetch(shaky, cache, manifest)
    check_whole(cache, manifest)


@pytest.mark.parametrize("jump_seconds", [10 * 365 * 24 * 3600.0, -10 * 365 * 24 * 3600.0])
def test_a_clock_that_jumps_changes_nothing(
    shaky: ShakyStore,
    cache: ArtifactCache,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    jump_seconds: float,
) -> None:
    """The machine's clock leaps with every look at it; transfers go by the monotonic one."""
    jumps = [0]
    real = time.time

    def leaping() -> float:
        jumps[0] += 1
        return real() + (jump_seconds if jumps[0] % 2 else 0.0)

    monkeypatch.setattr(time, "time", leaping)
    shaky.cut_after = RandomCuts(5, 1, 1_000_000)
    fetch(shaky, cache, manifest)
    monkeypatch.undo()
    check_whole(cache, manifest)


# --- objects that nothing proves (deltas)


def download_of(shaky: ShakyStore, *, cancel: threading.Event | None = None) -> Download:
    return Download(
        {Source.ORIGIN: shaky.store()},
        OnePlace(Path("unused")),
        context=Context(cancel or threading.Event()),
    )


@pytest.fixture
def delta(shaky: ShakyStore) -> tuple[str, bytes]:
    key = keys.delta(sha256_of(b"m"), sha256_of(b"n"), None)
    shaky.objects[key] = noise(9 * MIB + 5, 4)
    return key, shaky.objects[key]


@how_links_end
def test_an_object_comes_through_cuts(
    shaky: ShakyStore, delta: tuple[str, bytes], tmp_path: Path, resets: bool
) -> None:
    key, body = delta
    shaky.cut_after, shaky.resets = (cuts := RandomCuts(10, 3, MIB)), resets
    download = download_of(shaky)
    download.object(key, tmp_path / "delta", len(body))
    assert (tmp_path / "delta").read_bytes() == body
    assert cuts.left == 0
    assert len(body) <= download.moved_bytes[Source.ORIGIN] <= len(body) * 1.05
    assert [path.name for path in tmp_path.iterdir()] == ["delta"]
    download_of(shaky).object(key, tmp_path / "delta", len(body))
    assert shaky.sent_bytes <= len(body) * 1.05  # it was here already


def test_an_object_goes_on_where_a_crash_left_it(shaky: ShakyStore, delta: tuple[str, bytes], tmp_path: Path) -> None:
    key, body = delta
    shaky.cut_after = lambda: 5 * MIB // 4 if shaky.sent_bytes < 4 * MIB else 0
    with pytest.raises(StoreUnavailable):
        download_of(shaky).object(key, tmp_path / "delta", len(body))
    before = shaky.sent_bytes
    shaky.cut_after = lambda: None
    download_of(shaky).object(key, tmp_path / "delta", len(body))
    assert (tmp_path / "delta").read_bytes() == body
    assert shaky.sent_bytes - before <= len(body) - 2 * MIB


def test_an_object_that_was_replaced_is_begun_anew(shaky: ShakyStore, delta: tuple[str, bytes], tmp_path: Path) -> None:
    key, body = delta
    shaky.cut_after = lambda: 5 * MIB // 4 if shaky.sent_bytes < 4 * MIB else 0
    with pytest.raises(StoreUnavailable):
        download_of(shaky).object(key, tmp_path / "delta", len(body))
    shaky.cut_after = lambda: None
    shaky.objects[key] = other = noise(len(body), 5)
    download_of(shaky).object(key, tmp_path / "delta", len(body))
    assert (tmp_path / "delta").read_bytes() == other


def test_an_object_that_is_not_there_or_has_another_size_is_named(
    shaky: ShakyStore, delta: tuple[str, bytes], tmp_path: Path
) -> None:
    key, body = delta
    with pytest.raises(BlobMissing):
        download_of(shaky).object(key + "x", tmp_path / "none", 5)
    with pytest.raises(Exception, match=f"{len(body)} bytes"):
        download_of(shaky).object(key, tmp_path / "other", len(body) - 7)
