"""What a companion promises, whatever the server beside it: run against the real server of each kind."""

import asyncio
import shutil
import signal
from pathlib import Path

import aiohttp
import pytest

from modelcast.consumers.companion.samples import trial_name
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_VERSION,
    LoadFailed,
    PodUnreachable,
)
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import infer
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.servers.server_rig import ServerRig
from tests.consumers.engine_conformance import LosingConformance, MakeCompanion
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.waiting import until_async


class Conformance(LosingConformance):
    """Subclasses give the fixture ``rig``: a server that runs."""

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

    async def test_two_companions_never_share_a_repository(
        self, rig: ServerRig, companion: PodProcess, tmp_path: Path
    ) -> None:
        other = CompanionProcess(tmp_path / "other", *rig.options)
        other.home.mkdir(exist_ok=True)
        try:
            with pytest.raises(AssertionError, match="another companion places files"):
                other.start()
        finally:
            other.stop()

    async def test_what_somebody_else_does_to_the_server_is_noticed_and_put_right(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        shutil.rmtree(rig.repository / "adder")
        rig.start()
        await self.until_reads(driver, 1)
        assert rig.says() == 1


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
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod, answers: str, said: str
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
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        same = rig.sampled(3, "3 4", [3.0, 4.0])
        same.put(companion.cache)
        await driver.load(order(same, 3))
        await self.is_served(3, rig, driver)
        assert infer(rig.http_port, trial_name("adder")) is None

    async def test_a_sample_that_the_server_refuses_is_told_and_the_old_version_stays(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
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
