"""``modelcast up`` and ``down``: the stack of this machine, kept until it is taken down."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.layout import CONFIG_FILE, PODS_PER_REGION, REGIONS, check_shape, inherited_env
from modelcast.infra.local.process import tail
from modelcast.infra.local.progress import SILENT, Progress
from modelcast.infra.local.servers.jars import cache_dir
from modelcast.infra.local.state import (
    ALIVE_LOCK,
    MARK,
    STATE_FILE,
    StackInfo,
    is_alive,
    is_guard,
    marked,
    read_state,
    send_signal,
    start_time,
    turn,
)
from modelcast.schemas.errors import Refused

READY_SECONDS_MAX = 900.0
STOP_SECONDS_MAX = 45.0
GUARDS_SECONDS_MAX = 20.0
DATA = ("kafka", "s3", "redis", "daemons", "regions", "logs")
RUN = (CONFIG_FILE, STATE_FILE, STATE_FILE.replace(".json", ".partial"))
LOG = "logs/supervisor.log"


def default_dir() -> Path:
    """Where a kept stack lives by default."""
    return cache_dir() / "up"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to keep running, and in which folder. A shape that is not named is that of the stack that is up."""

    directory: Path = field(default_factory=default_dir)
    regions: tuple[str, ...] | None = None
    pods_per_region: int | None = None
    with_daemons: bool = True


def up(options: UpOptions, progress: Progress = SILENT) -> StackInfo:
    """Start the stack, or find it running, and return once it is ready.

    It goes on with the data that an earlier one left in the folder. What an earlier ``up`` that was interrupted left
    half-started is waited for; what is left of one that died is ended first.

    Raises:
        UsageError: the shape makes no sense.
        Refused: the folder holds something else, or a stack of another shape.
        ServerFailed: it did not come up.
    """
    regions = REGIONS if options.regions is None else options.regions
    pods = PODS_PER_REGION if options.pods_per_region is None else options.pods_per_region
    check_shape(regions, pods)
    directory = options.directory.absolute()
    with turn(directory) as turn_fd:
        supervisor: subprocess.Popen[bytes] | None = None
        if is_alive(directory):
            progress.step(f"already up in {directory}")
        else:
            _refuse_foreign(directory)
            _kill_marked(directory)
            _remove(directory, RUN)
            supervisor = _spawn(directory, regions, pods, turn_fd, with_daemons=options.with_daemons)
        try:
            found = _wait_ready(directory, supervisor, progress)
        except BaseException:
            if supervisor is not None:
                _end(directory, supervisor.pid)
            raise
    if options.regions not in {None, found.regions} or options.pods_per_region not in {None, found.pods_per_region}:
        raise Refused(
            f"a stack of {','.join(found.regions)} with {found.pods_per_region} pods each is up",
            subject=str(directory),
            hint="modelcast down first, or another --dir",
        )
    return found


def down(directory: Path | None = None, progress: Progress = SILENT, *, delete_data: bool = False) -> bool:
    """Stop the stack and whatever is left of one; say whether anything was there.

    Args:
        directory: its folder; ``default_dir()`` if None.
        progress: called with each step.
        delete_data: remove what was published, logs and all; without it the next ``up`` goes on with them.

    Raises:
        Refused: the folder holds something that is not a stack's.
    """
    directory = (directory or default_dir()).absolute()
    if not directory.parent.exists():
        return False
    with turn(directory):
        there = delete_data and directory.exists()
        _refuse_foreign(directory)
        if is_alive(directory):
            there = True
            progress.step("stopping")
            _wait_until(lambda: read_state(directory) is not None or not is_alive(directory), 10)
            _end(directory, None)
        there = bool(_kill_marked(directory)) or there
        _remove(directory, RUN)
        if delete_data:
            _remove(directory, DATA)
            with suppress(OSError):
                (directory / ALIVE_LOCK).unlink(missing_ok=True)
                directory.rmdir()
    return there


def info(directory: Path | None = None) -> StackInfo | None:
    """The running stack, or None. Its ``ready`` says whether it is up altogether."""
    directory = (directory or default_dir()).absolute()
    return read_state(directory) if is_alive(directory) else None


def _spawn(
    directory: Path, regions: tuple[str, ...], pods_per_region: int, turn_fd: int, *, with_daemons: bool
) -> subprocess.Popen[bytes]:
    log = directory / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    # First of all, so that the folder is known for what it is from now on.
    (directory / ALIVE_LOCK).touch(mode=0o600)
    arguments = [str(directory), ",".join(regions), str(pods_per_region)]
    arguments += ["all" if with_daemons else "servers", str(turn_fd)]
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "modelcast.infra.local.supervisor", *arguments],
            pass_fds=[turn_fd],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=directory,
            env={**inherited_env(), MARK: str(directory)},
            start_new_session=True,
        )


def _wait_ready(directory: Path, supervisor: subprocess.Popen[bytes] | None, progress: Progress) -> StackInfo:
    deadline = time.monotonic() + READY_SECONDS_MAX
    step = ""
    while time.monotonic() < deadline:
        ended = supervisor.poll() is not None if supervisor else not is_alive(directory)
        found = read_state(directory)
        if found is not None and found.step != step:
            step = found.step
            progress.step(step)
        if ended:
            if found is not None and found.error:
                raise ServerFailed(found.error, hint=f"logs are in {directory / 'logs'}")
            raise ServerFailed("the supervisor ended", subject=str(directory), hint=tail(directory / LOG))
        if found is not None and found.ready:
            return found
        time.sleep(0.05)
    raise ServerFailed(f"not up after {READY_SECONDS_MAX:.0f} s", subject=str(directory), hint=tail(directory / LOG))


def _end(directory: Path, pid: int | None) -> None:
    """Ask the supervisor to stop everything; if it does not, kill it, and the guards stop everything."""
    state = read_state(directory)
    if pid is None and state is not None:
        pid, started = state.pid, state.started
    elif pid is not None:
        started = start_time(pid)
    else:
        return
    if send_signal(pid, started, signal.SIGTERM) and not _wait_until(
        lambda: not _there(pid, started), STOP_SECONDS_MAX
    ):
        send_signal(pid, started, signal.SIGKILL)
    _wait_until(lambda: not _there(pid, started), 5)


def _there(pid: int, started: str) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return start_time(pid) == started


def _kill_marked(directory: Path) -> int:
    """End what a killed supervisor left, guards included; return how many processes that were."""
    if not marked(directory):
        return 0
    # The guards are at it already if the supervisor is dead; they know how to end each part in order.
    _wait_until(lambda: not any(map(is_guard, marked(directory))), GUARDS_SECONDS_MAX)
    count = 0
    while left := marked(directory):
        for pid in left:
            count += send_signal(pid, start_time(pid), signal.SIGKILL)
        time.sleep(0.05)
    return count


def _refuse_foreign(directory: Path) -> None:
    if directory.exists():
        names = {path.name for path in directory.iterdir()}
        if names and ALIVE_LOCK not in names:
            raise Refused("this folder holds something else", subject=str(directory), hint="name an empty one")


def _remove(directory: Path, names: Iterable[str]) -> None:
    for name in names:
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _wait_until(check: Callable[[], bool], seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
