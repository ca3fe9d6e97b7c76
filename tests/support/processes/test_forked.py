"""Forked processes are as real as others: their signals, exit codes, output, folder, environment and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from modelcast.infra.local.layout import inherited_env
from modelcast.infra.local.process import Child
from tests.consumers.pod.pod_process import TOKEN
from tests.support.processes.forked import run_command, start_forked
from tests.support.servers.shared_servers import shared
from tests.support.waiting import until

POD = "modelcast.consumers.pod"
FORGETS = """
import os, sys
from pathlib import Path
from tests.support.processes.forked import start_forked
child = start_forked(sys.argv[1], "modelcast.consumers.pod", sys.argv[3:], name="pod", log=Path(sys.argv[2]),
                     env=dict(os.environ), folder=Path.cwd())
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def arguments(folder: Path) -> list[str]:
    places = ("--cache-dir", str(folder), "--state-dir", str(folder / "state"), "--port-file", str(folder / "port"))
    return ["--name", "a", "--region", "eu", *places]


def pod(folder: Path, *more: str) -> Child:
    env = {**inherited_env(), "MODELCAST_POD_TOKEN": TOKEN}
    return start_forked(
        shared("forks"), POD, [*arguments(folder), *more], name="pod", log=folder / "log", env=env, folder=folder
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_gets_its_signals_and_tells_how_it_ended(tmp_path: Path, number: signal.Signals) -> None:
    child = pod(tmp_path)
    until(lambda: (tmp_path / "port").exists(), "it serves")
    assert child.running
    process = psutil.Process(child.pid)
    assert process.cwd() == str(tmp_path)
    os.kill(child.pid, number)
    assert child.wait(30) == (128 + number if number == signal.SIGKILL else 0)
    assert not child.running
    child.stop()


def test_what_it_says_and_its_own_exit_code_are_kept(tmp_path: Path) -> None:
    child = pod(tmp_path, "--no-such-option")
    assert child.wait(30) == 2
    assert "unrecognized arguments: --no-such-option" in child.log.read_text()


def test_it_ends_with_whoever_started_it_however_that_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORGETS, shared("forks"), str(tmp_path / "log"), *arguments(tmp_path)]
    env = {**os.environ, "MODELCAST_POD_TOKEN": TOKEN}
    forgotten = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert forgotten.returncode == -signal.SIGKILL, forgotten.stderr
    until(lambda: not psutil.pid_exists(int(forgotten.stdout)), "it is gone", 30)


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="modelcast config show"):
        run_command(shared("forks"), ["config", "show"], folder=tmp_path, env=inherited_env(), seconds=0.0)
    assert time.monotonic() - began < 10
