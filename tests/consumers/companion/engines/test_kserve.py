"""Kind ``kserve`` against KServe's real ModelServer, with our model class."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import request
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import SilentConformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ROOT, ServerProcess, running
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.servers.serving_peers import kserve_python

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


class KServeServer(ServerProcess):
    """See ``ServerRig``."""

    name = "KServe"
    program = "kserve_server.py"

    @property
    def options(self) -> list[str]:
        return ["--kind", "kserve", "--server", self.url, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        program = PROGRAMS / self.program
        command = [str(kserve_python()), str(program), str(self.repository), str(self.http_port)]
        return command, {**os.environ, "PYTHONPATH": str(ROOT / "src")}

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"number.txt": str(number).encode(), **{f"{n}.txt": value for n, value in more.items()}})

    def load_by_hand(self, number: int) -> None:
        settings = {"version": number, "digest": self.artifact(number).digest, "folder": str(number)}
        (self.repository / "adder/modelcast.json").write_text(json.dumps(settings))
        assert request(self.http_port, "POST", "/v2/repository/models/adder/load")[0] == 200


class PlainKServeServer(KServeServer):
    """KServe as it comes: its repository loads nothing and says that it did."""

    program = "plain_kserve_server.py"


class TestKServe(SilentConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[KServeServer]:
        with running(KServeServer(tmp_path)) as server:
            yield server


def test_a_load_that_a_newer_one_has_overtaken_does_not_put_its_version_back(tmp_path: Path) -> None:
    command = [str(kserve_python()), str(PROGRAMS / "overtaken_loads.py"), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == "3"


async def test_a_server_without_our_class_is_unsupported_and_blames_nothing(tmp_path: Path) -> None:
    home = tmp_path / "companion"
    home.mkdir()
    with running(PlainKServeServer(tmp_path)) as server:
        companion = CompanionProcess(home, *server.options).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        server.artifact(1).put(companion.cache)
        with pytest.raises(LoadFailed, match="does not run our model class") as caught:
            await driver.load(order(server.artifact(1), 1))
        assert caught.value.code == "unsupported"
        await driver.aclose()
        companion.stop()
