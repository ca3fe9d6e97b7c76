"""A program that loads weights of its own, started as a pod is; the file ``--memory`` says what it has loaded."""

import argparse
import functools
import os
import threading
import time
from pathlib import Path

from modelcast.consumers import Watcher
from modelcast.consumers.artifacts.sources import FolderArtifacts

parser = argparse.ArgumentParser()
for name in ("region", "port-file", "cache-dir", "state-dir", "memory"):
    parser.add_argument(f"--{name}", required=True)
given = parser.parse_args()
memory = Path(given.memory)
os.environ["MODELCAST_REGIONS__EU__TOKEN"] = os.environ["MODELCAST_POD_TOKEN"]


def load(folder: Path) -> None:
    if (folder / "wait.txt").exists():
        seconds, begun = (folder / "wait.txt").read_text().split()
        Path(begun).touch()
        time.sleep(float(seconds))
    memory.write_text(str(int((folder / "number.txt").read_text())))


watcher = Watcher(
    "adder",
    region=given.region,
    name="program",
    state_dir=Path(given.state_dir),
    cache_dir=Path(given.cache_dir),
    artifacts=functools.partial(FolderArtifacts, Path(given.cache_dir)),
    on_retire=lambda _model: memory.unlink(),
).follow(load)
port_file = Path(given.port_file)
aside = port_file.with_suffix(".aside")
aside.write_text(watcher.url.rpartition(":")[2])
aside.rename(port_file)
threading.Event().wait()
