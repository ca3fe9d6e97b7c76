"""What 10,000 small files take, as a ratio to ``cp -r`` and ``sync`` of the same folder in the same round.

All of it is on the disk at the end of every row. ``publish`` hashes and uploads them, ``fetch`` brings them into a
cache, ``pull`` into a folder; the store is this process's memory: only our side is measured. ``delta`` makes the
delta of the folder in which one file of ten changed, ``apply`` rebuilds it. Seconds: medians with minimum and maximum.

    python -m tests.bench.transfer.many_files --json many_files.json [--rounds 3] [--files 10000]
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from modelcast.consumers.fetch import ArtifactCache, Fetcher, pull
from modelcast.deltas import codec as delta
from modelcast.infra.stores import MemoryStore
from modelcast.infra.threads import Threads
from modelcast.producers.artifact import Artifact, scan
from modelcast.producers.publish.upload import Uploader
from tests.bench.figures import conditions, promise, spread

AIM = 10.0
AIMED_AT = ("publish", "fetch", "pull", "apply")
THREADS = 8


def make_folder(folder: Path, count: int, seed: int) -> None:
    """Files of one to eight KiB; one of ten differs from seed to seed."""
    for number in range(count):
        path = folder / f"{number % 100:02}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        random = Random(number if number % 10 else number + seed * count)
        path.write_bytes(random.randbytes(1024 + random.randrange(7 * 1024)))


def published(folder: Path, store: MemoryStore) -> Artifact:
    """Read a folder and put what it holds."""
    artifact = scan(folder)
    with Threads(THREADS, "upload") as pool:
        for _ in pool.map(lambda call: call(), Uploader(store, artifact).calls()):
            pass
    return artifact


def timed(act: Callable[[], object]) -> float:
    """Seconds, from a disk that has nothing left to write."""
    os.sync()
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def one_round(old: Path, new: Path, folder: Path) -> dict[str, float]:
    """Seconds of each row."""

    def copy() -> None:
        subprocess.run(["cp", "-r", new, folder / "copy"], check=True)
        os.sync()

    found = {"cp": timed(copy), "publish": timed(lambda: published(new, MemoryStore()))}
    store = MemoryStore()
    artifact = published(new, store)
    cache = ArtifactCache(folder / "cache")
    found["fetch"] = timed(lambda: Fetcher(store, None, cache).fetch(artifact.digest))
    found["pull"] = timed(lambda: pull(store, artifact.digest, folder / "pulled"))
    found["delta"] = timed(lambda: delta.make(old, new, folder / "delta"))
    found["apply"] = timed(lambda: delta.apply(old, folder / "delta", folder / "applied"))
    return found


def main() -> None:
    """Measure, print a table, and fail if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    found: dict[str, Any] = {"conditions": conditions(), "files": options.files}
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        old, new = Path(name) / "old", Path(name) / "new"
        for seed, folder in enumerate((old, new)):
            make_folder(folder, options.files, seed)
        for _ in range(options.rounds):
            work = Path(tempfile.mkdtemp(dir=name))
            rounds.append(one_round(old, new, work))
            shutil.rmtree(work)
    print(f"{options.files} files; load at the start {found['conditions']['load_at_start']:.1f}")
    print(f"{'':8}{'seconds':>9}{'min':>8}{'max':>8}{'times cp':>10}")
    for row in rounds[0]:
        seconds = spread([each[row] for each in rounds])
        ratio = spread([each[row] / each["cp"] for each in rounds])
        found[row] = {"seconds": seconds, "times_cp": ratio}
        print(f"{row:8}{seconds['median']:9.2f}{seconds['min']:8.2f}{seconds['max']:8.2f}{ratio['median']:10.1f}")
    found["promises"] = {
        f"{row}: at most {AIM:g} times cp -r and sync": promise(found[row]["times_cp"]["median"], AIM)
        for row in AIMED_AT
    }
    options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
