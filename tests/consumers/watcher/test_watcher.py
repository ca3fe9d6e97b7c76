"""A ``Watcher`` in this process, driven over HTTP as its region drives it."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers import Watcher
from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodRefused
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import ModelcastError, NotFound, Refused, UsageError
from tests.consumers.pod.models import Artifact, order
from tests.support.waiting import until_async

TOKEN = "token-of-the-region"
MakeWatcher = Callable[..., Watcher]


def artifact(number: int | str) -> Artifact:
    return Artifact({"number.txt": str(number).encode()})


@pytest.fixture
def make_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWatcher]:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__TOKEN", TOKEN)
    monkeypatch.setenv("MODELCAST_REGIONS__EU__CACHE_DIR", str(tmp_path / "cache"))
    made: list[Watcher] = []

    def make(*models: str, **options: object) -> Watcher:
        options.setdefault("artifacts", functools.partial(FolderArtifacts, tmp_path / "cache"))
        made.append(Watcher(*(models or ("adder",)), region="eu", settings=Settings(), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for watcher in made:
        watcher.close()


class Loaded:
    """What the program has loaded, version by version."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.begun = 0
        self.hold = threading.Event()
        self.hold.set()

    def load(self, folder: Path) -> None:
        self.begun += 1
        number = int((folder / "number.txt").read_text())
        assert self.hold.wait(30)
        self.numbers.append(number)


@pytest_asyncio.fixture
async def drive() -> AsyncIterator[Callable[[Watcher], V2Pod]]:
    drivers: list[V2Pod] = []

    def make(watcher: Watcher) -> V2Pod:
        drivers.append(V2Pod("program", watcher.url, TOKEN))
        return drivers[-1]

    yield make
    for driver in drivers:
        await driver.aclose()


def put(tmp_path: Path, number: int | str) -> Artifact:
    made = artifact(number)
    made.put(tmp_path / "cache")
    return made


async def test_each_version_is_handed_over_with_its_files_and_counts_once_it_is_accepted(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    loaded = Loaded()
    driver = drive(make_watcher().follow(loaded.load))
    for version in (1, 2):
        await driver.load(order(put(tmp_path, version), version))
        reading = await driver.read("adder")
        assert (reading.version, reading.manifest_digest, reading.proof) == (
            version,
            artifact(version).digest,
            "memory",
        )
    assert loaded.numbers == [1, 2]


async def test_a_refused_version_fails_with_the_programs_words_and_the_old_one_serves(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    driver = drive(make_watcher().follow(Loaded().load))
    await driver.load(order(put(tmp_path, 1), 1))
    with pytest.raises(LoadFailed, match="ValueError: invalid literal") as caught:
        await driver.load(order(put(tmp_path, "none"), 2))
    assert caught.value.code == BLAMES_THE_VERSION
    assert (await driver.read("adder")).version == 1


async def test_damaged_bytes_are_never_handed_over(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    loaded = Loaded()
    driver = drive(make_watcher().follow(loaded.load))
    (artifact(1).put(tmp_path / "cache") / "number.txt").write_text("9")
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(artifact(1), 1))
    assert (caught.value.code, loaded.numbers) == ("verification_failed", [])


async def test_a_model_that_the_program_does_not_load_is_unsupported(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    driver = drive(make_watcher("adder").follow(Loaded().load))
    with pytest.raises(LoadFailed, match="this program loads adder") as caught:
        await driver.load(order(put(tmp_path, 1), 1, model="other"))
    assert caught.value.code == "unsupported"


async def test_lower_orders_are_refused_also_after_a_restart_that_hands_over_what_was_served(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    first = make_watcher().follow(Loaded().load)
    await drive(first).load(order(put(tmp_path, 5), 5))
    await until_async(lambda: b'"served":{' in next(iter(tmp_path.rglob("adder.json"))).read_bytes(), "it is recorded")
    await asyncio.to_thread(first.close)
    loaded = Loaded()
    driver = drive(make_watcher().follow(loaded.load))
    await until_async(lambda: loaded.numbers == [5], "what was served is handed over again")
    with pytest.raises(PodRefused) as caught:
        await driver.load(order(put(tmp_path, 4), 4))
    assert caught.value.code == "stale"


async def test_it_is_ready_once_the_program_serves_a_version_of_each_model(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    watcher = make_watcher("adder", "other").follow(Loaded().load)
    driver = drive(watcher)

    async def ready() -> bool:
        async with aiohttp.ClientSession() as http, http.get(f"{watcher.url}/readyz") as response:
            return response.status == 200

    await driver.load(order(put(tmp_path, 1), 1))
    assert not await ready()
    await driver.load(order(put(tmp_path, 1), 1, model="other"))
    async with asyncio.timeout(20):
        while not await ready():
            await asyncio.sleep(0.02)


async def test_a_newer_order_waits_for_a_program_that_loads(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    loaded = Loaded()
    loaded.hold.clear()
    driver = drive(make_watcher().follow(loaded.load))
    first = asyncio.create_task(driver.load(order(put(tmp_path, 1), 1)))
    await until_async(lambda: loaded.begun == 1, "the program loads the first")
    second = asyncio.create_task(driver.load(order(put(tmp_path, 2), 2)))
    await asyncio.sleep(0.2)
    loaded.hold.set()
    with pytest.raises(PodRefused) as caught:
        await first
    assert caught.value.code == "superseded"
    await second
    assert loaded.numbers == [1, 2]
    assert (await driver.read("adder")).version == 2


async def test_what_the_program_has_not_seen_is_withdrawn_for_a_newer_order(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    loaded = Loaded()
    loaded.hold.clear()
    driver = drive(make_watcher("adder", "other").follow(loaded.load))
    busy = asyncio.create_task(driver.load(order(put(tmp_path, 1), 1, model="other")))
    await until_async(lambda: loaded.begun == 1, "the program loads the other model")
    unseen = asyncio.create_task(driver.load(order(put(tmp_path, 2), 2)))
    await asyncio.sleep(0.2)
    newer = asyncio.create_task(driver.load(order(put(tmp_path, 3), 3)))
    with pytest.raises(PodRefused) as caught:
        await unseen
    assert caught.value.code == "superseded"
    loaded.hold.set()
    await asyncio.gather(busy, newer)
    assert loaded.numbers == [1, 3]


async def test_beside_a_running_event_loop_it_waits_without_blocking_it(
    make_watcher: MakeWatcher, drive: Callable[[Watcher], V2Pod], tmp_path: Path
) -> None:
    watcher, numbers = make_watcher(), []

    async def watch() -> None:
        async for update in watcher:
            with update as folder:
                numbers.append(int((folder / "number.txt").read_text()))

    watching = asyncio.create_task(watch())
    await asyncio.to_thread(lambda: watcher.url)
    await drive(watcher).load(order(put(tmp_path, 1), 1))  # on the loop on which the watcher waits
    assert numbers == [1]
    await asyncio.to_thread(watcher.close)
    await asyncio.wait_for(watching, 20)


def test_a_plain_loop_in_three_lines(make_watcher: MakeWatcher, tmp_path: Path) -> None:
    watcher, numbers = make_watcher(), []
    one, two = put(tmp_path, 1), put(tmp_path, 2)

    def region() -> None:
        async def drive_it() -> None:
            driver = V2Pod("program", watcher.url, TOKEN)
            await driver.load(order(one, 1))
            await driver.load(order(two, 2))
            await driver.aclose()

        asyncio.run(drive_it())

    thread = threading.Thread(target=region)
    thread.start()
    for update in watcher:
        with update as folder:
            numbers.append((update.version, int((folder / "number.txt").read_text())))
        if update.version == 2:
            break
    thread.join(20)
    assert numbers == [(1, 1), (2, 2)]


@contextmanager
def taken(watcher: Watcher) -> Iterator[int]:
    watcher.follow(lambda _folder: None)
    yield int(watcher.url.rpartition(":")[2])


def test_what_keeps_it_from_starting_is_raised_where_it_is_used(make_watcher: MakeWatcher, tmp_path: Path) -> None:
    with taken(make_watcher()) as port:
        with pytest.raises(ModelcastError, match="can't listen"):
            make_watcher(port=port, state_dir=tmp_path / "other").follow(lambda _folder: None)
        with pytest.raises(Refused, match="another pod uses this state folder"):
            make_watcher().follow(lambda _folder: None)


def test_what_it_lacks_is_named_with_what_to_set(tmp_path: Path) -> None:
    bare = Settings(regions={"eu": {}})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="MODELCAST_REGIONS__EU__TOKEN"):
        Watcher("fraud", region="eu", settings=bare)
    complete = Settings(regions={"eu": {"token": "t", "cache_dir": str(tmp_path)}})  # type: ignore[dict-item]
    for port, told in ((0, "needs a port of its own"), (8080, "the settings name none")):
        with pytest.raises(UsageError, match=told):
            Watcher("fraud", region="eu", settings=complete, port=port, advertise="http://here:8080")
    with pytest.raises(UsageError, match="needs the name of a model"):
        Watcher(region="eu", settings=bare)
    with pytest.raises(NotFound, match="'us'"):
        Watcher("fraud", region="us", settings=bare)


def test_one_watcher_is_used_in_one_way(make_watcher: MakeWatcher) -> None:
    watcher = make_watcher().follow(lambda _folder: None)
    with pytest.raises(UsageError, match="is in use"):
        next(iter(watcher))
