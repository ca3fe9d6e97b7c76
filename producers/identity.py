"""Who publishes or commands, by default."""

import getpass
import socket


def whoami() -> str:
    """``user@host``, or the host alone where users have no names."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()
