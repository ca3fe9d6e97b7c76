"""Who of a region is reading what from the origin: the table that all its workers share, and who may join. Pure.

The table is one small object in the region's bucket, written by conditional puts only, so that of two who join in the
same millisecond one writes first and the other reads what it wrote. A row shows that its holder lives by a beat that
grows; a watcher of one that does not grow for long enough, by the watcher's clock, may take it out. No clocks
are compared.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

TABLE_SIZE_MAX = 256 * 1024
EXPIRY_SECONDS = 8.0
"""Seconds without a beat (four are missed) after which a holder is replaced, and gives up by itself."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """An artifact on its way into the region, and who brings it."""

    artifact: str
    holder: str
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a region."""

    rows: tuple[LeaseRow, ...] = ()

    def of(self, artifact: str) -> LeaseRow | None:
        """Who brings an artifact."""
        return next((row for row in self.rows if row.artifact == artifact), None)

    def without(self, *gone: LeaseRow) -> "Table":
        """What is left when some have ended."""
        ended = {(row.artifact, row.holder) for row in gone}
        return Table(tuple(row for row in self.rows if (row.artifact, row.holder) not in ended))

    def share(self, holder: str, artifacts: Set[str]) -> float:
        """The part of all rows that these of one holder make up; 1 if there are none."""
        ours = sum(row.holder == holder and row.artifact in artifacts for row in self.rows)
        return ours / len(self.rows) if self.rows else 1.0

    def encode(self) -> bytes:
        """For the bucket."""
        rows = [[row.artifact, row.holder, row.beat] for row in self.rows]
        return json.dumps({"format": 1, "flights": rows}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Table":
        """What the bucket holds; an empty table where that can't be read: the next put makes it whole again."""
        try:
            rows = json.loads(body)["flights"]
            return cls(tuple(LeaseRow(str(artifact), str(holder), int(beat)) for artifact, holder, beat in rows))
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()


@dataclass(frozen=True, slots=True)
class Watched:
    """What an observer has seen of the rows: since when, by its own clock, each beat has stood still."""

    since: Mapping[LeaseRow, float] = field(default_factory=dict)

    def seeing(self, table: Table, now: float) -> "Watched":
        """After another look."""
        return Watched({row: self.since.get(row, now) for row in table.rows})

    def silent(self, now: float, expiry_seconds: float = EXPIRY_SECONDS) -> tuple[LeaseRow, ...]:
        """The rows whose holders seem to be dead."""
        return tuple(row for row, since in self.since.items() if now - since >= expiry_seconds)


def joined(table: Table, artifact: str, holder: str, watched: Watched, now: float, leases_max: int) -> Table | None:
    """The table with our row in it; None: not now, because another worker brings it, or enough are under way.

    Args:
        table: as it is.
        artifact: what we want to bring.
        holder: who we are. A row of ours is ours to take up again: it was left behind by a crash.
        watched: what we have seen so far, ``table`` included.
        now: our own monotonic clock, in seconds.
        leases_max: how many may be under way at once.
    """
    ours = table.of(artifact)
    if ours is not None and ours.holder == holder:
        return replace(table, rows=tuple(replace(row, beat=row.beat + 1) if row == ours else row for row in table.rows))
    alive = table.without(*watched.silent(now))
    if alive.of(artifact) is not None or len(alive.rows) >= leases_max:
        return None
    return Table((*alive.rows, LeaseRow(artifact, holder)))


def beaten(table: Table, holder: str, artifacts: Set[str]) -> tuple[Table, Set[str]]:
    """The table with a further beat of our rows, and those of ``artifacts`` that are no longer ours."""
    rows = tuple(
        replace(row, beat=row.beat + 1) if row.holder == holder and row.artifact in artifacts else row
        for row in table.rows
    )
    there = {row.artifact for row in table.rows if row.holder == holder}
    return Table(rows), artifacts - there
