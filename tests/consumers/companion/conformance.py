"""What a companion promises, whatever the server beside it: run against the real server of each kind."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers.companion.samples import trial_name
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_VERSION,
    LoadFailed,
    PodReading,
    PodRefused,
    PodUnreachable,
)
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import infer
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.servers.server_rig import ServerRig
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.waiting import until_async

MakeCompanion = Callable[[], CompanionProcess]


class Conformance:
    """Subclasses give the fixture ``rig``: a server that runs."""

    @pytest.fixture
    def make_companion(self, tmp_path: Path, rig: ServerRig) -> Iterator[MakeCompanion]:
        """Starts companions on one state folder: a second one is the first restarted."""
        started: list[CompanionProcess] = []

        def make() -> CompanionProcess:
            home = tmp_path / "companion"
            home.mkdir(exist_ok=True)
            companion = CompanionProcess(home, "--grace-seconds", "0.1", *rig.options)
            started.append(companion)
            companion.start()
            return companion

        yield make
        for companion in started:
            companion.stop()

    @pytest.fixture
    def companion(self, make_companion: MakeCompanion) -> CompanionProcess:
        return make_companion()

    @pytest_asyncio.fixture
    async def driver(self, companion: CompanionProcess) -> AsyncIterator[V2Pod]:
        driver = V2Pod("companion-a", companion.url, TOKEN)
        yield driver
        await driver.aclose()

    async def test_versions_go_forward_and_back_and_the_answers_with_them(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
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
            assert (reading.ready, reading.proof) == (True, "memory")
            assert rig.says() == version

    async def test_a_version_that_can_not_be_loaded_leaves_the_old_one_serving_and_is_to_blame_if_the_server_says_why(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        bad = rig.corrupt()
        bad.put(companion.cache)
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(bad, 2))
        assert caught.value.code == (BLAMES_THE_VERSION if rig.says_why else "server_failed"), caught.value
        await self.is_served(1, rig, driver)
        await self.serves(3, rig, companion, driver)

    async def test_a_format_of_another_kind_is_unsupported_and_blames_nothing(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        other = rig.foreign()
        other.put(companion.cache)
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(other, 2))
        assert caught.value.code == "unsupported", caught.value
        await self.is_served(1, rig, driver)

    async def test_damaged_bytes_never_reach_the_server(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        folder = rig.artifact(2).put(companion.cache)
        victim = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(rig.artifact(2), 2))
        assert caught.value.code == "verification_failed"
        assert not (rig.repository / "adder" / "2").exists()
        await self.is_served(1, rig, driver)

    async def test_a_server_that_restarts_empty_serves_again_without_help(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod, http: aiohttp.ClientSession
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        await self.until_ready(http, companion, False)
        with_trouble = await driver.read("adder")
        assert (with_trouble.version, with_trouble.ready) == (None, False)
        rig.empty()
        rig.start()
        await self.until_reads(driver, 1)
        assert rig.says() == 1
        await self.until_ready(http, companion, True)

    async def test_a_server_that_dies_while_it_loads_blames_no_version(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: (rig.repository / "adder" / "2").exists(), "the files are placed")
        await asyncio.sleep(1.0)
        rig.kill()
        with pytest.raises(LoadFailed) as caught:
            await load
        assert caught.value.code in {"unreachable", "server_failed"}, caught.value
        rig.start()
        await self.until_reads(driver, 1)
        await driver.load(order(slow, 2))
        await self.is_served(2, rig, driver)

    async def test_a_companion_that_is_killed_goes_on_where_it_was(
        self, rig: ServerRig, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(5, rig, first, driver)
        await until_async(lambda: b'"served":{' in (first.home / "state/adder.json").read_bytes(), "it is recorded")
        before = await driver.read("adder")
        first.signal(signal.SIGKILL)
        first.wait()
        await driver.aclose()
        assert rig.says() == 5  # the server does not need it
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        await self.until_reads(driver, 5)
        after = await driver.read("adder")
        assert (after.generation, after.epoch, after.manifest_digest) == (
            *(before.generation, before.epoch),
            before.manifest_digest,
        )
        assert "still serving" in second.log.read_text()
        with pytest.raises(PodRefused) as caught:
            await driver.load(order(rig.artifact(4), 4))
        assert caught.value.code == "stale"
        await driver.aclose()

    async def test_a_companion_killed_in_the_middle_of_a_load_leaves_no_half_version(
        self, rig: ServerRig, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        slow = rig.slow(2)
        slow.put(first.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: (rig.repository / "adder" / "2").exists(), "the files are placed")
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

    async def test_a_companion_may_start_before_its_server(
        self, rig: ServerRig, make_companion: MakeCompanion, http: aiohttp.ClientSession
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        await until_async(lambda: b'"served":{' in (first.home / "state/adder.json").read_bytes(), "it is recorded")
        first.signal(signal.SIGTERM)
        first.wait()
        await driver.aclose()
        rig.kill()
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        await self.until_ready(http, second, False)
        rig.start()
        await self.until_reads(driver, 1)
        await self.until_ready(http, second, True)
        await driver.aclose()

    async def test_around_a_gap_it_is_not_ready_and_without_one_the_old_version_answers_all_through_a_load(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod, http: aiohttp.ClientSession
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

    async def test_a_newer_order_overtakes_a_slow_load(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow, quick = rig.slow(2), rig.artifact(3)
        for artifact in (slow, quick):
            artifact.put(companion.cache)
        overtaken = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: (rig.repository / "adder" / "2").exists(), "the files are placed")
        await driver.load(order(quick, 3))
        with pytest.raises(PodRefused) as caught:
            await overtaken
        assert caught.value.code == "superseded"
        await self.is_served(3, rig, driver)

    async def test_a_wrong_token_changes_nothing(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.artifact(2).put(companion.cache)
        stranger = V2Pod("companion-a", companion.url, "another token")
        with pytest.raises(PodRefused) as caught:
            await stranger.load(order(rig.artifact(2), 2))
        assert caught.value.code == "unauthorized"
        await stranger.aclose()
        await self.is_served(1, rig, driver)

    async def test_two_companions_never_share_a_repository(
        self, rig: ServerRig, companion: CompanionProcess, tmp_path: Path
    ) -> None:
        other = CompanionProcess(tmp_path / "other", *rig.options)
        other.home.mkdir(exist_ok=True)
        try:
            with pytest.raises(AssertionError, match="another companion places files"):
                other.start()
        finally:
            other.stop()

    async def test_an_unloaded_model_is_gone(self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod) -> None:
        await self.serves(1, rig, companion, driver)
        await driver.unload("adder", epoch=1, generation=2)
        assert (await driver.read("adder")).version is None
        await until_async(lambda: rig.says() is None, "the server lets go of it")

    async def test_what_somebody_else_does_to_the_server_is_noticed_and_put_right(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        shutil.rmtree(rig.repository / "adder")
        rig.start()
        await self.until_reads(driver, 1)
        assert rig.says() == 1

    # --- what they say ---

    async def serves(self, version: int, rig: ServerRig, companion: CompanionProcess, driver: V2Pod) -> None:
        artifact = rig.artifact(version)
        artifact.put(companion.cache)
        await driver.load(order(artifact, version))
        await self.is_served(version, rig, driver)

    async def is_served(self, version: int, rig: ServerRig, driver: V2Pod) -> None:
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

    async def until_ready(self, http: aiohttp.ClientSession, companion: CompanionProcess, ready: bool) -> None:
        deadline = asyncio.get_running_loop().time() + 90
        while True:
            async with http.get(f"{companion.url}/readyz") as response:
                if (response.status == 200) is ready:
                    return
                said = await response.text()
            assert asyncio.get_running_loop().time() < deadline, f"ready should be {ready}: {said}"
            await asyncio.sleep(0.1)


class ComparingConformance(Conformance):
    """Of kinds that can be asked an artifact's recorded samples."""

    @pytest.mark.parametrize(
        ("answers", "said"),
        [
            ("3 nan", "is not finite at 1"),
            ("3", r"has shape \[1\], recorded is \[2\]"),
            ("3 5", "is 5 at 1, recorded is 4"),
        ],
    )
    async def test_a_version_that_answers_otherwise_than_recorded_reaches_nobody_and_the_old_one_stays(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod, answers: str, said: str
    ) -> None:
        await self.serves(1, rig, companion, driver)
        other = rig.sampled(2, answers, [3.0, 4.0])
        other.put(companion.cache)
        load = asyncio.create_task(driver.load(order(other, 2)))
        answered = set()
        while not load.done():
            answered.add(await asyncio.to_thread(rig.says))
        with pytest.raises(LoadFailed, match=said) as caught:
            await load
        assert caught.value.code == BLAMES_THE_VERSION, caught.value
        assert answered == {1}
        assert infer(rig.http_port, trial_name("adder")) is None
        assert not (rig.repository / trial_name("adder")).exists()
        await self.is_served(1, rig, driver)

    async def test_a_version_that_answers_as_recorded_is_served(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        same = rig.sampled(3, "3 4", [3.0, 4.0])
        same.put(companion.cache)
        await driver.load(order(same, 3))
        await self.is_served(3, rig, driver)
        assert infer(rig.http_port, trial_name("adder")) is None

    async def test_a_sample_that_the_server_refuses_is_told_and_the_old_version_stays(
        self, rig: ServerRig, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        other = rig.sampled(2, "3 4", [3.0, 4.0], {"inputs": "none"})
        other.put(companion.cache)
        with pytest.raises(LoadFailed):
            await driver.load(order(other, 2))
        await self.is_served(1, rig, driver)
        assert not (rig.repository / trial_name("adder")).exists()

    async def test_a_companion_killed_in_a_trial_leaves_nothing_of_it(
        self, rig: ServerRig, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        tried = rig.sampled(3, "3 4", [3.0, 4.0])
        slow = Artifact({**tried.files, "wait.txt": b"4"})
        slow.put(first.cache)
        load = asyncio.create_task(driver.load(order(slow, 3)))
        trial = rig.repository / trial_name("adder")
        await until_async(trial.exists, "the trial has begun")
        first.signal(signal.SIGKILL)
        first.wait()
        with pytest.raises(PodUnreachable):
            await load
        await driver.aclose()
        assert rig.says() == 1
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        await until_async(lambda: not trial.exists(), "what was left of the trial is removed")
        await driver.load(order(slow, 3, epoch=2))
        await self.is_served(3, rig, driver)
        assert infer(rig.http_port, trial_name("adder")) is None
        await driver.aclose()
