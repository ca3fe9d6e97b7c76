"""One of Modelcast's processes, as tests drive it: started, asked, killed, started again. Each life has its own log."""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from modelcast.infra.local.process import Child
from modelcast.schemas.states import State
from tests.support.processes.fork_server import FORKED
from tests.support.processes.forked import start_forked
from tests.support.servers.shared_servers import is_test_run, shared
from tests.support.waiting import until

KILL_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 90.0


class Daemon:
    """``python ARGUMENTS``. One of ``FORKED`` is forked, in a test run, from a process that has imported it
    already.

    Args:
        name: for messages, and of its logs.
        arguments: of the interpreter.
        env: its whole environment.
        folder: it runs there, and its logs go there.
    """

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name, self.arguments, self.env, self._folder = name, list(arguments), dict(env), folder
        self.life = 0
        self._child: Child | None = None
        self._ended_by_us = False

    # --- life and death -----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin the next life."""
        assert not self.alive
        self._ended_by_us = False
        self.life += 1
        dash_m, module, *arguments = self.arguments
        if dash_m == "-m" and module in FORKED and is_test_run():
            self._child = start_forked(
                shared("forks"), module, arguments, name=self.name, log=self.log, env=self.env, folder=self._folder
            )
        else:
            command = [sys.executable, *self.arguments]
            self._child = Child.start(command, name=self.name, log=self.log, env=self.env, cwd=self._folder)
        return self

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def died(self) -> bool:
        """It was started, has ended, and nobody here ended it."""
        return self._child is not None and not self._child.running and not self._ended_by_us

    def signal(self, number: int) -> None:
        """Deliver a signal to the process itself."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Wait for its end; its exit code, 128 + n if signal n ended it."""
        return self._running.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._ended_by_us = True
        self.signal(signal.SIGKILL)
        code = self.wait(KILL_SECONDS_MAX)
        assert code == 128 + signal.SIGKILL, f"{self.name} had ended by itself with {code}: {self.log}"

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self._ended_by_us = True
        if self.alive:
            self.signal(signal.SIGTERM)
        return self.wait()

    def let_go(self) -> None:
        """Ask it to end, without waiting."""
        if self._child is not None:
            self._child.let_go()

    def stop(self) -> None:
        """End it, however."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def _running(self) -> Child:
        assert self._child is not None, f"{self.name} was not started"
        return self._child

    # --- what it says -------------------------------------------------------------------------------------------

    @property
    def log(self) -> Path:
        """Of this life."""
        return self._folder / f"{self.name}-{self.life}.log"

    def said(self, text: str) -> bool:
        """Whether its log holds ``text``."""
        return self.log.exists() and text in self.log.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged as JSON under ``event``. A line is written before what it speaks of goes on."""
        text = self.log.read_bytes() if self.log.exists() else b""
        bodies = (
            json.loads(line) for line in text.splitlines() if f'"{event}"'.encode() in line and line.endswith(b"}")
        )
        return [body for body in bodies if body.get("event") == event]

    def state(self, model: str) -> tuple[int, State] | None:
        """(generation, state) of a model as a region agent logged it last."""
        found = [line for line in self.lines("state") if line["model"] == model]
        return (found[-1]["generation"], State(found[-1]["state"])) if found else None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of what it answers at its health port, which its environment names."""
        url = f"http://127.0.0.1:{self.env['MODELCAST_DAEMON__PORT']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self, seconds: float = 40.0) -> None:
        """Wait until it says that it is ready."""
        try:
            until(lambda: self.get("/readyz")[0] == 200, f"{self.name} is ready", seconds)
        except AssertionError:
            raise AssertionError(self.log.read_text()[-4000:]) from None

    def metric(self, line: str) -> float:
        """The value of a metric by its name and labels, as the page writes them."""
        for each in self.get("/metrics")[1].splitlines():
            if each.startswith(line + " "):
                return float(each.rsplit(" ", 1)[1])
        raise LookupError(f"no metric {line}")
