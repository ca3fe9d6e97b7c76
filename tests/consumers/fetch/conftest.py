"""Stores and a cache for fetches."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache
from modelcast.consumers.fetch.transfer import retry as retry_module
from modelcast.infra.stores import MemoryStore


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(retry_module, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def region() -> MemoryStore:
    return MemoryStore("region")


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


@pytest.fixture
def on_small_disk() -> Callable[[str], str]:
    """Runs a program of this folder with 40 MiB of disk at /mnt (a tmpfs of its own); gives what it printed."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not here")

    def run(program: str) -> str:
        script = Path(__file__).parent / program
        command = f"mount -t tmpfs -o size=40m tmpfs /mnt && exec {sys.executable} {script}"
        root = Path(__file__).parents[3]
        result = subprocess.run(
            ["unshare", "-rm", "sh", "-c", command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if result.returncode and "unshare failed" in result.stderr:
            pytest.skip(f"the kernel refuses namespaces: {result.stderr}")
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run
