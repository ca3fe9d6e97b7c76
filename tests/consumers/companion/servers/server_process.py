"""What the rigs of the conformance suite share: a server process on a repository of its own, started, killed, asked."""

import json
import os
import shutil
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import psutil

from modelcast.consumers.pod_clients.port import Proof
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.consumers.companion.asked import QUESTION, alive, infer
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.pod.models import Artifact
from tests.consumers.pod.pod_process import PodProcess
from tests.support.waiting import until

ROOT = Path(__file__).parents[4]
PROGRAMS = Path(__file__).parent
START_SECONDS = 120.0
S = TypeVar("S", bound="ServerProcess")


class ServerProcess(ABC):
    """See ``ServerRig``. A server that answers V2's ``infer`` at ``http_port``, unless a subclass asks it otherwise."""

    name: ClassVar[str]
    gapless: ClassVar[bool] = True
    says_why = True
    proof: ClassVar[Proof] = "memory"
    outlives = True
    ports = 1

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = root / "repository"
        self.repository.mkdir()
        self.log = root / "server.log"
        self.http_port, *self.other_ports = free_ports(self.ports)
        self.told_port = self.http_port
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    @abstractmethod
    def options(self) -> list[str]:
        """See ``ServerRig.options``."""

    def make(self, home: Path) -> PodProcess:
        return CompanionProcess(home, "--grace-seconds", "0.1", *self.options)

    def began(self, version: int) -> bool:
        return (self.repository / "adder" / str(version)).exists()

    @abstractmethod
    def command(self) -> tuple[list[str], Mapping[str, str]]:
        """Its command line and environment."""

    @abstractmethod
    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        """A version whose answers say ``number``, with files ``<name>.txt`` beside it."""

    def corrupt(self) -> Artifact:
        return self.artifact("no number")

    def foreign(self) -> Artifact:
        return Artifact({"weights.gguf": b"something else"})

    def slow(self, number: int) -> Artifact:
        return self.artifact(number, wait=b"4")

    def sampled(self, number: int, answers: str, recorded: Sequence[float], asked: object = QUESTION) -> Artifact:
        answer = {"name": "y", "datatype": "FP32", "shape": [len(recorded)], "data": list(recorded)}
        sample = {"request": asked, "response": {"outputs": [answer]}}
        files = self.artifact(number, floats=answers.encode()).files
        return Artifact({**files, "modelcast/sample.json": json.dumps(sample).encode()})

    def load_by_hand(self, number: int) -> None:
        raise NotImplementedError

    def start(self) -> None:
        assert self._child is None, f"{self.name} runs"
        command, env = self.command()
        self._child = child = Child.start(command, name=self.name, log=self.log, env=env)
        until(lambda: not child.running or self.answers(), f"{self.name} answers", START_SECONDS)
        assert child.running, self.log.read_text()[-4000:]

    def answers(self) -> bool:
        return alive(self.http_port)

    def signal(self, number: int) -> None:
        assert self._child is not None
        os.kill(self._child.pid, number)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def below(self, words: str) -> list[psutil.Process]:
        """The processes below it whose command line holds these words, oldest first."""
        assert self._child is not None
        found = []
        for process in psutil.Process(self._child.pid).children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                if words in " ".join(process.cmdline()):
                    found.append((process.create_time(), process))
        return [process for _, process in sorted(found, key=lambda each: each[0])]

    def empty(self) -> None:
        shutil.rmtree(self.repository / "adder")

    def says(self) -> int | None:
        return infer(self.http_port)


@contextmanager
def running(server: S) -> Iterator[S]:
    """The server, started; killed at the end."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def another_program(port: int, folder: Path) -> Iterator[None]:
    """An HTTP server that knows nothing of models, where a model server was."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    other = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port), "the other one answers")
        yield
    finally:
        other.kill()
        other.wait(10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
