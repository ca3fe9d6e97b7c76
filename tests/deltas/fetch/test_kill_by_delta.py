"""A fetch of a delta that is killed at any moment goes on where it was."""

from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from tests.consumers.fetch.publishing import MIB, noise
from tests.consumers.fetch.test_kill import World, kill_and_complete
from tests.deltas.fetch.offering import offer
from tests.support.servers.stores import S3ForTests

OLD = noise(24 * MIB, 3)
NEW = b"".join(noise(MIB // 2, 10 + at) + OLD[at * MIB + MIB // 2 : (at + 1) * MIB] for at in range(24))
"""Half of it is new: a dozen MiB of delta."""


def a_delta(world: World) -> None:
    store = world.store(world.origin_url)
    world.program = "tests.deltas.fetch.slow_fetch_by_delta"
    world.before = world.publish({"weights": OLD}).digest
    Fetcher(store, None, ArtifactCache(world.cache_folder)).fetch(world.before)
    manifest = world.publish({"weights": NEW})
    size_bytes = len(store.get(offer(store, manifest, OLD, NEW), size_max=len(NEW)).body)
    assert size_bytes < 13 * MIB
    assert kill_and_complete(world, size_bytes).splitlines()[-1].split()[0] == "delta"


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(420)
def test_a_delta_that_is_killed_again_and_again_moves_little_twice(s3: S3ForTests, tmp_path: Path) -> None:
    a_delta(World(s3, tmp_path))


@pytest.mark.real
@pytest.mark.timeout(420)
def test_a_delta_that_is_killed_again_and_again_moves_little_twice_from_a_real_store(
    versitygw: S3ForTests, tmp_path: Path
) -> None:
    a_delta(World(versitygw, tmp_path))
