"""fakeredis in a process of its own: ``python -m modelcast.infra.local.servers.redis_server PORT READY_FILE``."""

import signal
import sys
from pathlib import Path

from modelcast.infra.local.ports import LOOPBACK


def main(port: int, ready_file: Path) -> None:
    """Serve until SIGTERM. ``ready_file`` appears once it listens."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer((LOOPBACK, port), server_type="redis")
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready_file.touch()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
