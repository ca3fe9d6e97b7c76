"""A disk that fills at each stage of a fetch, on a small tmpfs in a mount namespace of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def outcomes_of(script: Path) -> dict[str, str]:
    """What a program printed that was run with 48 MiB of disk at /mnt, by stage."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not here")
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
    return dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)


def test_a_disk_that_fills_at_any_stage_leaves_what_served_serving() -> None:
    outcomes = outcomes_of(Path(__file__).with_name("full_disk_stages.py"))
    assert set(outcomes) == {"fetching", "begin", "allocate", "run", "syncing", "publish", "object"}
    assert {outcomes[name] for name in ("begin", "allocate", "syncing", "object")} == {"refused"}
    assert outcomes["publish"] == "passed"  # its room was taken before
