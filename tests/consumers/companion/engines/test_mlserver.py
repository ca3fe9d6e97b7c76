"""Kind ``mlserver`` against the real MLServer 1.7.1, in one process and with a worker."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import post
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import ComparingConformance, SilentConformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ServerProcess, running
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.servers.serving_peers import mlserver_python
from tests.support.waiting import until_async

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
HINT = {"implementation": "number_runtime.NumberModel"}


class MLServer(ServerProcess):
    """See ``ServerRig``."""

    name = "MLServer"
    gapless = False
    ports = 3

    def __init__(self, root: Path, workers: int) -> None:
        super().__init__(root)
        self.workers = workers
        self.says_why = workers > 0  # in one process a loader's exception is a plain 500, without a word
        (root / "metrics").mkdir()

    @property
    def options(self) -> list[str]:
        return ["--kind", "mlserver", "--server", self.url, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        grpc_port, metrics_port = self.other_ports
        env = {
            **os.environ,
            "PYTHONPATH": str(PROGRAMS),
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.http_port),
            "MLSERVER_GRPC_PORT": str(grpc_port),
            "MLSERVER_METRICS_PORT": str(metrics_port),
            "MLSERVER_METRICS_DIR": str(self.root / "metrics"),  # else it writes where it is started
            "MLSERVER_PARALLEL_WORKERS": str(self.workers),
        }
        return [str(mlserver_python().parent / "mlserver"), "start", str(self.repository)], env

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact(
            {
                "number.txt": str(number).encode(),
                "modelcast/mlserver.json": json.dumps(HINT).encode(),
                **{f"{name}.txt": value for name, value in more.items()},
            }
        )

    def load_by_hand(self, number: int) -> None:
        settings = {**HINT, "name": "adder", "parameters": {"uri": f"./{number}"}}
        (self.repository / "adder/model-settings.json").write_text(json.dumps(settings))
        assert post(self.http_port, "/v2/repository/models/adder/load", {})[0] == 200


class ElsewhereServer(MLServer):
    """Looks for its models in another folder than that in which the companion places them."""

    @property
    def view(self) -> Path:
        return self.root / "view"

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        (*start, _), env = super().command()
        self.view.mkdir(exist_ok=True)
        return [*start, str(self.view)], env


async def test_a_folder_that_mlserver_does_not_see_blames_no_version_and_says_what_to_do(tmp_path: Path) -> None:
    home = tmp_path / "companion"
    home.mkdir()
    with running(ElsewhereServer(tmp_path, 0)) as rig:
        companion = CompanionProcess(home, *rig.options).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        rig.artifact(1).put(companion.cache)
        seen = rig.view / "adder"
        try:
            for said in ("Model adder not found", r"Invalid URI specified for model adder \(.*/view/adder/1\)"):
                with pytest.raises(LoadFailed, match=said) as caught:
                    await driver.load(order(rig.artifact(1), 1))
                assert (caught.value.code, "as --repository" in caught.value.hint) == ("not_delivered", True)
                if not seen.exists():  # now it sees the settings, and still not the version's folder
                    seen.mkdir()
                    (seen / "model-settings.json").symlink_to(rig.repository / "adder/model-settings.json")
            (seen / "1").symlink_to(rig.repository / "adder/1")
            await driver.load(order(rig.artifact(1), 1))
            assert rig.says() == 1
        finally:
            await driver.aclose()
            companion.stop()


class MLServerConformance(ComparingConformance):
    workers = 0

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[MLServer]:
        with running(MLServer(tmp_path, self.workers)) as server:
            yield server


class TestMLServerInOneProcess(MLServerConformance, SilentConformance):
    workers = 0


class TestMLServerWithAWorker(MLServerConformance, SilentConformance):
    workers = 1

    async def test_a_version_for_which_mlserver_and_its_worker_have_no_room_is_refused_with_numbers(
        self, rig: MLServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        await self.finds_room(rig, home)

    async def test_a_worker_that_is_killed_while_it_loads_blames_no_version(
        self, rig: MLServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        await until_async(lambda: (rig.repository / "adder" / "2").exists(), "the files are placed")
        await asyncio.sleep(1.0)
        (worker,) = rig.below("multiprocessing.spawn")
        worker.kill()
        with pytest.raises(LoadFailed) as caught:
            await load
        assert caught.value.code in {"server_failed", "unreachable"}, caught.value
        await self.until_reads(driver, 1)
        await driver.load(order(slow, 2))
        await self.is_served(2, rig, driver)
