"""Kind ``folder`` against a small real server that is told by a command and asked by a check."""

import http.client
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import Conformance, answers
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]
HERE = Path(__file__).parent


class LinkServer:
    """See ``ServerRig``."""

    def __init__(self, root: Path) -> None:
        self.repository = root / "repository"
        self.repository.mkdir()
        self.log = root / "server.log"
        self.port = free_ports(1)[0]
        self.child: Child | None = None

    @property
    def options(self) -> list[str]:
        tell = f"{sys.executable} {HERE / 'tell_link_server.py'}"
        return [
            *("--kind", "folder", "--repository", str(self.repository)),
            *("--command", f"{tell} load {self.port}", "--check", f"{tell} check {self.port}"),
        ]

    def artifact(self, number: int) -> Artifact:
        return Artifact({"number.txt": str(number).encode()})

    def corrupt(self) -> Artifact:
        return Artifact({"number.txt": b"no number"})

    def foreign(self) -> Artifact:
        return Artifact({"model.bin": b"something else"})

    def slow(self, number: int) -> Artifact:
        return Artifact({"number.txt": str(number).encode(), "wait.txt": b"4"})

    def start(self) -> None:
        command = [sys.executable, str(HERE / "link_server.py"), str(self.repository), str(self.port)]
        self.child = Child.start(command, name="link server", log=self.log)
        answers(lambda: self._get() is not None, "the server answers")

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None

    def empty(self) -> None:
        shutil.rmtree(self.repository / "adder")

    def says(self) -> int | None:
        status, body = self._get()
        return int(body) if status == 200 else None

    def _get(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


class TestFolder(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[LinkServer]:
        server = LinkServer(tmp_path)
        server.start()
        yield server
        server.kill()

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
