"""A child process that can't outlive its launcher, even one that was killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from modelcast.infra.local import guard
from modelcast.infra.local.errors import ServerFailed

T = TypeVar("T")
LOG_TAIL_BYTES = 4096
SPAWN_SECONDS_MAX = 30.0


class Guard(Protocol):
    """The guard, as a ``subprocess.Popen`` is one; its exit code is 128 + n if signal n ended what it guards."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


@dataclass(slots=True, eq=False)
class Child:
    """A running server, watched over by a guard process (``guard.py``).

    The guard ends the server's whole process group as soon as this object's end of their socket closes, which the
    kernel sees to however this process ends. Nothing here needs a clean exit.
    """

    name: str
    pid: int
    log: Path
    _guard: Guard
    _channel: socket.socket
    _grace_seconds: float

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        *,
        name: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_seconds: float = 10.0,
    ) -> Self:
        """Start ``command`` with its output appended to ``log``.

        Args:
            command: program and arguments.
            name: what people call this server in messages.
            log: file that receives stdout and stderr.
            env: the whole environment; the launcher's own if None.
            cwd: working directory.
            grace_seconds: from SIGTERM to SIGKILL when it is stopped.

        Raises:
            ServerFailed: the program could not be started at all.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno()), str(grace_seconds), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if env is None else dict(env),
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.settimeout(SPAWN_SECONDS_MAX)
        pid = _read_pid(ours)
        if pid is None:
            process.kill()
            process.wait()
            raise ServerFailed("could not be started", subject=name, hint=tail(log))
        return cls(name, pid, log, process, ours, grace_seconds)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n if signal n ended it."""
        return self._guard.poll()

    @property
    def running(self) -> bool:
        """Whether the server's first process lives."""
        return self.exit_code is None

    def signal(self, number: int) -> None:
        """Deliver a signal: SIGTERM, SIGINT and SIGHUP to the first process, any other to the whole group."""
        if self.running:
            self._channel.send(bytes([number]))

    def kill(self) -> None:
        """End it as a power failure would, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._guard.wait(self._grace_seconds + SPAWN_SECONDS_MAX)

    def let_go(self) -> None:
        """Ask it to end, without waiting; ``stop`` waits."""
        self._channel.close()

    def stop(self) -> None:
        """End it with SIGTERM, and after the grace period with SIGKILL; wait until it is gone."""
        self.let_go()
        try:
            self._guard.wait(self._grace_seconds + SPAWN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            os.killpg(self.pid, signal.SIGKILL)
            self._guard.wait()

    def wait(self, seconds_max: float) -> int:
        """Wait for it to end by itself; return its exit code.

        Raises:
            ServerFailed: it had not ended after ``seconds_max``.
        """
        try:
            return self._guard.wait(seconds_max)
        except subprocess.TimeoutExpired:
            raise ServerFailed(
                f"did not end within {seconds_max:.0f} s", subject=self.name, hint=tail(self.log)
            ) from None

    def wait_until(self, check: Callable[[], T | None], *, what: str, seconds_max: float) -> T:
        """Ask ``check`` again and again until it answers something true.

        Raises:
            ServerFailed: the server ended, or the deadline passed, before that.
        """
        deadline = time.monotonic() + seconds_max
        while True:
            answer = check()
            if answer:
                return answer
            if not self.running:
                raise ServerFailed(
                    f"ended with code {self.exit_code} before {what}", subject=self.name, hint=tail(self.log)
                )
            if time.monotonic() > deadline:
                raise ServerFailed(f"not {what} after {seconds_max:.0f} s", subject=self.name, hint=tail(self.log))
            time.sleep(0.02)


def tail(log: Path) -> str:
    """The end of a log file, for a message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    return f"{log} says: {text}" if text else f"{log} is empty"


def _read_pid(channel: socket.socket) -> int | None:
    received = b""
    while not received.endswith(b"\n"):
        try:
            chunk = channel.recv(32)
        except (TimeoutError, ConnectionError):
            return None
        if not chunk:
            return None
        received += chunk
    channel.settimeout(None)
    return int(received)
