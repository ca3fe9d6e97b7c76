"""A disk that fills at each stage of a fetch, on a small tmpfs in a mount namespace of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_a_disk_that_fills_at_any_stage_leaves_what_served_serving() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not here")
    script = Path(__file__).with_name("full_disk_stages.py")
    command = f"mount -t tmpfs -o size=48m tmpfs /mnt && exec {sys.executable} {script}"
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if result.returncode and "unshare failed" in result.stderr:
        pytest.skip(f"the kernel refuses namespaces: {result.stderr}")
    assert result.returncode == 0, result.stdout + result.stderr
    outcomes = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    assert set(outcomes) == {"fetching", "begin", "allocate", "run", "syncing", "publish", "object", "make", "_apply"}
    assert {outcomes[name] for name in ("begin", "allocate", "syncing", "object", "make")} == {"refused"}
    assert outcomes["publish"] == outcomes["_apply"] == "passed"  # their room was taken before
