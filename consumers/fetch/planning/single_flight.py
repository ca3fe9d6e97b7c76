"""Who of a region is reading what from the origin: the table that all its workers share, and who may join. Pure.

The table is one small object in the region's bucket, written by conditional puts only, so that of two who join in the
same millisecond one writes first and the other reads what it wrote. A flight shows that its holder lives by a beat that
grows; whoever watches one that does not grow for long enough, by its own clock, may take it out. No clocks
are compared.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

TABLE_SIZE_MAX = 256 * 1024
EXPIRY_SECONDS = 8.0
"""Four beats. A holder that was not heard for so long is replaced, and gives up by itself."""


@dataclass(frozen=True, slots=True)
class Flight:
    """An artifact on its way into the region, and who brings it."""

    artifact: str
    holder: str
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """All flights of a region."""

    flights: tuple[Flight, ...] = ()

    def of(self, artifact: str) -> Flight | None:
        """Who brings an artifact."""
        return next((flight for flight in self.flights if flight.artifact == artifact), None)

    def without(self, *gone: Flight) -> "Table":
        """What is left when some have ended."""
        ended = {(flight.artifact, flight.holder) for flight in gone}
        return Table(tuple(f for f in self.flights if (f.artifact, f.holder) not in ended))

    def share(self, holder: str, artifacts: Set[str]) -> float:
        """The part of all flights that these of one holder make up; 1 if there are none."""
        ours = sum(flight.holder == holder and flight.artifact in artifacts for flight in self.flights)
        return ours / len(self.flights) if self.flights else 1.0

    def encode(self) -> bytes:
        """For the bucket."""
        rows = [[f.artifact, f.holder, f.beat] for f in self.flights]
        return json.dumps({"format": 1, "flights": rows}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Table":
        """What the bucket holds; an empty table where that can't be read: the next put makes it whole again."""
        try:
            rows = json.loads(body)["flights"]
            return cls(tuple(Flight(str(artifact), str(holder), int(beat)) for artifact, holder, beat in rows))
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()


@dataclass(frozen=True, slots=True)
class Watched:
    """What an observer has seen of the flights: since when, by its own clock, each beat has stood still."""

    since: Mapping[Flight, float] = field(default_factory=dict)

    def seeing(self, table: Table, now: float) -> "Watched":
        """After another look."""
        return Watched({flight: self.since.get(flight, now) for flight in table.flights})

    def silent(self, now: float, expiry_seconds: float = EXPIRY_SECONDS) -> tuple[Flight, ...]:
        """The flights whose holders seem to be dead."""
        return tuple(flight for flight, since in self.since.items() if now - since >= expiry_seconds)


def joined(table: Table, artifact: str, holder: str, watched: Watched, now: float, flights_max: int) -> Table | None:
    """The table with our flight in it; None: not now, because somebody else brings it, or enough are in the air.

    Args:
        table: as it is.
        artifact: what we want to bring.
        holder: who we are. A flight of ours is ours to take up again: it was left behind by a crash.
        watched: what we have seen so far, ``table`` included.
        now: our own monotonic clock, in seconds.
        flights_max: how many may be in the air at once.
    """
    ours = table.of(artifact)
    if ours is not None and ours.holder == holder:
        return replace(table, flights=tuple(replace(f, beat=f.beat + 1) if f == ours else f for f in table.flights))
    alive = table.without(*watched.silent(now))
    if alive.of(artifact) is not None or len(alive.flights) >= flights_max:
        return None
    return Table((*alive.flights, Flight(artifact, holder)))


def beaten(table: Table, holder: str, artifacts: Set[str]) -> tuple[Table, Set[str]]:
    """The table with a further beat of our flights, and those of ``artifacts`` that are no longer ours."""
    rows = tuple(
        replace(f, beat=f.beat + 1) if f.holder == holder and f.artifact in artifacts else f for f in table.flights
    )
    there = {f.artifact for f in table.flights if f.holder == holder}
    return Table(rows), artifacts - there
