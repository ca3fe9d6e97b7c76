"""The walk-throughs in docs/walkthroughs, run from their pages against the real servers."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.servers.jars import cache_dir
from tests.support.servers.serving_peers import kserve_python, mlserver_python, triton_command, triton_folder

pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/walkthroughs"
COMMANDS_MAX = 10
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(kind: str) -> str:
    """The page's commands, in their order."""
    return "".join(FENCE.findall((PAGES / f"{kind}.md").read_text()))


def program(folder: Path, name: str, command: list[str], env: Mapping[str, str]) -> None:
    """``name`` on the PATH, as somebody has it who installed the server."""
    file = folder / name
    exports = "".join(f"export {key}='{value}'\n" for key, value in env.items())
    file.write_text(f'#!/bin/sh\n{exports}exec {" ".join(command)} "$@"\n')
    file.chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "modelcast", [sys.executable, "-m", "modelcast.cli.main"], {})
    return folder


def serving(kind: str, folder: Path, root: Path) -> None:
    """The programs of the page's server."""
    if kind == "triton":
        command, env = triton_command(Path("unused"), 1, 2)
        kept = {"--backend-directory", "--cache-directory", "--http-address", "--grpc-address", "--allow-metrics"}
        options = [word for at, word in enumerate(command[1:], 1) if {word, command[at - 1]} & kept]
        options += ["--disable-auto-complete-config"]
        for file in (root / "here").glob("v*/model.py"):  # this Triton has no numpy where its stub looks
            file.write_text(f"import sys\nsys.path.insert(0, {str(triton_folder() / 'site')!r})\n{file.read_text()}")
        program(folder, "tritonserver", [command[0], *options], {"LD_LIBRARY_PATH": env["LD_LIBRARY_PATH"]})
    elif kind == "mlserver":
        (root / "metrics").mkdir()
        grpc, metrics = free_ports(2)
        ports = {"MLSERVER_GRPC_PORT": str(grpc), "MLSERVER_METRICS_PORT": str(metrics)}
        more = {"MLSERVER_METRICS_DIR": str(root / "metrics"), "MLSERVER_HOST": "127.0.0.1"}
        program(folder, "mlserver", [str(mlserver_python().parent / "mlserver")], {**ports, **more})
    else:
        program(folder, "python", [str(kserve_python())], {"PYTHONPATH": str(ROOT / "src")})


@pytest.mark.parametrize("kind", ["triton", "mlserver", "kserve"])
def test_the_page_does_what_it_says(kind: str, bin_folder: Path, tmp_path: Path) -> None:
    script = script_of(kind)
    assert len([line for line in script.splitlines() if line.strip()]) <= COMMANDS_MAX
    http, grpc, companion = free_ports(3)
    for written, used in (("8080", http), ("8081", grpc), ("9100", companion)):
        script = script.replace(written, str(used))
    shutil.copytree(PAGES / kind, tmp_path / "here")
    serving(kind, bin_folder, tmp_path)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MODELCAST_")},
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "MODELCAST_CACHE_DIR": str(tmp_path / "cache"),  # where `up` keeps its data, too
    }
    asked = next(line for line in script.splitlines() if line.startswith("curl")).removeprefix("curl ")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/jars").symlink_to(cache_dir() / "jars")
    end = "trap 'kill $(jobs -p); wait; modelcast down --delete-data' EXIT\n"
    said = tmp_path / "said"
    with said.open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-euc", f"{end}{script}\ncurl --silent {asked} >rolled-back\n"],
            cwd=tmp_path / "here",
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        code = shell.wait(360)
    finally:
        with suppress(ProcessLookupError):  # a server that a subshell started outlives the shell's own trap
            os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, said.read_text()[-6000:]
    assert '"data":[2]' in said.read_text().replace(" ", "")
    assert '"data":[1]' in (tmp_path / "here/rolled-back").read_text().replace(" ", "")
