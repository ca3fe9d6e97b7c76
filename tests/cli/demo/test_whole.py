"""All of the demo, with real servers."""

import json
import sys
from pathlib import Path
from subprocess import run

import pytest

from modelcast.cli.delta_extra import deltas_installed
from modelcast.infra.local.layout import inherited_env

MIB = 1024 * 1024


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_whole_demo_with_one_region_and_one_pod(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    arguments = ["demo", "--regions", "eu", "--pods", "1", "--json", str(summary)]
    done = run(
        [sys.executable, "-m", "modelcast.cli.main", *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=inherited_env(), timeout=850, check=False,
    )  # fmt: skip
    assert summary.exists(), done.stderr
    outcome = json.loads(summary.read_bytes())
    assert (outcome["broken"], outcome["unfinished"], done.returncode) == ([], [], 0), done.stderr
    assert (outcome["requests_failed"], outcome["wrong_version_answers"]) == (0, 0)
    first, second = outcome["transfers"]["digits-wide/1"]["eu"], outcome["transfers"]["digits-wide/2"]["eu"]
    assert first["bytes_total"] > 64 * MIB
    if not deltas_installed():
        assert "delta" not in second["way"]
        return
    if any("delta of digits-wide/2 was not ready" in line for line in outcome["late"]):
        return  # a busy machine: it crossed otherwise, which is late and not wrong
    assert 0 < second["bytes_moved"] < second["bytes_total"] / 10
    assert second["bytes_moved"] + second["bytes_saved"] == second["bytes_total"]
    assert "delta from 1" in second["way"]
    assert "delta from 1" in done.stdout
