"""Deltas of large files: bounded memory beside the upload."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelcast.infra.stores.s3.upload import HELD_MAX_BYTES
from tests.producers.publish.test_large import publish_twice
from tests.support.records.pairs import adam_step, safetensors_bytes, weights
from tests.support.servers.stores import S3ForTests

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
STEP_BYTES = 128 * 1024 * 1024
CODEC_MAX_BYTES = 256 * 1024 * 1024
"""What ``deltas/codec`` promises (``tests/deltas/codec/test_memory.py``); uploads hold parts besides."""


@pytest.mark.soak
def test_a_changed_shard_of_a_folder_is_offered_as_a_delta_and_compressed(
    s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path
) -> None:
    said = publish_twice(s3, aws_env, tmp_path)
    assert [base for base, _, _ in said["deltas"]] == [1, 0]


@pytest.mark.soak
def test_a_delta_that_is_made_beside_the_upload_takes_no_more_than_both_of_them_may(
    s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path
) -> None:
    aws_env(s3)
    folder = tmp_path / "model"
    folder.mkdir()
    url, values = f"s3://{s3.bucket()}", weights(STEP_BYTES // 4)

    def publish(version: int) -> dict[str, Any]:
        step = adam_step(values, 1e-5) if version > 1 else values
        (folder / "model.safetensors").write_bytes(safetensors_bytes({"w": ("F32", step)}))
        program = (sys.executable, "-m", "tests.deltas.publish.publish_waiting")
        done = subprocess.run(
            [*program, folder, tmp_path / "bases", url, s3.endpoint_url],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    publish(1)
    said = publish(2)
    steps = list(said["steps"])
    assert steps.index("deltas") < steps.index("claim"), "it was waited for"
    assert 1 in [base for base, _, _ in said["deltas"]]
    assert said["memory_bytes"] < CODEC_MAX_BYTES + HELD_MAX_BYTES, said
