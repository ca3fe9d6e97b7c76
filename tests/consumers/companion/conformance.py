"""What a companion promises, whatever the server beside it: run against the real server of each kind."""

import asyncio
import shutil
import signal
from pathlib import Path

import aiohttp
import pytest

from modelcast.consumers.companion.samples import trial_name
from modelcast.consumers.companion.server_processes import server_pids
from modelcast.consumers.pod.memory_room import MIB, private_bytes
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_VERSION,
    LoadFailed,
    LoadOrder,
    PodUnreachable,
)
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import infer
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.servers.server_process import another_program
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

    async def test_a_server_that_starts_from_files_that_were_changed_is_loaded_anew(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        changed = [path for path in (rig.repository / "adder").rglob("*") if path.is_file() and path.parts[-2] == "1"]
        assert changed
        for path in changed:
            path.write_bytes(path.read_bytes().replace(b"1", b"9"))
        rig.start()
        await self.until_reads(driver, 1)
        await self.is_served(1, rig, driver)

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

    async def test_a_version_that_answers_otherwise_only_once_it_takes_traffic_is_taken_back_also_the_first(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        for serves, version in ((None, 1), (2, 3)):
            if serves:
                await self.serves(serves, rig, companion, driver)
            other = otherwise(rig, version)
            other.put(companion.cache)
            with pytest.raises(LoadFailed, match="is 5 at 1, recorded is 4") as caught:
                await driver.load(order(other, version))
            assert caught.value.code == BLAMES_THE_VERSION, caught.value
            assert (await driver.read("adder")).version == serves
            if serves:
                assert rig.says() == serves  # at once, not once the companion looks again
            else:
                await until_async(lambda: rig.says() is None, "the server lets go of it")

    async def test_an_older_version_that_somebody_loads_by_hand_is_noticed_and_put_right(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod
    ) -> None:
        for version in (1, 2):
            await self.serves(version, rig, companion, driver)
        await asyncio.to_thread(rig.load_by_hand, 1)
        await until_async(lambda: "no longer serving" in companion.log.read_text(), "the companion notices")
        await self.until_reads(driver, 2)
        await self.is_served(2, rig, driver)

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

    async def test_a_companion_killed_in_a_trial_leaves_nothing_of_it_and_the_next_one_knows_the_last_good_version(
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
        shutil.rmtree(second.cache / rig.artifact(1).digest[7:])  # what serves can be had from nowhere else
        other = otherwise(rig, 2)
        other.put(second.cache)
        with pytest.raises(LoadFailed, match="is 5 at 1, recorded is 4"):
            await driver.load(order(other, 2, epoch=2))
        assert rig.says() == 1
        await driver.load(order(slow, 3, epoch=2))
        await self.is_served(3, rig, driver)
        assert (rig.repository / "adder/1").is_dir(), "the last good version stays"
        assert infer(rig.http_port, trial_name("adder")) is None
        await driver.aclose()

    # --- what they say ---

    async def load_code(self, driver: V2Pod, wanted: LoadOrder) -> str:
        """The code of a load that fails."""
        with pytest.raises(LoadFailed) as caught:
            await driver.load(wanted)
        return caught.value.code

    async def finds_room(self, rig: ServerRig, home: Path) -> None:
        """A companion that knows what the server may take refuses what is too large for it, and loads what is not."""
        first = CompanionProcess(home, *rig.options).start()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        await driver.aclose()
        first.stop()
        used_bytes = sum(map(private_bytes, server_pids(rig.told_port)))
        assert used_bytes > 10 * MIB
        second = CompanionProcess(home, *rig.options, "--memory-max-bytes", str(used_bytes + 32 * MIB)).start()
        driver = V2Pod("companion-a", second.url, TOKEN)
        try:
            await self.until_reads(driver, 1)
            large = Artifact({**rig.artifact(2).files, "weights.bin": bytes(64 * MIB)})
            large.put(second.cache)
            with pytest.raises(LoadFailed, match=r"at least 64 MiB, \d+ MiB are free: of the server.s") as caught:
                await driver.load(order(large, 2))
            assert (caught.value.code, "--no-memory-check" in caught.value.hint) == ("out_of_resources", True)
            assert not (rig.repository / "adder/2").exists()
            await self.is_served(1, rig, driver)
            await self.serves(3, rig, second, driver)
        finally:
            await driver.aclose()
            second.stop()


class SilentConformance(ComparingConformance):
    """Of servers that can be made to hang, and another program to take their place."""

    async def test_a_server_that_hangs_or_another_program_in_its_place_is_not_ready_and_blames_nothing(
        self, rig: ServerRig, companion: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
    ) -> None:
        rig.signal(signal.SIGSTOP)
        try:  # nothing is served yet: only the server itself can show that it is away
            await self.until_ready(http, companion, False)
        finally:
            rig.signal(signal.SIGCONT)
        await self.until_ready(http, companion, True)
        await self.serves(1, rig, companion, driver)
        rig.artifact(2).put(companion.cache)
        rig.signal(signal.SIGSTOP)
        try:
            await self.until_ready(http, companion, False)
            async with http.get(f"{companion.url}/v2/models/adder") as response:
                assert response.status == 503, await response.text()
            assert await self.load_code(driver, order(rig.artifact(2), 2)) == "unreachable"
        finally:
            rig.signal(signal.SIGCONT)
        await self.until_ready(http, companion, True)
        await self.is_served(1, rig, driver)
        rig.kill()
        with another_program(rig.told_port, rig.repository):
            await self.until_ready(http, companion, False)
            assert (await driver.read("adder")).version is None
            code = await self.load_code(driver, order(rig.artifact(2), 2))
            assert code in {"unreachable", "unsupported", "server_failed", "not_delivered"}
        rig.start()
        await self.until_reads(driver, 1)
        await driver.load(order(rig.artifact(2), 2))
        await self.is_served(2, rig, driver)


def otherwise(rig: ServerRig, number: int) -> Artifact:
    """A version that answers as recorded where it is tried, and otherwise under the model's own name."""
    return Artifact({**rig.sampled(number, "3 4", [3.0, 4.0]).files, "otherwise.txt": b"3 5"})
