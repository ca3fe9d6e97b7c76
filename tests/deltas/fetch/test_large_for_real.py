"""A folder of large shards travels from a real store, in little memory: killed half-way, resumed, and changed.

``MODELCAST_TEST_LARGE_MIB=4096`` makes it 4 GiB, of which about five copies lie on the disk for a while.
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.stores import open_store
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectInfo
from tests.producers.publish import publish_large
from tests.producers.publish.publish_large import anonymous_bytes
from tests.support.servers.stores import S3ForTests, required_binary, start_versitygw

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

MIB = 1024 * 1024
TOTAL = int(os.environ.get("MODELCAST_TEST_LARGE_MIB", "768")) * MIB
SHARD_BYTES = TOTAL // 16
SIZES = {"shard-0.bin": 11 * SHARD_BYTES, **{f"shard-{number}.bin": SHARD_BYTES for number in range(1, 6)}}
"""The first is larger than what enters a regional bucket with one request: it goes in parts."""
FETCHING_MAX_BYTES = 256 * MIB
"""Of anonymous memory, all in all: 122 MiB were seen, with 4 GiB (six equal shards) 210."""
PUBLISHING_MAX_BYTES = 320 * MIB
"""Above what a publisher has at its start: 197 MiB were seen, with 4 GiB (six equal shards) 210."""
DEADLINE_SECONDS = 60 + TOTAL / 1e7
CHANGED = "shard-2.bin"


def write_shard(path: Path, version: int) -> None:
    """Noise, of which no two shards and versions share a block."""
    noise, left = np.random.default_rng([*path.name.encode(), version]), SIZES[path.name]
    with path.open("wb") as file:
        while left:
            left -= file.write(noise.bytes(min(left, 16 * MIB)))


@dataclass(frozen=True, slots=True)
class World:
    """A folder to publish, a store with an origin and a regional bucket, and a cache."""

    root: Path
    s3: S3ForTests
    origin_url: str
    region_url: str
    begun: list["Fetching"] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "model"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def publish(self) -> dict[str, Any]:
        """Publish the folder in a process of its own; what that one says."""
        program = [sys.executable, publish_large.__file__]
        done = subprocess.run(
            [*program, self.folder, self.root / "bases", self.origin_url, self.s3.endpoint_url],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        print("published", said)
        return said

    def fetch(self, name: str, *digests: str, still_at: int = 0) -> "Fetching":
        """Begin to fetch the last of ``digests`` in a process of its own."""
        counter = self.root / f"{name}.read"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.deltas.fetch.large_fetch", self.cache, self.origin_url),
                *(self.region_url, self.s3.endpoint_url, counter, str(still_at), *digests),
            ],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.begun.append(Fetching(process, counter))
        return self.begun[-1]

    def regional_blobs(self) -> dict[str, ObjectInfo]:
        """What the regional bucket has of files, by key."""
        region = open_store(self.region_url, endpoint_url=self.s3.endpoint_url)
        return {info.key: info for info in region.list("blobs/")}


@dataclass(slots=True)
class Fetching:
    """A process that fetches, and how much memory it was seen to take."""

    process: subprocess.Popen[str]
    counter: Path
    peak_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def bytes_read(self) -> int:
        """From the origin, so far."""
        body = self.counter.read_bytes() if self.counter.exists() else b""
        return int(struct.unpack("<Q", body)[0]) if body else 0

    def watch_until(self, met: Callable[[], bool]) -> None:
        """Look at its memory until ``met``."""
        while not met():
            assert time.monotonic() < self.began + DEADLINE_SECONDS, "too slow"
            self.peak_bytes = max(self.peak_bytes, anonymous_bytes(self.process.pid))
            time.sleep(0.005)

    def ended(self) -> dict[str, Any]:
        """What it says of its cost, once it has ended."""
        self.watch_until(lambda: self.process.poll() is not None)
        output, errors = self.process.communicate()
        assert self.process.returncode == 0, errors
        said: dict[str, Any] = json.loads(output.splitlines()[-1])  # after what is logged
        print(f"fetched in {time.monotonic() - self.began:.1f} s, {self.peak_bytes // MIB} MiB of memory,", said)
        return said

    def killed(self) -> None:
        """Kill it, in whatever it does."""
        self.process.kill()
        _, errors = self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL, errors
        print(f"killed after {self.bytes_read // MIB} MiB, {self.peak_bytes // MIB} MiB of memory")


@pytest.fixture
def world(tmp_path: Path, aws_env: Callable[[S3ForTests], None]) -> Iterator[World]:
    """All of it is gone afterwards: neither the session's store nor the folders that pytest keeps grow by gigabytes."""
    child, server = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), tmp_path / "store")
    aws_env(server)
    world = World(tmp_path, server, f"s3://{server.bucket('origin')}", f"s3://{server.bucket('region')}/eu")
    world.folder.mkdir()
    yield world
    for each in world.begun:  # none is left, unless the test failed
        each.process.kill()
        each.process.wait()
    child.stop()
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def inodes(folder: Path) -> dict[str, int]:
    """Which file on the disk each name is."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_a_large_folder_travels_in_little_memory_goes_on_after_a_kill_and_moves_only_the_shard_that_changed(
    world: World,
) -> None:
    for name in SIZES:
        write_shard(world.folder / name, 1)
    published = world.publish()
    assert published["uploaded_bytes"] == TOTAL
    assert published["memory_bytes"] < PUBLISHING_MAX_BYTES
    first = published["manifest_digest"]

    half = world.fetch("half", first, still_at=int(0.6 * TOTAL))
    half.watch_until(lambda: half.bytes_read > 0.4 * TOTAL or half.process.poll() is not None)
    half.killed()
    assert TOTAL / 3 < half.bytes_read < TOTAL * 2 / 3
    assert not ArtifactCache(world.cache).has(first)
    assert (world.cache / "incoming" / hex_of(first)).is_dir()

    rest = world.fetch("rest", first)
    came = rest.ended()
    assert half.bytes_read + rest.bytes_read <= TOTAL * 1.05
    assert came["bytes_moved"] == rest.bytes_read
    assert max(half.peak_bytes, rest.peak_bytes) < FETCHING_MAX_BYTES
    cache = ArtifactCache(world.cache)
    manifest: Manifest = cache.manifest(first)
    with cache.open(first, verify=False) as folder:  # the shards that stay are verified with the second version
        before = inodes(folder)
    blobs = world.regional_blobs()
    assert {key: info.size_bytes for key, info in blobs.items()} == {
        keys.blob(file.digest): SIZES[file.path] for file in manifest.files
    }

    write_shard(world.folder / CHANGED, 2)
    published = world.publish()
    assert (published["version"], published["uploaded_bytes"]) == (2, SHARD_BYTES)
    assert published["memory_bytes"] < PUBLISHING_MAX_BYTES
    second = published["manifest_digest"]
    changed = world.fetch("changed", first, second)
    came = changed.ended()
    assert came["bytes_moved"] == changed.bytes_read <= SHARD_BYTES + MIB
    assert came["bytes_saved"] == TOTAL - SHARD_BYTES
    assert changed.peak_bytes < FETCHING_MAX_BYTES
    with ArtifactCache(world.cache).open(second, verify=True) as folder:
        after = inodes(folder)
    assert {name for name, inode in after.items() if before[name] != inode} == {CHANGED}
    later = world.regional_blobs()
    assert {key: later[key] for key in blobs} == blobs
    assert [info.size_bytes for key, info in later.items() if key not in blobs] == [SHARD_BYTES]
