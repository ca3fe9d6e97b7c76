"""Daemons of a ``LocalStack`` that are forked; it starts them as it starts any."""

from collections.abc import Mapping
from pathlib import Path

from modelcast.infra.local.layout import Daemon
from modelcast.infra.local.process import Child
from modelcast.infra.local.service import DaemonService
from tests.support.processes.fork_server import COMMAND_LINE
from tests.support.processes.forked import start_forked
from tests.support.servers.shared_servers import shared


class ForkedService(DaemonService):
    """A daemon of a stack, forked."""

    @staticmethod
    def spawn(daemon: Daemon, *, env: Mapping[str, str], folder: Path, log: Path) -> Child:
        """See ``DaemonService``."""
        return start_forked(
            shared("forks"), COMMAND_LINE, daemon.arguments, name=daemon.name, log=log, env=env, folder=folder
        )
