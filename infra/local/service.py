"""One daemon of the stack: started, asked whether it is ready, started again."""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from modelcast.infra.local.layout import Daemon
from modelcast.infra.local.process import Child

READY_SECONDS_MAX = 300.0
GRACE_SECONDS = 10.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Service(Protocol):
    """Anything that runs in the stack."""

    child: Child

    def restart(self) -> None:
        """Start it again where it was."""

    def stop(self) -> None:
        """End it and wait until it is gone."""


@dataclass(slots=True)
class DaemonService:
    """A running daemon."""

    daemon: Daemon
    env: Mapping[str, str]
    directory: Path
    child: Child

    @classmethod
    def launch(cls, daemon: Daemon, *, env: Mapping[str, str], directory: Path) -> Self:
        """Start it without waiting; its log goes to ``logs`` under ``directory``."""
        folder = directory / "daemons" / daemon.name
        folder.mkdir(parents=True, exist_ok=True)
        log = directory / "logs" / f"{daemon.name}.log"
        return cls(daemon, env, directory, cls.spawn(daemon, env={**env, **daemon.env}, folder=folder, log=log))

    @staticmethod
    def spawn(daemon: Daemon, *, env: Mapping[str, str], folder: Path, log: Path) -> Child:
        """Its process, which runs in ``folder`` with ``env`` as its whole environment."""
        return Child.start(
            [sys.executable, "-m", "modelcast.cli.main", *daemon.arguments],
            name=daemon.name,
            log=log,
            env=env,
            cwd=folder,
            grace_seconds=GRACE_SECONDS,
        )

    def wait_ready(self) -> None:
        """Wait until it says so itself.

        Raises:
            ServerFailed: it ended, or was not ready in time.
        """
        self.child.wait_until(self.ready, what="ready", seconds_max=READY_SECONDS_MAX)

    def ready(self) -> bool:
        """Whether ``/readyz`` answers 200."""
        try:
            with _direct.open(f"{self.daemon.url}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def restart(self) -> None:
        """Start it again, without waiting."""
        self.child.stop()
        self.child = self.launch(self.daemon, env=self.env, directory=self.directory).child

    def stop(self) -> None:
        """SIGTERM, a grace period, SIGKILL."""
        self.child.stop()
