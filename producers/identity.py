"""Who publishes or commands, by default, and from where."""

import getpass
import os
import socket
import sys
from pathlib import Path


def whoami() -> str:
    """``user@host``, or the host alone where users have no names."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()


def where_from() -> str:
    """Where this process runs, for the audit: ``user@host, process 12: modelcast``."""
    return f"{whoami()}, process {os.getpid()}: {Path(sys.argv[0] or sys.executable).name}"
