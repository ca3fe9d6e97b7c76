"""Processor time of processes, threads that have ended included (Linux)."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has taken so far; 0 for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


class CpuMeter:
    """What named groups of processes take beyond what they take at rest.

    Args:
        groups: process ids by name.
    """

    def __init__(self, groups: Mapping[str, list[int]]) -> None:
        self._groups = groups
        self._rest: dict[str, float] = dict.fromkeys(groups, 0.0)
        self._began = self.read()

    def read(self) -> dict[str, float]:
        """Seconds so far, by group."""
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._groups.items()}

    def begin(self) -> None:
        """Count from here."""
        self._began = self.read()

    def taken(self) -> dict[str, float]:
        """Seconds since ``begin``."""
        return {name: now - self._began[name] for name, now in self.read().items()}

    def rested(self, wall_seconds: float) -> None:
        """What was taken since ``begin`` was taken at rest, in ``wall_seconds``."""
        self._rest = {name: taken / wall_seconds for name, taken in self.taken().items()}

    def beyond_rest(self, wall_seconds: float) -> dict[str, float]:
        """Seconds since ``begin``, ``wall_seconds`` ago, without what would have been taken at rest."""
        return {name: max(0.0, s - self._rest[name] * wall_seconds) for name, s in self.taken().items()}
