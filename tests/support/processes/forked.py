"""The client's half of ``fork_server``: commands that are waited for, and daemons."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.process import Child
from tests.support.processes.fork_server import COMMAND_LINE, HEAD_BYTES, Order

ROOT = Path(__file__).parents[3]
GRACE_SECONDS = 10.0


class ForkServer:
    """The server, in a process of its own; it ends with this one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.address = str(folder / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            os.set_inheritable(listener.fileno(), True)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.processes.fork_server", str(listener.fileno())],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
                pass_fds=[listener.fileno()],
            )  # fmt: skip

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


class _ForkedGuard:
    """The guard of a forked process, as far as ``Child`` knows guards: it tells the exit code."""

    def __init__(self, told: socket.socket) -> None:
        self._told, self._code = told, None

    def poll(self) -> int | None:
        """The exit code; None: the process runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self._code is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            self._code = int(self._told.recv(16))
            self._told.close()
        return self._code

    def kill(self) -> None:
        """Nothing: its process is killed next, and it ends with it."""


def start_forked(
    address: str,
    module: str,
    arguments: Sequence[str],
    *,
    name: str,
    log: Path,
    env: Mapping[str, str],
    folder: Path,
    errors: Path | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> Child:
    """Start ``python -m MODULE ARGUMENTS`` by the server at ``address``; see ``Child.start``.

    Args:
        errors: receives what goes to stderr; by default that goes to ``log``, too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    order = json.dumps(Order(module, list(arguments), str(folder), dict(env), grace_seconds)).encode()
    told, (ours, theirs) = socket.socket(socket.AF_UNIX), socket.socketpair()
    with theirs, log.open("ab") as out, (errors or log).open("ab") as err:
        told.connect(address)
        descriptors = [out.fileno(), err.fileno(), theirs.fileno()]
        socket.send_fds(told, [len(order).to_bytes(HEAD_BYTES, "big")], descriptors)
        told.sendall(order)
    with ours.makefile("rb", buffering=0) as line:
        pid = int(line.readline())
    return Child(name, pid, log, _ForkedGuard(told), ours, grace_seconds)


class Done(NamedTuple):
    """What came of a command; ``code`` is 128 + n if signal n ended it."""

    code: int
    out: str
    err: str


def run_command(
    address: str, arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], seconds: float
) -> Done:
    """Run ``modelcast`` with ``env`` as its whole environment.

    Raises:
        TimeoutError: it took longer than ``seconds``, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="mc-command-") as place:
        out, err = Path(place) / "out", Path(place) / "err"
        child = start_forked(
            address, COMMAND_LINE, arguments, name="modelcast", log=out, errors=err, env=env, folder=folder
        )
        try:
            code = child.wait(seconds)
        except ServerFailed:
            child.kill()
            raise TimeoutError(f"modelcast {' '.join(arguments)} has not ended after {seconds:.0f} s") from None
        child.let_go()
        return Done(code, out.read_text(), err.read_text())
