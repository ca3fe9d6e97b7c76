"""Whether a load fits into memory: asked before it, with numbers; and the limit that a worker lives under."""

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GROUP = Path("/sys/fs/cgroup")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """Memory that a load may take."""

    free_bytes: int
    why: str  # what sets it, for people


def room(max_bytes: int | None, used_bytes: int, promised_bytes: int, limits: Iterable[MemoryRoom]) -> MemoryRoom:
    """The tightest limit: the pod's own, or what the machine or its control group has left.

    Args:
        max_bytes: what the pod's workers may take together; None: no limit.
        used_bytes: what they take.
        promised_bytes: what loads under way have been promised and not taken yet.
        limits: what is left on the machine and in the control group.
    """
    rooms = [MemoryRoom(limit.free_bytes - promised_bytes, limit.why) for limit in limits]
    if max_bytes is not None:
        free = max_bytes - used_bytes - promised_bytes
        rooms.append(MemoryRoom(free, f"of the pod's {shown(max_bytes)}, {shown(used_bytes)} are in use"))
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


def machine_limits() -> list[MemoryRoom]:
    """What is left on this machine, and in this process's control group if that is bounded."""
    limits = [MemoryRoom(_meminfo(Path("/proc/meminfo").read_text()), "memory available on the machine")]
    group = _group_left(_GROUP)
    return [*limits, MemoryRoom(group, "memory left in the control group")] if group is not None else limits


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


def _group_left(folder: Path) -> int | None:
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
