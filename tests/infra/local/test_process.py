"""A child can't outlive its launcher, whatever happens to either."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.process import Child

FAMILY = """
import subprocess, sys, time
if {deaf}:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)", "{mark}"])
print("up", flush=True)
time.sleep(600)
"""

LAUNCHER = """
import sys, time
from pathlib import Path
from modelcast.infra.local.process import Child
children = []
for index in range(4):
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)", "{mark}"]
    children.append(Child.start(command, name=str(index), log=Path("{log}"), grace_seconds=1))
print("all", flush=True)
time.sleep(600)
"""


def alive_with(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def eventually(check: Callable[[], bool], seconds_max: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds_max
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def mark() -> str:
    return f"mark-{random.getrandbits(64):x}"


def family(mark: str, log: Path, *, deaf: bool = False, grace_seconds: float = 10.0) -> Child:
    child = Child.start(
        [sys.executable, "-S", "-c", FAMILY.format(deaf=deaf, mark=mark), mark],
        name="family",
        log=log,
        grace_seconds=grace_seconds,
    )
    child.wait_until(lambda: "up" in log.read_text(), what="up", seconds_max=10)
    return child


def test_stop_ends_the_whole_group(tmp_path: Path, mark: str) -> None:
    child = family(mark, tmp_path / "log")
    assert len(alive_with(mark)) >= 2
    child.stop()
    assert eventually(lambda: alive_with(mark) == [])
    assert child.exit_code == 128 + signal.SIGTERM


def test_a_child_deaf_to_sigterm_is_killed_after_the_grace_period(tmp_path: Path, mark: str) -> None:
    child = family(mark, tmp_path / "log", deaf=True, grace_seconds=0.3)
    began = time.monotonic()
    child.stop()
    assert 0.3 <= time.monotonic() - began < 5
    assert child.exit_code == 128 + signal.SIGKILL
    assert eventually(lambda: alive_with(mark) == [])


def test_a_stopped_child_still_ends_by_sigterm(tmp_path: Path, mark: str) -> None:
    child = family(mark, tmp_path / "log")
    child.signal(signal.SIGSTOP)
    assert eventually(lambda: "(stopped)" in Path(f"/proc/{child.pid}/status").read_text())
    child.stop()
    assert child.exit_code == 128 + signal.SIGTERM


def test_kill_takes_the_whole_group_without_warning(tmp_path: Path, mark: str) -> None:
    child = family(mark, tmp_path / "log")
    child.kill()
    assert child.exit_code == 128 + signal.SIGKILL
    assert eventually(lambda: alive_with(mark) == [])


def test_a_child_that_ends_takes_its_own_children_along(tmp_path: Path, mark: str) -> None:
    child = family(mark, tmp_path / "log")
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(10) == 128 + signal.SIGKILL
    assert eventually(lambda: alive_with(mark) == [])


def test_an_exit_code_comes_through(tmp_path: Path) -> None:
    child = Child.start([sys.executable, "-c", "raise SystemExit(7)"], name="seven", log=tmp_path / "log")
    assert child.wait(10) == 7


def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="could not be started"):
        Child.start(["/nowhere/at/all"], name="ghost", log=tmp_path / "log")


def test_waiting_ends_when_the_child_does_and_shows_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such luck')"]
    child = Child.start(command, name="brief", log=tmp_path / "log")
    with pytest.raises(ServerFailed, match=r"brief: ended with code 0 before ready.*no such luck"):
        child.wait_until(lambda: False, what="ready", seconds_max=10)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_a_launcher_ended_at_any_moment(tmp_path: Path, mark: str, number: signal.Signals) -> None:
    script = LAUNCHER.format(mark=mark, log=tmp_path / "log")
    for _ in range(6):
        launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        # Up to a little after the last child's start: about 0.1 s of imports, then 20 ms a child.
        time.sleep(random.uniform(0.05, 0.5))
        launcher.send_signal(number)
        launcher.wait(10)
        assert eventually(lambda: alive_with(mark) == []), alive_with(mark)


def test_a_killed_launcher_with_all_children_up_leaves_none(tmp_path: Path, mark: str) -> None:
    script = LAUNCHER.format(mark=mark, log=tmp_path / "log")
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"all\n"
    assert len(alive_with(mark)) > 4
    launcher.kill()
    launcher.wait(10)
    assert eventually(lambda: alive_with(mark) == [])
