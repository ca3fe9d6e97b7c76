"""One crossing per region: however many workers want an artifact, its bytes come over the long link once."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Context, FetchCancelled, Fetcher, FetchReport
from modelcast.consumers.fetch.planning.single_flight import LeaseRow, Table
from modelcast.consumers.fetch.region import lease as turns_module
from modelcast.consumers.fetch.region.lease import RegionLeases
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.consumers.fetch.transfer.rate_limit import RateLimit
from modelcast.infra.stores import MemoryStore, open_store
from modelcast.schemas import keys
from modelcast.schemas.errors import Refused, StoreUnavailable
from modelcast.schemas.ports import ByteStream, ObjectInfo, ObjectStore, StoredObject
from tests.consumers.fetch.publishing import MIB, Wrapped, noise, publish, tree
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

FILES = {"weights": noise(5 * MIB + 77, 1), "vocab": noise(200_000, 2)}
TOTAL = sum(map(len, FILES.values()))
LONG = 300.0
"""No beat is late by so much, however slow the machine."""


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "LOOK_SECONDS", 0.02)


@pytest.fixture
def origin() -> Wrapped:
    return Wrapped(MemoryStore("origin"))


@pytest.fixture
def region() -> MemoryStore:
    return MemoryStore("region")


def leases_of(region: ObjectStore, holder: str, leases_max: int = 4, expiry_seconds: float = LONG) -> RegionLeases:
    return RegionLeases(region, holder, leases_max, beat_seconds=0.05, expiry_seconds=expiry_seconds)


def worker(origin: ObjectStore, region: ObjectStore, folder: Path, **options: float) -> Fetcher:
    """A machine of its own."""
    leases = leases_of(region, folder.name, **options)  # type: ignore[arg-type]
    return Fetcher(origin, region, ArtifactCache(folder), Link(RateLimit(None, leases.share), leases))


def table_of(region: ObjectStore) -> Table:
    found = region.get(keys.TRANSFERS, size_max=MIB)
    return Table.decode(found.body) if found else Table()


def at_once(acts: list[Callable[[], FetchReport]]) -> list[FetchReport]:
    """All of them, started together."""
    gate, reports, errors = threading.Barrier(len(acts)), [], []

    def run(act: Callable[[], FetchReport]) -> None:
        gate.wait()
        try:
            reports.append(act())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    return reports


def one_crossing(origin: Wrapped, region: ObjectStore, folder: Path, workers: int) -> None:
    manifest = publish(origin, FILES)
    caches = [folder / f"machine{n}" for n in range(workers)]
    fetchers = [worker(origin, region, cache) for cache in caches]
    reports = at_once([lambda f=f: f.fetch(manifest.digest) for f in fetchers])  # type: ignore[misc]
    assert origin.blob_bytes_read == TOTAL
    assert sorted(report.bytes_moved for report in reports) == [0] * (workers - 1) + [TOTAL]
    for cache in caches:
        with ArtifactCache(cache).open(manifest.digest) as there:
            assert tree(there) == FILES
    assert table_of(region) == Table()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_an_artifact_crosses_once(origin: Wrapped, region: MemoryStore, tmp_path: Path, workers: int) -> None:
    one_crossing(origin, region, tmp_path, workers)


@pytest.mark.integration
@pytest.mark.parametrize("workers", [2, 5])
def test_an_artifact_crosses_once_on_a_server(s3: S3ForTests, tmp_path: Path, workers: int) -> None:
    one_crossing(Wrapped(server_store(s3, "origin")), server_store(s3, "region"), tmp_path, workers)


@pytest.mark.real
def test_an_artifact_crosses_once_on_a_real_store(versitygw: S3ForTests, tmp_path: Path) -> None:
    one_crossing(Wrapped(server_store(versitygw, "origin")), server_store(versitygw, "region"), tmp_path, 5)


def server_store(server: S3ForTests, name: str) -> ObjectStore:
    return open_store(
        f"s3://{server.bucket(name)}/{name}",
        endpoint_url=server.endpoint_url,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
    )


def test_a_small_artifact_asks_nobody(origin: Wrapped, tmp_path: Path) -> None:
    class Strict(MemoryStore):
        def get(self, key: str, *, size_max: int) -> StoredObject | None:
            assert key != keys.TRANSFERS
            return super().get(key, size_max=size_max)

    manifest = publish(origin, {"w": noise(MIB - 1)})
    assert worker(origin, Strict("region"), tmp_path).fetch(manifest.digest).bytes_moved == MIB - 1


def test_a_large_one_costs_the_region_three_small_requests_more(
    origin: Wrapped, region: MemoryStore, tmp_path: Path
) -> None:
    asked: list[str] = []

    class Counting(Wrapped):
        def get(self, key: str, *, size_max: int) -> StoredObject | None:
            asked.append(f"get {key}")
            return super().get(key, size_max=size_max)

        def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
            asked.append(f"put {key}")
            return super().put(key, body, if_absent=if_absent, if_match=if_match)

    leases = RegionLeases(Counting(region), "one", 4, beat_seconds=LONG)
    lease = leases.lease("sha256:" + "a" * 64, Context())
    assert lease.take() is False
    assert lease.take() is False  # it is ours already
    lease.drop()
    lease.drop()
    assert asked == ["get transfers", "put transfers", "get transfers", "put transfers"]


def test_a_holder_that_died_midway_is_replaced(origin: Wrapped, region: MemoryStore, tmp_path: Path) -> None:
    manifest = publish(origin, FILES)
    region.put(keys.TRANSFERS, Table((LeaseRow(manifest.digest, "dead", 3),)).encode())
    watcher = worker(origin, region, tmp_path / "watcher", expiry_seconds=0.3)
    began = time.monotonic()
    report = watcher.fetch(manifest.digest)
    assert report.bytes_moved == TOTAL
    assert time.monotonic() - began >= 0.3
    assert table_of(region) == Table()


def test_a_worker_that_comes_back_takes_up_its_own_flight_at_once(
    origin: Wrapped, region: MemoryStore, tmp_path: Path
) -> None:
    manifest = publish(origin, FILES)
    region.put(keys.TRANSFERS, Table((LeaseRow(manifest.digest, "machine", 3),)).encode())
    assert worker(origin, region, tmp_path / "machine").fetch(manifest.digest).bytes_moved == TOTAL


def test_a_holder_beats_as_long_as_it_flies(region: MemoryStore) -> None:
    lease = leases_of(region, "one").lease("a", Context())
    lease.take()
    until(lambda: table_of(region).rows[0].beat >= 3)
    assert not lease.lost
    lease.drop()
    until(lambda: table_of(region) == Table())


def test_who_waits_may_give_up(region: MemoryStore) -> None:
    region.put(keys.TRANSFERS, Table((LeaseRow("a", "other"),)).encode())
    tired = threading.Event()
    lease = leases_of(region, "one").lease("a", Context(tired))
    threading.Timer(0.2, tired.set).start()
    with pytest.raises(FetchCancelled):
        lease.take()
    assert not lease.lost
    assert table_of(region) == Table((LeaseRow("a", "other"),))


def test_a_holder_that_was_replaced_stops_and_waits(origin: Wrapped, region: MemoryStore, tmp_path: Path) -> None:
    """It was stopped for long; when it wakes up the artifact is somebody else's, and it reads from the region then."""
    manifest = publish(origin, FILES)
    held, woken = threading.Event(), threading.Event()

    class Sleepy(Wrapped):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            held.set()
            assert woken.wait(60)

    sleepy = Sleepy(origin)
    reports: list[FetchReport] = []
    first = worker(sleepy, region, tmp_path / "first")
    thread = threading.Thread(target=lambda: reports.append(first.fetch(manifest.digest)))
    thread.start()
    assert held.wait(60)
    while True:  # the other one takes it
        found = region.get(keys.TRANSFERS, size_max=MIB)
        assert found is not None
        with suppress(Refused):
            region.put(keys.TRANSFERS, Table((LeaseRow(manifest.digest, "other"),)).encode(), if_match=found.info.etag)
            break
    leases = first._link.leases
    assert isinstance(leases, RegionLeases)
    until(lambda: all(lease.lost for lease in leases._ours.values()))
    woken.set()
    publish(region, FILES)
    region.put(keys.TRANSFERS, Table().encode())
    thread.join(120)
    assert len(reports) == 1
    assert sleepy.blob_bytes_read < TOTAL
    with ArtifactCache(tmp_path / "first").open(manifest.digest) as there:
        assert tree(there) == FILES


class Contended(Wrapped):
    """An origin that counts who reads; each reader stays until all others read too, or have waited in vain since.

    Args:
        store: what is read.
        artifacts: by blob key; whoever reads blobs of one artifact is one reader.
        looks: how often each contender has looked for a lease, by artifact.
    """

    IN_VAIN = 20  # looks: more than any race for the table costs

    def __init__(self, store: ObjectStore, artifacts: Mapping[str, str], looks: Mapping[str, int]) -> None:
        super().__init__(store)
        self.readers_max = 0
        self._artifacts = artifacts
        self._looks = looks
        self._reading: Counter[str] = Counter()  # open blobs
        self._begun: set[str] = set()

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        artifact = self._artifacts[key]
        with self.lock:
            self._reading[artifact] += 1
            self._begun.add(artifact)
            self.readers_max = max(self.readers_max, len(+self._reading))
            seen = dict(self._looks)
        try:
            until(lambda: self._others_can_not(seen))
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield stream
        finally:
            with self.lock:
                self._reading[artifact] -= 1

    def _others_can_not(self, seen: Mapping[str, int]) -> bool:
        with self.lock:
            waiting = seen.keys() - self._begun
        return all(self._looks[artifact] - seen[artifact] >= self.IN_VAIN for artifact in waiting)


class Looking(Wrapped):
    """A region's bucket as one contender sees it; counts how often it looks who flies."""

    def __init__(self, store: ObjectStore, artifact: str, looks: Counter[str]) -> None:
        super().__init__(store)
        self._artifact, self._looks = artifact, looks

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self._looks[self._artifact] += key == keys.TRANSFERS
        return super().get(key, size_max=size_max)


@pytest.mark.parametrize("cap", [1, 2])
def test_never_more_than_the_cap_read_from_the_origin(region: MemoryStore, tmp_path: Path, cap: int) -> None:
    store = MemoryStore("origin")
    manifests = [publish(store, {"w": noise(MIB, n), "x": noise(MIB, 10 + n)}) for n in range(6)]
    looks = Counter(dict.fromkeys((m.digest for m in manifests), 0))
    origin = Contended(store, {keys.blob(f.digest): m.digest for m in manifests for f in m.files}, looks)
    fetchers = [
        worker(origin, Looking(region, m.digest, looks), tmp_path / str(n), leases_max=cap)
        for n, m in enumerate(manifests)
    ]
    at_once([lambda f=f, m=m: f.fetch(m.digest) for f, m in zip(fetchers, manifests, strict=True)])  # type: ignore[misc]
    assert origin.readers_max == cap
    assert origin.blob_bytes_read == 12 * MIB


def test_a_damaged_regional_file_comes_from_the_origin_in_turn(
    origin: Wrapped, region: MemoryStore, tmp_path: Path
) -> None:
    manifest = publish(origin, FILES)
    publish(region, FILES)
    damaged = bytearray(FILES["weights"])
    damaged[0] ^= 1
    region.put(keys.blob(manifest.files[1].digest), bytes(damaged))
    turned: list[str] = []

    class Watching(RegionLeases):
        def join(self, lease: object) -> bool:
            turned.append("taken")
            return super().join(lease)  # type: ignore[arg-type]

    leases = Watching(region, "one", 4)
    report = Fetcher(origin, region, ArtifactCache(tmp_path), Link(RateLimit(), leases)).fetch(manifest.digest)
    assert (report.bytes_moved, turned) == (MIB, ["taken"])


@pytest.mark.parametrize("error", [Refused("no"), StoreUnavailable("away")])
def test_a_bucket_that_allows_no_turns_costs_bytes_but_one_that_is_away_ends_the_fetch(
    origin: Wrapped, tmp_path: Path, error: Exception
) -> None:
    class Fails(MemoryStore):
        def get(self, key: str, *, size_max: int) -> StoredObject | None:
            if key == keys.TRANSFERS:
                raise error
            return super().get(key, size_max=size_max)

    manifest = publish(origin, FILES)
    fetcher = worker(origin, Fails("region"), tmp_path)
    if isinstance(error, Refused):
        assert fetcher.fetch(manifest.digest).bytes_moved == TOTAL
    else:
        with pytest.raises(StoreUnavailable, match="away"):
            fetcher.fetch(manifest.digest)


def test_a_newcomer_holds_back_until_the_others_know_of_it(region: MemoryStore) -> None:
    first, second = RegionLeases(region, "one", 4, beat_seconds=0.2), RegionLeases(region, "two", 4, beat_seconds=LONG)
    a, b = first.lease("a", Context()), second.lease("b", Context())
    a.take()
    assert first.share() == 1.0
    b.take()
    assert second.share() == 0.0
    until(lambda: first.share() == 0.5)
    b.drop()
    until(lambda: first.share() == 1.0)
    a.drop()


def test_who_was_not_heard_of_for_very_long_stops_by_itself(tmp_path: Path) -> None:
    """The bucket answers others, perhaps, but not us: they may have replaced us."""

    class Deaf(MemoryStore):
        deaf = False

        def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
            if self.deaf:
                raise StoreUnavailable("away")
            return super().put(key, body, if_absent=if_absent, if_match=if_match)

    region = Deaf("region")
    lease = leases_of(region, "one", expiry_seconds=0.5).lease("a", Context())
    lease.take()
    region.deaf = True
    until(lambda: lease.lost)
    region.deaf = False
    until(lambda: not lease.lost)
    lease.drop()
