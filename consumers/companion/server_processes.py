"""Which processes of this machine are the server beside a companion: found by the port at which it listens."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_LISTENS = "0A"


def server_pids(port: int) -> frozenset[int]:
    """Who listens at a TCP port, and every process below. Empty: none that can be seen from here.

    Processes of another user, and of another container without a shared process namespace, can't be seen.
    """
    sockets = {
        f"socket:[{inode}]" for file in ("tcp", "tcp6") for inode in listening(_text(_PROC / "net" / file), port)
    }
    if not sockets:
        return frozenset()
    pids = [int(folder.name) for folder in _PROC.iterdir() if folder.name.isdecimal()]
    return with_children({pid for pid in pids if sockets.intersection(_open_files(pid))}, _parents(pids))


def listening(table: str, port: int) -> set[str]:
    """The inodes of sockets that listen at a port, in the text of ``/proc/net/tcp``."""
    rows = [row.split() for row in table.splitlines()[1:]]
    ended = f":{port:04X}"
    return {row[9] for row in rows if len(row) > 9 and row[1].endswith(ended) and row[3] == _LISTENS}


def with_children(pids: set[int], parents: dict[int, int]) -> frozenset[int]:
    """These processes and all below them, by each one's parent."""
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return frozenset(found)


def _parents(pids: list[int]) -> dict[int, int]:
    found = {}
    for pid in pids:
        _, _, rest = _text(_PROC / str(pid) / "stat").rpartition(")")  # its name may hold anything
        if len(fields := rest.split()) > 1:
            found[pid] = int(fields[1])
    return found


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):  # it was closed just now
                yield str(file.readlink())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # the process has ended, or may not be looked at
        return ""
