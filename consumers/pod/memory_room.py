"""Whether a load fits into memory: asked before it, with numbers; and the limit that a worker lives under."""

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GROUPS = Path("/sys/fs/cgroup")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """Memory that a load may take."""

    free_bytes: int
    why: str  # what sets it, for people


def room(
    max_bytes: int | None, used_bytes: int, promised_bytes: int, limits: Iterable[MemoryRoom], whose: str = "the pod's"
) -> MemoryRoom:
    """The tightest limit: that of the processes together, or what the machine or their control groups have left.

    Args:
        max_bytes: what the processes may take together; None: no limit.
        used_bytes: what they take.
        promised_bytes: what loads under way have been promised and not taken yet.
        limits: what is left on the machine and in the control groups.
        whose: processes they are, for people.
    """
    rooms = [MemoryRoom(limit.free_bytes - promised_bytes, limit.why) for limit in limits]
    if max_bytes is not None:
        free = max_bytes - used_bytes - promised_bytes
        rooms.append(MemoryRoom(free, f"of {whose} {shown(max_bytes)}, {shown(used_bytes)} are in use"))
    return min(rooms, key=lambda r: r.free_bytes)


def refusal(need_bytes: int, found: MemoryRoom) -> str:
    """Why a load of ``need_bytes`` is not begun; "": it fits."""
    if need_bytes <= found.free_bytes:
        return ""
    return f"it needs at least {shown(need_bytes)}, {shown(max(0, found.free_bytes))} are free: {found.why}"


def shown(size_bytes: int) -> str:
    """A size as people read it, in MiB."""
    return f"{size_bytes / MIB:,.0f} MiB"


# --- what the machine says


def machine_limits(pid: int | None = None) -> list[MemoryRoom]:
    """What is left on this machine, and in the control groups of a process (None: this one) that are bounded."""
    limits = [MemoryRoom(_meminfo(Path("/proc/meminfo").read_text()), "memory available on the machine")]
    left = (group_left(folder) for folder in _groups(pid or os.getpid()))
    return limits + [MemoryRoom(each, "memory left in the control group") for each in left if each is not None]


def private_bytes(pid: int) -> int:
    """What a process has in memory for itself, without the files that it maps; 0 for one that is gone."""
    try:
        resident, of_files = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(of_files)) * _PAGE_BYTES


def limit_data(more_bytes: int | None) -> None:
    """Let this process write to ``more_bytes`` of memory beyond what it has now; None: to any amount.

    RLIMIT_DATA, not RLIMIT_AS: files that are mapped to be read do not count.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if more_bytes is None else _data_bytes(Path("/proc/self/status").read_text()) + more_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _meminfo(text: str) -> int:
    return _kib(text, "MemAvailable:")


def _data_bytes(text: str) -> int:
    return _kib(text, "VmData:")


def _kib(text: str, field: str) -> int:
    for line in text.splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _groups(pid: int) -> list[Path]:
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return []
    return groups_named(text, Path(f"/proc/{pid}/root"))


def groups_named(text: str, its_root: Path) -> list[Path]:
    """A process's version-2 control group and those above it, as far as they can be seen from here.

    Args:
        text: its ``/proc/PID/cgroup``.
        its_root: its root folder. Another container's group is seen from there alone, and stands at the top.
    """
    path = next((line.removeprefix("0::") for line in text.splitlines() if line.startswith("0::")), "/")
    if path.startswith("/.."):
        return [its_root / _GROUPS.relative_to("/")]
    folder = _GROUPS / path.strip("/")
    return [folder, *(above for above in folder.parents if above.is_relative_to(_GROUPS))]


def group_left(folder: Path) -> int | None:
    """Bytes that a version-2 control group has left; caches of files that it can drop count as left."""
    try:
        most = (folder / "memory.max").read_text().strip()
        current = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if most == "max" else int(most) - current + _droppable(stat)


def _droppable(stat: Mapping[str, str]) -> int:
    return int(stat.get("inactive_file", "0")) + int(stat.get("slab_reclaimable", "0"))
