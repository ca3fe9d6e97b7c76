"""The road in a copy of the tree from which ``deltas/`` was deleted, without what its extra installs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from modelcast.infra.local.layout import inherited_env
from tests.support.suite.report import SECOND_TRY
from tests.support.suite.second_try import run_twice

ROOT = Path(__file__).parents[3]
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pcodec", "zstandard", "numba"}:
            raise ModuleNotFoundError(f"not installed: {name}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocked())
sys.path = [path for path in sys.path if path not in {SRC!r, ROOT!r}]
"""
FAST = (
    "tests/consumers/fetch/test_fetcher.py",
    "tests/consumers/fetch/planning/test_steps.py",
    "tests/consumers/fetch/test_fetch_damaged.py",
    "tests/producers/test_commands.py",
)
NEEDS_DELTAS = "needs deltas"
"""How the reasons begin of what is skipped where they are not installed."""
NEEDING_DELTAS_MAX = 8
"""So few tests outside ``tests/deltas`` may be about deltas."""
TESTED_MIN = 5000
"""So many tests run without deltas at least: a copy that collects nothing proves nothing."""
JOBS = "5"
"""As many as ``make test`` has."""
WORLDS = "20"
"""So many simulated worlds: they hold no accelerator, so that with deltas they are the same, seed by seed."""
REGIONS = {"eu", "us", "ap"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is under version control but deltas and their tests, in a repository of its own."""
    copy = tmp_path_factory.mktemp("without") / "tree"
    listed = git(ROOT, "ls-files", "-co", "-z", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if not name.startswith(("deltas/", "tests/deltas/")) and name != "src/modelcast/deltas":
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(ROOT / name):
                shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    git(copy, "init", "-q")
    hook = BLOCKED.replace("SRC!r", repr(str(ROOT / "src"))).replace("ROOT!r", repr(str(ROOT)))
    (copy / "src" / "sitecustomize.py").write_text(hook)
    return copy


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", f"safe.directory={folder}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout


def environment(tree: Path) -> dict[str, str]:
    return {**inherited_env(), "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}


def run(tree: Path, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=tree,
        env=environment(tree),
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
    )


def test_no_test_of_the_road_imports_deltas_as_it_is_collected() -> None:
    found = (ROOT / "tests").rglob("*.py")
    ours = [path for path in found if not {"deltas", "bench"} & set(path.relative_to(ROOT).parts)]
    importing = re.compile(r"^(from|import) (modelcast|tests)\.deltas\b", re.MULTILINE)
    assert len(ours) > 300
    assert [str(path.relative_to(ROOT)) for path in ours if importing.search(path.read_text())] == []


def test_no_delta_is_there(tree: Path) -> None:
    script = (
        "from importlib.util import find_spec\n"
        "import modelcast.consumers.fetch as fetch\n"
        "from modelcast.infra.accelerators import load_accelerator as load\n"
        "print(fetch.__file__, find_spec('modelcast.deltas'), load('fetch'), load('publish'))\n"
    )
    done = run(tree, "-c", script, seconds=60)
    assert done.stdout.splitlines()[-1:] == [
        f"{tree}/src/modelcast/consumers/fetch/__init__.py None None None"
    ], done.stderr  # fmt: skip


@pytest.mark.parametrize("command", ["info d", "apply old d new", "make old new d", "publish fraud/7"])
def test_a_delta_command_names_what_to_install(tree: Path, command: str) -> None:
    done = run(tree, "-m", "modelcast.cli.main", "delta", *command.split(), seconds=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs 'modelcast.deltas'" in done.stderr
    assert done.stderr.splitlines()[-1] == "  → pip install 'modelcast[delta]'"


@pytest.mark.timeout(600)
def test_publishing_and_fetching_pass_their_tests(tree: Path) -> None:
    done = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FAST, seconds=550)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout or "100%" in done.stdout


@pytest.mark.without_deltas
@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_every_test_but_those_of_deltas_passes(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    """Those of ``make test``. What is about deltas by nature is skipped, says so, and is counted here.

    What fails is run once more, alone, in the copy; what fails then is not repeated: all of it would be run again.
    """
    results = tmp_path / "results.xml"
    itself = f"--ignore={Path(__file__).relative_to(ROOT)}"  # it would make such a copy of the copy
    lane = ("-q", "-o", "timeout=400", "-m", "not real and not soak and not without_deltas", itself, "tests")
    once = ("-n", JOBS, "--dist", "loadfile", f"--junitxml={results}")
    env = {**environment(tree), "CI": "", "MODELCAST_SIMULATION_SEEDS": WORLDS}
    tries = run_twice(lane, once, tree, env=env, seconds=1600)
    with capsys.disabled():
        for printed in tries.printed:
            print(f"\nwithout deltas: {(printed.strip().splitlines() or ['pytest said nothing'])[-1]}")
    for name in tries.report.second_try:
        record_property(SECOND_TRY, f"in the copy without deltas: {name}")
    assert tries.status == pytest.ExitCode.OK, "\n".join([*tries.printed, *tries.report.failed])
    (suite,) = ElementTree.parse(results).getroot()
    skipped = [str(each.get("message")) for each in suite.iter("skipped")]
    assert [reason for reason in skipped if not reason.startswith(NEEDS_DELTAS)] == []
    assert len(skipped) <= NEEDING_DELTAS_MAX
    assert int(suite.attrib["tests"]) - len(skipped) >= TESTED_MIN


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_demo_publishes_fetches_serves_refuses_damage_and_rolls_back(tree: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    done = run(tree, "-m", "modelcast.cli.main", "demo", "--json", str(summary), seconds=850)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(summary.read_bytes())
    assert (outcome["broken"], outcome["unfinished"], outcome["requests_failed"]) == ([], [], 0)
    served = {label: set(row) for label, row in outcome["seconds_to_serving"].items()}
    labels = ("1", "2", "rollback to 1", "digits-wide/1", "digits-wide/2")
    assert served == dict.fromkeys(labels, REGIONS)
    assert {version: set(why) for version, why in outcome["refused"].items()} == {"3": REGIONS}
    assert all(outcome["refused"]["3"].values())
    crossings = [crossing for row in outcome["transfers"].values() for crossing in row.values()]
    assert crossings
    assert [crossing["way"] for crossing in crossings if "delta" in crossing["way"]] == []
