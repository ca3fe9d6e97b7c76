"""Owns the processes of a kept stack: ``python -m modelcast.infra.local.supervisor DIR REGIONS PODS all|servers FD``.

Started by ``up`` in a session of its own. A part that dies is started again, with growing pauses, and the log says
so. When the supervisor itself dies, the guards end everything else.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.local.state import MARK, StackInfo, hold_alive, start_time
from modelcast.schemas.errors import ModelcastError

LOOK_SECONDS = 0.2
ALIVE_SECONDS_MAX = 2.0
PAUSE_SECONDS_MIN = 1.0
PAUSE_SECONDS_MAX = 30.0
CALM_SECONDS = 60.0
"""A part that ran this long before it died is started again at once."""


@dataclass(slots=True)
class Restarts:
    """When each part that died may start again."""

    due: dict[str, float] = field(default_factory=dict)
    pause_seconds: dict[str, float] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)

    def died(self, name: str, now: float) -> float:
        """Note a death; return the seconds until the next start."""
        calm = now - self.began.get(name, 0.0) >= CALM_SECONDS
        last = 0.0 if calm else self.pause_seconds.get(name, 0.0)
        pause = min(PAUSE_SECONDS_MAX, max(PAUSE_SECONDS_MIN, last * 2))
        self.pause_seconds[name] = pause
        self.due[name] = now + pause
        return pause

    def started(self, name: str, now: float) -> None:
        """Note a start."""
        self.began[name] = now
        self.due.pop(name, None)


@dataclass(slots=True)
class StepLog:
    """Writes each step into the state file, where ``up`` reads it, and into the log."""

    info: StackInfo

    def step(self, text: str) -> None:
        """Say it."""
        report_line(text)
        self.update(step=text)

    def update(self, **changes: object) -> None:
        """Change the state file."""
        self.info = replace(self.info, **changes)  # type: ignore[arg-type]
        self.info.write()


def report_line(text: str) -> None:
    """One line in the supervisor's log."""
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {text}\n")
    sys.stdout.flush()


def supervise(
    directory: Path,
    regions: tuple[str, ...],
    pods_per_region: int,
    *,
    with_daemons: bool = True,
    turn_fd: int | None = None,
) -> None:
    """Start the stack and keep it until SIGTERM.

    Args:
        directory: the stack's folder.
        regions: names of the regions.
        pods_per_region: serving pods in each.
        with_daemons: whether Modelcast's own processes run, or the servers alone.
        turn_fd: the turn that ``up`` has, given back once the state file is there: the next ``up`` finds this
            supervisor, also when ``up`` was killed while it started it.

    Raises:
        ModelcastError: it did not come up; the state file says why.
    """
    os.environ[MARK] = str(directory)
    deadline = time.monotonic() + ALIVE_SECONDS_MAX
    while (alive := hold_alive(directory)) is None and time.monotonic() < deadline:
        time.sleep(0.02)  # a process that checks whether one is alive holds the lock for a moment
    if alive is None:
        raise ServerFailed("another supervisor has this folder", subject=str(directory))
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    steps = StepLog(StackInfo(directory, regions, pods_per_region, os.getpid(), start_time(os.getpid())))
    steps.update(step="starting")
    if turn_fd is not None:
        os.close(turn_fd)
    try:
        with LocalStack.start(
            directory,
            regions=regions,
            pods_per_region=pods_per_region,
            daemons=None if with_daemons else (),
            progress=steps,
            keep_objects=True,
            rollouts=True,
        ) as stack:
            steps.update(env=stack.env, services=_pids(stack), ready=True, step="ready")
            report_line(f"ready after {stack.ready_seconds['all']:.1f} s")
            _keep(stack, steps)
    except ModelcastError as error:
        steps.update(error=str(error), ready=False)
        raise
    except SystemExit:
        report_line("stopped")


def _keep(stack: LocalStack, steps: StepLog) -> None:
    restarts = Restarts()
    while True:
        now = time.monotonic()
        for name, service in stack.services.items():
            if service.child.running:
                continue
            if name not in restarts.due:
                pause = restarts.died(name, now)
                steps.step(f"{name} ended with code {service.child.exit_code}; starting it again in {pause:.0f} s")
            elif now >= restarts.due[name]:
                try:
                    service.restart()
                except ModelcastError as error:
                    report_line(f"{name} did not start: {error}")
                    restarts.died(name, now)
                    continue
                restarts.started(name, time.monotonic())
                steps.update(services=_pids(stack), step=f"{name} started again")
                report_line(f"{name} started again")
        time.sleep(LOOK_SECONDS)


def _pids(stack: LocalStack) -> dict[str, int]:
    return {name: service.child.pid for name, service in stack.services.items()}


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        supervise(
            Path(sys.argv[1]),
            tuple(sys.argv[2].split(",")),
            int(sys.argv[3]),
            with_daemons=sys.argv[4] == "all",
            turn_fd=int(sys.argv[5]),
        )
    except ModelcastError as failure:
        report_line(f"failed: {failure}")
        sys.exit(1)
