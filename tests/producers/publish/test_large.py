"""A folder of large shards: bounded memory, and what did not change does not move."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.producers.publish import publish_large
from tests.support.network.cutting_proxy import CuttingProxy
from tests.support.servers.stores import S3ForTests

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

MIB = 1024 * 1024
SHARDS, SHARD_BYTES = 6, 100 * MIB
MEMORY_MAX_BYTES = 256 * MIB


def write_shard(folder: Path, number: int, seed: int) -> None:
    """Mostly a hole; a MiB of noise makes it another file for each number and seed."""
    with (folder / f"shard-{number}.bin").open("wb") as file:
        file.truncate(SHARD_BYTES)
        file.seek(number * MIB)
        file.write(np.random.default_rng(number * 1000 + seed).bytes(MIB))


def publish_twice(s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path) -> dict[str, Any]:
    """Publish the folder, and again with one shard changed, both in little memory; what the second publisher says."""
    aws_env(s3)
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(SHARDS):
        write_shard(folder, number, 0)
    with CuttingProxy(s3.endpoint_url) as proxy:
        url = f"s3://{s3.bucket()}"

        def publish() -> dict[str, Any]:
            command = [sys.executable, publish_large.__file__, folder, tmp_path / "bases", url, proxy.endpoint_url]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=280
            )
            assert done.returncode == 0, done.stderr
            said: dict[str, Any] = json.loads(done.stdout)
            return said

        first = publish()
        assert first["uploaded_bytes"] == SHARDS * SHARD_BYTES
        assert first["memory_bytes"] < MEMORY_MAX_BYTES, first
        write_shard(folder, 2, 1)
        before = proxy.sent_bytes
        second = publish()
        assert (second["version"], second["uploaded_bytes"]) == (2, SHARD_BYTES)
        assert proxy.sent_bytes - before < SHARD_BYTES + 8 * MIB
        assert second["memory_bytes"] < MEMORY_MAX_BYTES, second
        return second


@pytest.mark.soak
def test_a_folder_of_shards_takes_little_memory_and_only_the_changed_shard_moves_again(
    s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path
) -> None:
    publish_twice(s3, aws_env, tmp_path)
