"""How careful a rollover is: what people set for a region, a fleet or a model."""

from dataclasses import dataclass
from typing import Literal

from modelcast.schemas.text.amounts import Amount

PodOrder = Literal["name", "zone", "random"]
"""In which order pods get a version: by name; one zone after the other; drawn anew for each generation."""

_QUARTER, _HALF = Amount(25, percent=True), Amount(50, percent=True)


@dataclass(frozen=True, slots=True)
class RolloverPolicy:
    """Times in seconds.

    The defaults go on as long as anything can be done: at most a quarter of the pods load at once, and where a swap
    has a gap, half of them go on taking traffic.
    """

    # Pods that load at once, or have not served the version for ``min_ready_seconds`` yet; at least one.
    at_once: Amount = _QUARTER
    # Pods that must go on taking traffic while others are swapped. It counts only where a swap has a gap.
    min_healthy: Amount = _HALF
    order: PodOrder = "name"
    # Between two orders passes a time that is drawn from 0 up to this.
    jitter_seconds: float = 0.0
    # Between the end of one batch of ``at_once`` pods and the beginning of the next; 0: there are no batches, and each
    # pod that is done is followed by another.
    pause_seconds: float = 0.0
    # How long a pod must have served the version before another one follows it.
    min_ready_seconds: float = 0.0
    # So many pods that fail stop the rollover; 0: none does, and they are tried again.
    stop_after_failures: int = 0
    # A rollover that takes longer is stopped; 0: it may take any time.
    deadline_seconds: float = 0.0

    def at_once_of(self, pods: int) -> int:
        """How many of ``pods`` may be under way: at least one, else nothing would ever happen."""
        return max(1, self.at_once.of(pods))
