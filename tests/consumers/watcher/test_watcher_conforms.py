"""A program with a ``Watcher`` keeps what every engine promises. It is pod and server in one: nothing dies alone."""

from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import Proof
from tests.consumers.engine_conformance import EngineConformance
from tests.consumers.pod.models import Artifact
from tests.consumers.pod.pod_process import PodProcess

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(300)]


class WatchingProcess(PodProcess):
    """``conforming_program.py``."""

    def command(self) -> list[str]:
        return ["tests.consumers.watcher.conforming_program"]


class ProgramRig:
    """See ``EngineRig``."""

    proof: Proof = "memory"
    outlives = False
    says_why = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.memory = root / "memory"

    def make(self, home: Path) -> PodProcess:
        return WatchingProcess(home, "--memory", str(self.memory), forked=False)

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"number.txt": str(number).encode(), **{f"{name}.txt": text for name, text in more.items()}})

    def corrupt(self) -> Artifact:
        return self.artifact("no number")

    def slow(self, number: int) -> Artifact:
        return self.artifact(number, wait=f"3 {self._begun(number)}".encode())

    def began(self, version: int) -> bool:
        return self._begun(version).exists()

    def says(self) -> int | None:
        return int(self.memory.read_text()) if self.memory.exists() else None

    def _begun(self, version: int) -> Path:
        return self.root / f"begun-{version}"


class TestProgram(EngineConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> ProgramRig:
        return ProgramRig(tmp_path)
