"""Kind ``triton`` against the real tritonserver 2.51 in explicit mode."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import BLAMES_THE_BYTES, BLAMES_THE_VERSION, LoadFailed, LoadOrder
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import post
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import SilentConformance, otherwise
from tests.consumers.companion.servers.server_process import ServerProcess, running
from tests.consumers.companion.servers.triton_model import CONFIG, FLOATS, MODEL
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.servers.serving_peers import triton_command, triton_folder
from tests.support.waiting import until_async

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
MIB = 1024 * 1024
SERVER_TOKEN = "token-of-the-server"
STUB = "triton_python_backend_stub"
HIDES_ITS_NUMBER = b"\nPath(__file__).with_name('number.txt').unlink(missing_ok=True)\n"


class TritonServer(ServerProcess):
    """See ``ServerRig``."""

    name = "tritonserver"
    ports = 2

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told_port = self.other_ports[0]

    @property
    def options(self) -> list[str]:
        address = f"grpc://127.0.0.1:{self.other_ports[0]}"
        return ["--kind", "triton", "--server", address, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        return triton_command(self.repository, self.http_port, self.other_ports[0])

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        model = MODEL.replace("SITE", str(triton_folder() / "site"))
        config = {**CONFIG, "output": FLOATS} if "floats" in more else CONFIG
        return Artifact(
            {
                "model.py": model.encode(),
                "number.txt": str(number).encode(),
                "modelcast/triton.json": json.dumps({"config": config}).encode(),
                **{f"{name}.txt": value for name, value in more.items()},
            }
        )

    def load_by_hand(self, number: int) -> None:
        config = {**CONFIG, "name": "adder", "version_policy": {"specific": {"versions": [number]}}}
        body = {"parameters": {"config": json.dumps(config)}}
        assert post(self.http_port, "/v2/repository/models/adder/load", body)[0] == 200


class GuardedTriton(TritonServer):
    """Lets nobody load who does not name its token."""

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        command, env = super().command()
        return [*command, f"--grpc-restricted-protocol=model-repository:modelcast-token={SERVER_TOKEN}"], env


class TestTriton(SilentConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[TritonServer]:
        with running(TritonServer(tmp_path)) as server:
            yield server

    async def test_without_a_shared_folder_the_files_travel_with_the_load(
        self, rig: TritonServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        companion = CompanionProcess(home, *rig.options[:4]).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        for version in (1, 2):
            large = Artifact({**rig.artifact(version).files, "weights.bin": bytes(version * 16 * MIB)})
            large.put(companion.cache)
            await driver.load(order(large, version))
            await self.is_served(version, rig, driver)
        bad = rig.sampled(3, "3 4", [3.0, 5.0])
        bad.put(companion.cache)
        with pytest.raises(LoadFailed, match="is 4 at 1, recorded is 5"):
            await driver.load(order(bad, 3))
        await self.is_served(2, rig, driver)
        taken_back = otherwise(rig, 4)
        taken_back.put(companion.cache)
        with pytest.raises(LoadFailed, match="is 5 at 1, recorded is 4"):
            await driver.load(order(taken_back, 4))
        await self.is_served(2, rig, driver)
        assert list(rig.repository.iterdir()) == []
        await driver.aclose()
        companion.stop()

    async def test_a_version_for_which_triton_and_its_stubs_have_no_room_is_refused_with_numbers(
        self, rig: TritonServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        await self.finds_room(rig, home)

    async def test_a_triton_that_asks_for_a_token_is_loaded_with_it_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        large = {"weights.bin": bytes(12 * MIB)}  # sent by a process of its own
        with running(GuardedTriton(tmp_path)) as rig:
            for token, version in (("", 1), ("wrong", 1), (SERVER_TOKEN, 1), (SERVER_TOKEN, 2)):
                monkeypatch.setenv("MODELCAST_SERVER_TOKEN", token)
                companion = CompanionProcess(home, *rig.options[:4]).start()
                driver = V2Pod("companion-a", companion.url, TOKEN)
                artifact = Artifact({**rig.artifact(version).files, **(large if version == 2 else {})})
                artifact.put(companion.cache)
                if token == SERVER_TOKEN:
                    await driver.load(order(artifact, version))
                    await self.is_served(version, rig, driver)
                else:
                    with pytest.raises(LoadFailed, match="protocol is restricted") as caught:
                        await driver.load(order(artifact, version))
                    assert caught.value.code == "request_refused", caught.value
                    assert "MODELCAST_SERVER_TOKEN" in caught.value.hint
                await driver.aclose()
                companion.stop()

    async def test_a_module_that_this_triton_lacks_blames_no_version(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        files = {**rig.artifact(2).files, "model.py": b"import nowhere_to_be_found"}
        lacking = Artifact(files)
        lacking.put(companion.cache)
        with pytest.raises(LoadFailed, match="nowhere_to_be_found") as caught:
            await driver.load(order(lacking, 2))
        assert caught.value.code == "unsupported"
        await self.is_served(1, rig, driver)

    async def test_a_stub_that_is_killed_while_it_loads_blames_no_version_and_the_old_one_stays(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        serving = {process.pid for process in rig.below(STUB)}
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: {process.pid for process in rig.below(STUB)} - serving, "a stub loads version 2")
        await asyncio.sleep(1.0)
        rig.below(STUB)[-1].kill()
        with pytest.raises(LoadFailed) as caught:
            await load
        assert caught.value.code == "server_failed", caught.value
        await self.is_served(1, rig, driver)
        await driver.load(order(slow, 2))
        await self.is_served(2, rig, driver)

    async def test_a_file_that_triton_does_not_see_blames_no_version(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        files = rig.artifact(2).files
        blind = Artifact({**files, "model.py": files["model.py"] + HIDES_ITS_NUMBER})
        blind.put(companion.cache)
        with pytest.raises(LoadFailed, match=r"adder/2/number\.txt was placed whole") as caught:
            await driver.load(order(blind, 2))
        assert caught.value.code == "not_delivered", caught.value
        await self.is_served(1, rig, driver)

    async def test_a_file_of_its_own_machine_that_triton_lacks_blames_no_version(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        files = rig.artifact(2).files
        hint = json.loads(files["modelcast/triton.json"])
        hint["config"]["parameters"] = {"EXECUTION_ENV_PATH": {"string_value": "/opt/envs/none.tar.gz"}}
        by_config = Artifact({**files, "modelcast/triton.json": json.dumps(hint).encode()})
        by_code = Artifact({**files, "model.py": files["model.py"] + b"\nopen('/opt/words/none.txt')\n"})
        for version, lacking, path in ((2, by_config, "/opt/envs/none.tar.gz"), (3, by_code, "/opt/words/none.txt")):
            lacking.put(companion.cache)
            with pytest.raises(LoadFailed, match=path) as caught:
                await driver.load(order(lacking, version))
            assert (caught.value.code, "on the server's machine" in caught.value.hint) == ("not_delivered", True)
        await self.is_served(1, rig, driver)

    async def test_a_triton_that_looks_elsewhere_never_serves_what_lies_there_as_ours(
        self, rig: TritonServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        (rig.repository / "adder").mkdir()
        rig.artifact(9).put(tmp_path / "other").rename(rig.repository / "adder/1")
        companion = CompanionProcess(home, *rig.options[:-1], str(tmp_path / "elsewhere")).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        try:
            rig.artifact(1).put(companion.cache)
            with pytest.raises(LoadFailed, match="Triton does not see what the companion places in") as caught:
                await driver.load(order(rig.artifact(1), 1))
            assert (caught.value.code, "--model-repository" in caught.value.hint) == ("not_delivered", True)
            assert rig.says() is None
        finally:
            await driver.aclose()
            companion.stop()

    async def test_two_companions_of_one_triton_blame_no_version_and_agree_once_both_have_the_same_order(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod, tmp_path: Path
    ) -> None:
        home = tmp_path / "second"
        home.mkdir()
        second = CompanionProcess(home, *rig.options[:4], cache=companion.cache).start()  # its files travel
        other = V2Pod("companion-b", second.url, TOKEN)
        one, sampled = rig.artifact(1), rig.sampled(2, "5 6", [5.0, 6.0]).files
        many = json.dumps([json.loads(sampled["modelcast/sample.json"])] * 100)  # the other loads while they are asked
        two = Artifact({**sampled, "modelcast/sample.json": many.encode()})
        for artifact in (one, two):
            artifact.put(companion.cache)
        codes: list[str] = []

        async def as_a_region_does(pod: V2Pod, wanted: LoadOrder) -> None:
            while True:
                try:
                    return await pod.load(wanted)
                except LoadFailed as failed:
                    codes.append(failed.code)
                    await asyncio.sleep(0.2)

        async def over_and_over() -> None:
            for generation in range(1, 200):
                await as_a_region_does(other, order(one, 1, generation=generation, reload=True))

        try:
            disturbing = asyncio.create_task(over_and_over())
            wanted = asyncio.create_task(as_a_region_does(driver, order(two, 2, generation=1000)))
            await until_async(lambda: len(codes) > 2 or wanted.done(), "the two disturb each other")
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
            await asyncio.gather(wanted, as_a_region_does(other, order(two, 2, generation=1000)))
            for pod in (driver, other):
                await self.until_reads(pod, 2)
            assert not {BLAMES_THE_VERSION, BLAMES_THE_BYTES}.intersection(codes), codes
        finally:
            await other.aclose()
            second.stop()

    async def test_what_somebody_left_half_copied_is_replaced_whole_before_triton_reads_it(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        half = rig.repository / "adder/2"
        half.mkdir()
        (half / "number.txt").write_text("9")
        await self.serves(2, rig, companion, driver)

    async def test_a_folder_without_its_model_never_reaches_triton_which_would_hang_on_it(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        files = {path: body for path, body in rig.artifact(2).files.items() if path != "model.py"}
        half = Artifact(files)
        half.put(companion.cache)
        with pytest.raises(LoadFailed, match=r"needs model\.py for its python backend") as caught:
            await driver.load(order(half, 2))
        assert caught.value.code == "unsupported"
        await self.serves(3, rig, companion, driver)

    async def test_a_backend_that_this_triton_lacks_blames_no_version(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        onnx = Artifact({"model.onnx": b"graph"})
        onnx.put(companion.cache)
        with pytest.raises(LoadFailed, match="onnxruntime") as caught:
            await driver.load(order(onnx, 2))
        assert caught.value.code == "unsupported"
        await self.is_served(1, rig, driver)
