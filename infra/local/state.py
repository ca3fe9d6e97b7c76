"""What a kept stack writes about itself, and how its supervisor is told apart from a recycled process id."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from modelcast.infra.files import acquire, held, written_aside
from modelcast.infra.local import guard

STATE_FILE = "stack.json"
ALIVE_LOCK = "supervisor.lock"
TURN_LOCK = "turn.lock"
MARK = "MODELCAST_STACK"
"""Variable that every process of a kept stack has in its environment; its value is the folder."""


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A kept stack.

    Attributes:
        directory: its folder.
        regions: names.
        pods_per_region: serving pods in each.
        pid: the supervisor's process id.
        started: the supervisor's start time in the kernel's own terms; tells it from a later process of that id.
        env: what to export.
        services: process id of each part, by name.
        ready: whether everything came up.
        step: what it is doing right now.
        error: why it could not come up, or "".
    """

    directory: Path
    regions: tuple[str, ...]
    pods_per_region: int
    pid: int = 0
    started: str = ""
    env: dict[str, str] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    ready: bool = False
    step: str = ""
    error: str = ""

    def write(self) -> None:
        """Replace the state file."""
        content = json.dumps(asdict(replace(self, directory=Path())) | {"directory": str(self.directory)}, default=str)
        # It holds the regions' tokens.
        with written_aside(self.directory / STATE_FILE, mode=0o600, durable=False) as file:
            file.write(content.encode())


def read_state(directory: Path) -> StackInfo | None:
    """The state file's content; None if there is none that can be read."""
    try:
        content = json.loads((directory / STATE_FILE).read_text())
        content |= {"directory": Path(content["directory"]), "regions": tuple(content["regions"])}
        return StackInfo(**content)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def start_time(pid: int) -> str:
    """When a process started, in the kernel's terms, with the boot that it belongs to; "" if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    state, ticks = stat.rpartition(")")[2].split()[0], stat.rpartition(")")[2].split()[19]
    return "" if state == "Z" else f"{boot}/{ticks}"


def hold_alive(directory: Path) -> int | None:
    """Take the lock that says "a supervisor lives here"; None if one does. It ends with the process."""
    return acquire(directory / ALIVE_LOCK, wait=False)


def is_alive(directory: Path) -> bool:
    """Whether a supervisor holds the folder."""
    if not (directory / ALIVE_LOCK).exists():
        return False
    fd = hold_alive(directory)
    if fd is None:
        return True
    os.close(fd)
    return False


@contextmanager
def turn(directory: Path) -> Iterator[int]:
    """One ``up`` or ``down`` at a time in a folder; yields the lock's file descriptor.

    A child that inherits the descriptor prolongs the turn until it closes it. The lock file lies beside the folder, so
    that the folder may go.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f".{directory.name}.{TURN_LOCK}")
    with held(path) as descriptor:
        try:
            yield descriptor
        finally:
            if not directory.exists():
                path.unlink(missing_ok=True)


def send_signal(pid: int, started: str, number: signal.Signals) -> bool:
    """Signal a process if it is still the one that started then; say whether it was."""
    try:
        fd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        if not started or start_time(pid) != started:
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def is_guard(pid: int) -> bool:
    """Whether a process is one of the guards, which end their server when their launcher is gone."""
    try:
        return guard.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _lives_in(entry: Path, directory: Path) -> bool:
    """Whether a process works and logs in the folder: for those that write over their environment, as Redis does.

    Raises:
        OSError: it is gone, or another user's.
    """
    inside = f"{directory.resolve()}{os.sep}"
    return all(str((entry / what).readlink()).startswith(inside) for what in ("cwd", "fd/1"))


def marked(directory: Path) -> list[int]:
    """Processes of this user that belong to the folder's stack, whatever their parent is by now."""
    wanted = f"{MARK}={directory}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            if wanted in environment.split(b"\0") or (not environment.strip(b"\0") and _lives_in(entry, directory)):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid() and start_time(pid)]
