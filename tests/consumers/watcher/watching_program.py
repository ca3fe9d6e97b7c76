"""A program that loads weights of its own: ``REGION PORT MEMORY``; MEMORY says what it has loaded."""

import sys
from pathlib import Path

from modelcast.consumers import Watcher

region, port, memory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
for update in Watcher("adder", region=region, name="program", port=port, advertise=f"http://127.0.0.1:{port}"):
    with update as folder:
        memory.write_text(str(int((folder / "number.txt").read_text())))
