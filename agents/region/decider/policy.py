"""How patient a region is: every pause between two attempts, and every limit on their number."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.backoff import backoff_seconds


@dataclass(frozen=True, slots=True)
class Policy:
    """Pauses and limits of a reconciler. Times are in seconds."""

    damage_attempts: int = 3  # damaged bytes are fetched again this often in all, then quarantined
    load_attempts: int = 3  # tries after which a version that loads nowhere is quarantined
    rollover: RolloverPolicy = field(default_factory=RolloverPolicy)
    fleet_rollovers: Mapping[str, RolloverPolicy] = field(default_factory=dict)  # of fleets that have their own
    read_every: float = 5.0
    backoff_first: float = 1.0
    backoff_max: float = 60.0
    # An order to a pod is given only while the last proof of ownership is younger: a foreign server can't refuse it.
    proof_seconds: float = 5.0
    # How long a proof counts at least that took that long itself: else a slow store would stop every load.
    slow_proof_seconds: float = 1.0
    # How long an accepted generation waits to be written for the fetch that it began: mostly one write holds both.
    save_with_fetch_seconds: float = 0.2
    store_pauses: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)  # between readings of a log, or claims, that failed
    whole_read_pause: float = 5.0  # seconds between readings of a whole log while it is not obeyed, however many ask
    damaged_state_pause: float = 60.0  # before a claim is tried again when only a person can put the state right

    def rollover_of(self, fleet: str) -> RolloverPolicy:
        """How careful a rollover is with the pods of ``fleet``."""
        return self.fleet_rollovers.get(fleet, self.rollover)

    def backoff(self, failures: int, salt: str) -> float:
        """Seconds until try ``failures + 1``: doubling, jittered by half so that regions do not march in step."""
        full = backoff_seconds(self.backoff_first, failures, self.backoff_max)
        spread = zlib.crc32(f"{salt}/{failures}".encode()) / 2**32
        return full * (0.5 + spread / 2)

    def store_pause(self, failures: int) -> float:
        """Seconds until a log is read, or a model claimed, again after ``failures`` failures in a row."""
        return self.store_pauses[min(failures, len(self.store_pauses)) - 1]
