"""What can go wrong, and how often in one world.

Each world draws its own subset and rates (swarm testing): faults that hide each other in a world that has all of
them meet alone in another. A fault is asked for where it could happen, by name; every hit is counted.
"""

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

# Chance per opportunity, when a world has the fault at all.
RATES = {
    # Kafka
    "announcement dropped": 0.3,
    "announcement doubled": 0.3,
    "announcement late": 0.3,
    "announcement redelivered": 0.7,
    "announcement read late": 0.5,
    # publishers and operators
    "publisher crashed before announcing": 0.25,
    "claim timed out, written": 0.2,
    "claim timed out, not written": 0.2,
    "rival claimed first": 0.25,
    # a region reads the log
    "log read failed": 0.15,
    "log read slow": 0.15,
    "log read overtaken": 0.3,
    # a region fetches
    "fetch failed": 0.2,
    "fetch damaged in transit": 0.25,
    "fetch slow": 0.2,
    # a region drives pods
    "load request lost": 0.1,
    "load request late": 0.15,
    "load answer lost": 0.12,
    "load slow": 0.12,
    "load fails": 0.15,
    "environment refuses a load": 0.35,
    "load lies": 0.15,
    "read lost": 0.05,
    "read late": 0.08,
    "pod crashed in load": 0.06,
    "pod crashed after its promise": 0.06,
    # pods come and go
    "pods not discovered": 0.2,
    "pods discovered late": 0.3,
    "pod replaced as it answers": 0.03,
    # a region's own memory
    "state put lost": 0.12,
    "state put late": 0.12,
    "state put answer lost": 0.15,
    "state put slow": 0.12,
    "state read failed": 0.1,
    "state read slow": 0.1,
    "state written by another in between": 0.03,
    "published during a claim": 0.5,
    # workers
    "worker crashed at an effect": 0.02,
    "worker paused at an effect": 0.02,
    "worker paused between two requests": 0.1,
    "worker stopped at a load": 0.05,
    "worker stopped in a fetch": 0.15,
    "partition moved at a load": 0.1,
    "revocation late": 0.5,
    # the tracker
    "tracker's record not delivered": 0.1,
    "published states not read": 0.2,
    "another model can't be told": 0.7,
    "view not written": 0.1,
    "view written unheard": 0.1,
    # acks
    "ack dropped": 0.15,
    "ack doubled": 0.15,
    "ack late": 0.2,
}
# Number of times at most in one world (or region), when a world has the fault at all.
STROKES = {
    "topic replayed": 2,
    "kafka lost": 1,
    "origin bytes damaged": 1,
    "regional bytes damaged": 2,
    "disk bytes damaged": 3,
    "cache lost": 1,
    "pod crashed": 2,
    "pod replaced by a blank one": 1,
    "pod comes": 3,
    "pod leaves": 2,
    "pod takes a name": 2,
    "worker crashed": 2,
    "worker stopped": 2,
    "worker paused": 2,
    "worker cut off": 2,
    "partition moved": 2,
    "region cut off": 1,
    "tracker crashed": 2,
    "tracker paused": 1,
    "tracker cut off": 1,
    "tracker's partition moved": 2,
    "tracker lost its tables": 1,
    "acks forged": 2,
    "acks forged under the true epoch": 2,
    "acks of made-up regions": 1,
    "records of made-up models": 1,
    "redis lost": 1,
    "older log restored": 1,
    "log entry flipped": 1,
}
GLOBAL_STROKES = frozenset(
    {
        "topic replayed",
        "kafka lost",
        "origin bytes damaged",
        "tracker crashed",
        "tracker paused",
        "tracker cut off",
        "tracker's partition moved",
        "tracker lost its tables",
        "acks forged",
        "acks forged under the true epoch",
        "acks of made-up regions",
        "records of made-up models",
        "redis lost",
        "older log restored",
        "log entry flipped",
    }
)
FLEET_STROKES = frozenset({"pod comes", "pod leaves", "pod takes a name"})
"""Only a region that discovers its pods has them."""
# These do not hurt a region: it must be as fast, and as thrifty, as without them.
HARMLESS = frozenset({"announcement dropped", "announcement doubled", "announcement late", "announcement redelivered",
                      "announcement read late", "topic replayed", "kafka lost", "ack dropped", "ack doubled",
                      "ack late"})  # fmt: skip


@dataclass
class Faults:
    """The faults of one world."""

    rng: random.Random
    stop_at: float
    rates: dict[str, float] = field(default_factory=dict)
    strokes: dict[str, int] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)

    @classmethod
    def drawn(cls, rng: random.Random, stop_at: float, only: Collection[str] = ()) -> "Faults":
        """A random subset with random rates; ``only``: just these, each often."""
        if only:
            rates = {kind: min(1.0, 2.0 * rate) for kind, rate in RATES.items() if kind in only}
            return cls(rng, stop_at, rates, {kind: most for kind, most in STROKES.items() if kind in only})
        share = rng.choice([0.1, 0.3, 0.6, 1.0])
        rates = {kind: rate * rng.choice([0.5, 1.0, 2.0]) for kind, rate in RATES.items() if rng.random() < share}
        strokes = {kind: rng.randint(1, most) for kind, most in STROKES.items() if rng.random() < share}
        return cls(rng, stop_at, rates, strokes)

    def roll(self, kind: str, now: float) -> bool:
        """Whether ``kind`` happens at this opportunity."""
        rate = self.rates.get(kind)
        if rate is None or now >= self.stop_at or self.rng.random() >= rate:
            return False
        self.hits[kind] += 1
        return True
