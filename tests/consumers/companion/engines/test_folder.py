"""Kind ``folder`` against a small real server that is told by a command and asked by a check."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import request
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import Conformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ServerProcess, running
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


class LinkServer(ServerProcess):
    """See ``ServerRig``."""

    name = "link server"

    @property
    def options(self) -> list[str]:
        tell = f"{sys.executable} {PROGRAMS / 'tell_link_server.py'}"
        return [
            *("--kind", "folder", "--repository", str(self.repository)),
            *("--command", f"{tell} load {self.http_port}", "--check", f"{tell} check {self.http_port}"),
        ]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        program = str(PROGRAMS / "link_server.py")
        return [sys.executable, program, str(self.repository), str(self.http_port)], os.environ

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"number.txt": str(number).encode(), **{f"{n}.txt": value for n, value in more.items()}})

    def answers(self) -> bool:
        return request(self.http_port, "GET", "/")[0] in {200, 404}

    def says(self) -> int | None:
        status, number = request(self.http_port, "GET", "/")
        return int(number) if status == 200 else None


class TestFolder(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[LinkServer]:
        with running(LinkServer(tmp_path)) as server:
            yield server

    async def test_without_a_check_nothing_confirms_what_is_served(self, rig: LinkServer, tmp_path: Path) -> None:
        options = rig.options[: rig.options.index("--check")]
        home = tmp_path / "companion"
        home.mkdir()
        companion = CompanionProcess(home, *options).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        rig.artifact(1).put(companion.cache)
        await driver.load(order(rig.artifact(1), 1))
        reading = await driver.read("adder")
        assert (reading.version, reading.proof) == (1, "disk")
        await driver.aclose()
        companion.stop()

    async def test_a_command_that_fails_for_no_reason_of_the_files_blames_no_version(
        self, rig: LinkServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        rig.kill()
        rig.artifact(2).put(companion.cache)
        with pytest.raises(LoadFailed, match="the command ended with 75") as caught:
            await driver.load(order(rig.artifact(2), 2))
        assert caught.value.code == "unreachable"
        assert (rig.repository / "adder/current").resolve().name == "1"

    async def test_a_command_that_blames_the_files_for_a_lack_of_memory_is_not_believed(
        self, rig: LinkServer, tmp_path: Path
    ) -> None:
        options = [*rig.options]
        options[options.index("--command") + 1] = "sh -c 'echo out of memory >&2; exit 65'"
        home = tmp_path / "companion"
        home.mkdir()
        companion = CompanionProcess(home, *options).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        rig.artifact(1).put(companion.cache)
        with pytest.raises(LoadFailed, match="ended with 65: out of memory") as caught:
            await driver.load(order(rig.artifact(1), 1))
        assert caught.value.code == "out_of_resources"
        await driver.aclose()
        companion.stop()
