"""A demo that is told to end leaves no folder behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

DEADLINE_SECONDS = 60.0


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (signal.SIGTERM, "*"),  # while servers start
        pytest.param(signal.SIGHUP, "models/*/*", marks=pytest.mark.soak),  # while its training writes
        pytest.param(signal.SIGINT, "models/*/*", marks=pytest.mark.soak),
    ],
)
def test_a_demo_told_to_end_clears_its_folder_away(tmp_path: Path, number: signal.Signals, written: str) -> None:
    usual = Path(os.environ.get("MODELCAST_CACHE_DIR") or Path.home() / ".cache" / "modelcast")
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("jars", *(path.name for path in usual.glob("kafka-*.checkpoint"))):
        if (usual / name).exists():
            (cache / name).symlink_to(usual / name)
    command = [sys.executable, "-m", "modelcast.cli.main", "demo", "--regions", "eu", "--pods", "1"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        env = {**os.environ, "MODELCAST_CACHE_DIR": str(cache)}
        demo = subprocess.Popen(command, env=env, stdout=output, stderr=output)
        try:
            until(lambda: list(cache.glob(f"runs/*/{written}")), f"{written} is written", DEADLINE_SECONDS)
            assert demo.poll() is None, log.read_text()
            demo.send_signal(number)
            assert demo.wait(DEADLINE_SECONDS) != 0
        finally:
            demo.kill()
    assert [path for path in (cache / "runs").iterdir() if path.is_dir()] == []
