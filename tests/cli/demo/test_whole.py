"""All of the demo, with real servers; with deltas as they are, and with deltas that do not work."""

import json
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess, run
from typing import Any

import pytest

from modelcast.cli.delta_extra import deltas_installed
from modelcast.infra.local.layout import inherited_env

pytestmark = [pytest.mark.soak, pytest.mark.integration, pytest.mark.timeout(900)]

MIB = 1024 * 1024
BROKEN_IMPORT = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError("not installed: zstandard", name="zstandard")

sys.meta_path.insert(0, Broken())
"""


def demo(folder: Path, *, broken: str = "") -> tuple[dict[str, Any], CompletedProcess[str]]:
    """Its summary, and how it ended, with one region and one pod; no process of it can import the module ``broken``."""
    summary, env = folder / "summary.json", inherited_env()
    if broken:
        hook = folder / "hook" / "sitecustomize.py"
        hook.parent.mkdir()
        hook.write_text(BROKEN_IMPORT.format(module=broken))
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(hook.parent), env.get("PYTHONPATH"))))
    arguments = ["demo", "--regions", "eu", "--pods", "1", "--json", str(summary)]
    done = run(
        [sys.executable, "-m", "modelcast.cli.main", *arguments],
        capture_output=True, text=True, cwd=folder, env=env, timeout=850, check=False,
    )  # fmt: skip
    assert summary.exists(), done.stderr
    return json.loads(summary.read_bytes()), done


def test_the_whole_demo_with_one_region_and_one_pod(tmp_path: Path) -> None:
    outcome, done = demo(tmp_path)
    assert (outcome["broken"], outcome["unfinished"], done.returncode) == ([], [], 0), done.stderr
    assert (outcome["requests_failed"], outcome["wrong_version_answers"]) == (0, 0)
    assert outcome["canary"]["phase"] == "ABORTED"
    assert "of the candidate failed" in outcome["canary"]["why"]
    assert "was out of all traffic by itself" in done.stdout + done.stderr
    first, second = outcome["transfers"]["digits-wide/1"]["eu"], outcome["transfers"]["digits-wide/2"]["eu"]
    assert first["bytes_total"] > 64 * MIB
    if not deltas_installed():
        assert "delta" not in second["way"]
        return
    assert 0 < second["bytes_moved"] < second["bytes_total"] / 10
    assert second["bytes_moved"] + second["bytes_saved"] == second["bytes_total"]
    assert "delta from 1" in second["way"]
    assert "delta from 1" in done.stdout


@pytest.mark.skipif(not deltas_installed(), reason="needs deltas, to break them")
def test_a_publisher_that_makes_no_deltas_breaks_the_demo(tmp_path: Path) -> None:
    outcome, done = demo(tmp_path, broken="modelcast.deltas.publish.publication")
    assert done.returncode == 1
    assert [line.split(":")[0] for line in outcome["broken"]] == ["no delta of digits-wide/2 was made"]


@pytest.mark.skipif(not deltas_installed(), reason="needs deltas, to break them")
def test_a_region_that_uses_no_delta_breaks_the_demo(tmp_path: Path) -> None:
    outcome, done = demo(tmp_path, broken="modelcast.deltas.fetch.accelerator")
    assert done.returncode == 1
    assert ["there before eu fetched, and did not serve" in line for line in outcome["broken"]] == [True]
