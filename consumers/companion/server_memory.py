"""Whether a version fits into the memory of a server's machine: asked before its files are placed.

The server's own answers do not help: Triton's metrics name the machine's memory and no limit of its own, MLServer's and
KServe's name none at all. So the kernel is asked about its processes, their control groups and the machine. The
memory of graphics cards is not looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.consumers.companion.server_processes import server_pids
from modelcast.consumers.pod.memory_room import MemoryRoom, machine_limits, private_bytes, refusal, room, shown
from modelcast.consumers.pod_clients.port import LoadFailed

_HINT = "give the server more memory, or unload a model; --no-memory-check if it does not read its files into memory"


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """The memory of the server that listens at ``port`` of this machine.

    Attributes:
        max_bytes: what all its processes may take together, the old versions included; None: what is free.
    """

    port: int
    max_bytes: int | None = None

    def check(self, model: str, need_bytes: int) -> None:
        """Refuse a load for which there is no room. Blocking: looks through ``/proc``.

        Args:
            model: its name.
            need_bytes: what the load takes at least beside what serves: the size of its files.

        Raises:
            LoadFailed: ``out_of_resources``, with the numbers.
        """
        pids = server_pids(self.port)
        limits = {limit for pid in pids for limit in machine_limits(pid)} or set(machine_limits()[:1])
        used_bytes = sum(map(private_bytes, pids)) if pids else None
        if message := refusal(need_bytes, tightest(self.max_bytes, used_bytes, limits)):
            raise LoadFailed(message, code="out_of_resources", subject=model, hint=_HINT)


def tightest(max_bytes: int | None, used_bytes: int | None, limits: Iterable[MemoryRoom]) -> MemoryRoom:
    """The room that is left; ``used_bytes`` is None where the server's processes can't be seen."""
    if max_bytes is None or used_bytes is not None:
        return room(max_bytes, used_bytes or 0, 0, limits, "the server's")
    unseen = f"of the server's {shown(max_bytes)}; its processes can't be seen from here, nor what they take"
    return min([MemoryRoom(max_bytes, unseen), *limits], key=lambda limit: limit.free_bytes)
