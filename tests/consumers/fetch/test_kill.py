"""Fetches in processes of their own, on real servers: killed at any moment, and racing each other."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, noise, publish, tree
from tests.support.lanes import often
from tests.support.servers.stores import S3ForTests

KILLS = often(20, 4)
FORGOTTEN_MAX = 4 * 8 * 16 * 1024
"""What four readers bring, a packet every 10 ms, while nothing is noted; and some more."""
FILES = {"weights": noise(30 * MIB + 12345, 1), "tokenizer/vocab": noise(MIB // 2, 2), "config.json": b"{}"}
TOTAL = sum(map(len, FILES.values()))


class World:
    """An origin with an artifact, a regional bucket and a cache."""

    def __init__(self, s3: S3ForTests, tmp_path: Path) -> None:
        self.s3, self.tmp_path = s3, tmp_path
        self.origin_url, self.region_url = f"s3://{s3.bucket('origin')}", f"s3://{s3.bucket('region')}/eu"
        self.counter = tmp_path / "counter"
        self.cache_folder = tmp_path / "cache"
        self.files: dict[str, bytes] = {}
        self.before, self.program = "-", "tests.consumers.fetch.slow_fetch"

    def publish(self, files: dict[str, bytes]) -> Manifest:
        """This is what is fetched from now on."""
        self.files = files
        self.manifest: Manifest = publish(self.store(self.origin_url), files)
        return self.manifest

    def store(self, url: str) -> S3Store:
        return open_store(
            url,
            endpoint_url=self.s3.endpoint_url,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
        )

    def start(self, pause_seconds: float) -> subprocess.Popen[str]:
        """A fetch in a process of its own."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", self.program, self.cache_folder, self.manifest.digest),
                *(self.origin_url, self.region_url, self.s3.endpoint_url, self.counter, str(pause_seconds)),
                self.before,
            ],
            env={**os.environ, **self.s3.env},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n", process.communicate()
        return process

    def bytes_read(self) -> int:
        """All bytes of blobs that came from the origin, those for killed processes included."""
        return sum(map(int, self.counter.read_text().split())) if self.counter.exists() else 0

    def check_whole(self) -> None:
        cache = ArtifactCache(self.cache_folder)
        with cache.open(self.manifest.digest) as folder:
            assert tree(folder) == self.files


def kill_and_complete(world: World, total: int) -> str:
    """Kill a fetch of ``total`` bytes again and again, let the last one be; what that one says."""
    randomly = random.Random(7)
    for _ in range(KILLS):
        before = world.bytes_read()
        process = world.start(pause_seconds=0.01)
        # Let a random share of what is left arrive.
        goal = before + randomly.uniform(0, 0.08) * total
        deadline = time.monotonic() + 60
        while world.bytes_read() < goal and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert not (world.cache_folder / "artifacts" / hex_of(world.manifest.digest)).exists(), "killed too late"
    process = world.start(pause_seconds=0)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    world.check_whole()
    assert world.bytes_read() <= total * 1.05
    assert list((world.cache_folder / "incoming").iterdir()) == []
    assert list((world.cache_folder / "trash").iterdir()) == []
    saved = sum(map(len, world.files.values())) - world.bytes_read()
    forgotten = int(output.split()[-2]) - max(0, saved)
    assert 0 <= forgotten <= KILLS * FORGOTTEN_MAX, "what crossed for the killed counts, but for their last moment"
    return output


def a_whole(world: World) -> None:
    world.publish(FILES)
    kill_and_complete(world, TOTAL)


@pytest.mark.integration
@pytest.mark.timeout(420)
def test_a_fetch_that_is_killed_again_and_again_moves_little_twice(s3: S3ForTests, tmp_path: Path) -> None:
    a_whole(World(s3, tmp_path))


@pytest.mark.real
@pytest.mark.timeout(420)
def test_a_fetch_that_is_killed_again_and_again_moves_little_twice_from_a_real_store(
    versitygw: S3ForTests, tmp_path: Path
) -> None:
    a_whole(World(versitygw, tmp_path))


@pytest.mark.integration
def test_processes_that_want_one_artifact_move_it_once(s3: S3ForTests, tmp_path: Path) -> None:
    world = World(s3, tmp_path)
    world.publish(FILES)
    processes = [world.start(pause_seconds=0.005) for _ in range(3)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert sorted(int(output.split()[-1]) for output, _ in results) == [0, 0, TOTAL]
    assert world.bytes_read() == TOTAL
    world.check_whole()


@pytest.mark.integration
def test_who_waits_for_a_fetch_takes_over_when_it_is_killed(s3: S3ForTests, tmp_path: Path) -> None:
    world = World(s3, tmp_path)
    world.publish(FILES)
    first = world.start(pause_seconds=0.05)
    deadline = time.monotonic() + 30
    while world.bytes_read() < 4 * MIB:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    second = world.start(pause_seconds=0)
    killer = threading.Timer(0.3, first.kill)
    killer.start()
    output, errors = second.communicate(timeout=60)
    killer.join()
    first.communicate()
    assert second.returncode == 0, errors
    assert int(output.split()[-1]) < TOTAL
    world.check_whole()
