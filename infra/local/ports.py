"""Free ports on the loopback interface."""

import random
import socket

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 32_700
"""Below the range from which Linux takes ports for outgoing connections, so that a server which ends can come back."""


def free_ports(count: int) -> list[int]:
    """Ports without a listener right now. Another program may take one first: check who answers."""
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randint(LOWEST, HIGHEST)
        with socket.socket() as bound:
            # As servers do it: a closed connection that lingers does not count as taken.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind((LOOPBACK, port))
            except OSError:
                continue
        ports.add(port)
    return list(ports)
