"""What every engine of a pod promises, whatever runs the models: run for real with each kind."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_VERSION,
    LoadFailed,
    PodReading,
    PodRefused,
    PodUnreachable,
    Proof,
)
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.waiting import until_async

MakeCompanion = Callable[[], PodProcess]


class EngineRig(Protocol):
    """What runs the models of one kind of engine, on this machine. The model is ``adder``."""

    @property
    def proof(self) -> Proof:
        """What its readings rest on."""
        ...

    @property
    def outlives(self) -> bool:
        """Whether what serves goes on when the process that the region drives is killed."""
        ...

    @property
    def says_why(self) -> bool:
        """Whether it answers to a load with what went wrong."""
        ...

    def make(self, home: Path) -> PodProcess:
        """The process that the region drives, not started."""
        ...

    def artifact(self, number: int) -> Artifact:
        """A version whose answers say ``number``."""
        ...

    def corrupt(self) -> Artifact:
        """Whole bytes that can't be loaded."""
        ...

    def slow(self, number: int) -> Artifact:
        """As ``artifact``, but its load takes seconds."""
        ...

    def began(self, version: int) -> bool:
        """Whether the load of a ``slow`` version has begun."""
        ...

    def says(self) -> int | None:
        """What the model answers, asked of what runs it; None: it does not serve."""
        ...


class LosingRig(EngineRig, Protocol):
    """What runs the models may die alone, and refuses some formats."""

    @property
    def gapless(self) -> bool:
        """Whether it answers every request while it loads."""
        ...

    def foreign(self) -> Artifact:
        """A format that this kind does not serve."""
        ...

    def kill(self) -> None:
        """SIGKILL, at once; it does not come back before ``start``."""
        ...

    def start(self) -> None:
        """Let it come back; return when it may."""
        ...

    def empty(self) -> None:
        """Have it come back with nothing."""
        ...


class EngineConformance:
    """Subclasses give the fixture ``rig``."""

    @pytest.fixture
    def make_companion(self, tmp_path: Path, rig: EngineRig) -> Iterator[MakeCompanion]:
        """Starts companions on one state folder: a second one is the first restarted."""
        started: list[PodProcess] = []

        def make() -> PodProcess:
            home = tmp_path / "companion"
            home.mkdir(exist_ok=True)
            companion = rig.make(home)
            started.append(companion)
            companion.start()
            return companion

        yield make
        for companion in started:
            companion.stop()

    @pytest.fixture
    def companion(self, make_companion: MakeCompanion) -> PodProcess:
        return make_companion()

    @pytest_asyncio.fixture
    async def driver(self, companion: PodProcess) -> AsyncIterator[V2Pod]:
        driver = V2Pod("companion-a", companion.url, TOKEN)
        yield driver
        await driver.aclose()

    async def test_versions_go_forward_and_back_and_the_answers_with_them(
        self, rig: EngineRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        assert (await driver.read("adder")).version is None
        for generation, version in ((1, 1), (2, 2), (3, 1)):
            artifact = rig.artifact(version)
            artifact.put(companion.cache)
            await driver.load(order(artifact, version, generation=generation))
            reading = await driver.read("adder")
            assert (reading.version, reading.manifest_digest, reading.generation) == (
                *(version, artifact.digest),
                generation,
            )
            assert (reading.ready, reading.proof) == (True, rig.proof)
            assert rig.says() == version

    async def test_a_version_that_can_not_be_loaded_leaves_the_old_one_serving_and_is_to_blame_if_the_server_says_why(
        self, rig: EngineRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        bad = rig.corrupt()
        bad.put(companion.cache)
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(bad, 2))
        assert caught.value.code == (BLAMES_THE_VERSION if rig.says_why else "server_failed"), caught.value
        await self.is_served(1, rig, driver)
        await self.serves(3, rig, companion, driver)

    async def test_damaged_bytes_never_reach_the_server(
        self, rig: EngineRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        folder = rig.artifact(2).put(companion.cache)
        victim = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(rig.artifact(2), 2))
        assert caught.value.code == "verification_failed"
        assert not rig.began(2)
        await self.is_served(1, rig, driver)

    async def test_a_newer_order_overtakes_a_slow_load(
        self, rig: EngineRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow, quick = rig.slow(2), rig.artifact(3)
        for artifact in (slow, quick):
            artifact.put(companion.cache)
        overtaken = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: rig.began(2), "the load has begun")
        await driver.load(order(quick, 3))
        with pytest.raises(PodRefused) as caught:
            await overtaken
        assert caught.value.code == "superseded"
        await self.is_served(3, rig, driver)

    async def test_a_wrong_token_changes_nothing(self, rig: EngineRig, companion: PodProcess, driver: V2Pod) -> None:
        await self.serves(1, rig, companion, driver)
        rig.artifact(2).put(companion.cache)
        stranger = V2Pod("companion-a", companion.url, "another token")
        with pytest.raises(PodRefused) as caught:
            await stranger.load(order(rig.artifact(2), 2))
        assert caught.value.code == "unauthorized"
        await stranger.aclose()
        await self.is_served(1, rig, driver)

    async def test_an_unloaded_model_is_gone(self, rig: EngineRig, companion: PodProcess, driver: V2Pod) -> None:
        await self.serves(1, rig, companion, driver)
        await driver.unload("adder", epoch=1, generation=2)
        assert (await driver.read("adder")).version is None
        await until_async(lambda: rig.says() is None, "the server lets go of it")

    async def test_a_companion_that_is_killed_goes_on_where_it_was(
        self, rig: EngineRig, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(5, rig, first, driver)
        await until_async(lambda: b'"served":{' in (first.home / "state/adder.json").read_bytes(), "it is recorded")
        before = await driver.read("adder")
        first.signal(signal.SIGKILL)
        first.wait()
        await driver.aclose()
        if rig.outlives:
            assert rig.says() == 5
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        await self.until_reads(driver, 5)
        after = await driver.read("adder")
        assert (after.generation, after.epoch, after.manifest_digest) == (
            *(before.generation, before.epoch),
            before.manifest_digest,
        )
        if rig.outlives:
            assert "still serving" in second.log.read_text()
        with pytest.raises(PodRefused) as caught:
            await driver.load(order(rig.artifact(4), 4))
        assert caught.value.code == "stale"
        await driver.aclose()

    async def test_a_companion_killed_in_the_middle_of_a_load_leaves_no_half_version(
        self, rig: EngineRig, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        slow = rig.slow(2)
        slow.put(first.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: rig.began(2), "the load has begun")
        first.signal(signal.SIGKILL)
        first.wait()
        with pytest.raises(PodUnreachable):
            await load
        await driver.aclose()
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        await driver.load(order(slow, 2, epoch=2))
        await self.is_served(2, rig, driver)
        await driver.aclose()

    # --- what they say ---

    async def serves(self, version: int, rig: EngineRig, companion: PodProcess, driver: V2Pod) -> None:
        artifact = rig.artifact(version)
        artifact.put(companion.cache)
        await driver.load(order(artifact, version))
        await self.is_served(version, rig, driver)

    async def is_served(self, version: int, rig: EngineRig, driver: V2Pod) -> None:
        assert (await driver.read("adder")).version == version
        assert await asyncio.to_thread(rig.says) == version

    async def until_reads(self, driver: V2Pod, version: int) -> PodReading:
        deadline = asyncio.get_running_loop().time() + 90
        while True:
            reading = await driver.read("adder")
            if reading.version == version:
                return reading
            assert asyncio.get_running_loop().time() < deadline, f"version {version} is not served again: {reading}"
            await asyncio.sleep(0.1)

    async def until_ready(self, http: aiohttp.ClientSession, companion: PodProcess, ready: bool) -> None:
        deadline = asyncio.get_running_loop().time() + 90
        while True:
            async with http.get(f"{companion.url}/readyz") as response:
                if (response.status == 200) is ready:
                    return
                said = await response.text()
            assert asyncio.get_running_loop().time() < deadline, f"ready should be {ready}: {said}"
            await asyncio.sleep(0.1)


class LosingConformance(EngineConformance):
    """Of engines whose models run where they may die alone."""

    async def test_a_format_of_another_kind_is_unsupported_and_blames_nothing(
        self, rig: LosingRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        other = rig.foreign()
        other.put(companion.cache)
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(other, 2))
        assert caught.value.code == "unsupported", caught.value
        await self.is_served(1, rig, driver)

    async def test_a_server_that_restarts_empty_serves_again_without_help(
        self, rig: LosingRig, companion: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        await self.until_ready(http, companion, False)
        with_trouble = await driver.read("adder")
        assert (with_trouble.version, with_trouble.ready) == (None, False)
        rig.empty()
        rig.start()
        ready = False
        while not ready:
            async with http.get(f"{companion.url}/readyz") as response:
                ready = response.status == 200
            said = await asyncio.to_thread(rig.says)
            assert not ready or said == 1, "no traffic comes before the server has it"
        await self.until_reads(driver, 1)

    async def test_a_server_that_dies_while_it_loads_blames_no_version(
        self, rig: LosingRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: rig.began(2), "the load has begun")
        await asyncio.sleep(1.0)
        rig.kill()
        with pytest.raises(LoadFailed) as caught:
            await load
        assert caught.value.code in {"unreachable", "server_failed", "load_crashed"}, caught.value
        rig.start()
        await self.until_reads(driver, 1)
        await driver.load(order(slow, 2))
        await self.is_served(2, rig, driver)

    async def test_around_a_gap_it_is_not_ready_and_without_one_the_old_version_answers_all_through_a_load(
        self, rig: LosingRig, companion: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        said, ready = [], []
        while not load.done():
            async with http.get(f"{companion.url}/readyz") as response:
                ready.append(response.status == 200)
            if rig.gapless:
                said.append(await asyncio.to_thread(rig.says))
            await asyncio.sleep(0.02)
        await load
        assert all(ready) is rig.gapless
        assert (await driver.read("adder")).gapless is rig.gapless
        assert set(said) <= {1, 2}
        assert said.count(1) > 10 or not rig.gapless
        await self.is_served(2, rig, driver)
