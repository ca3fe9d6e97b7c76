"""One lane of a simulated pod, and what it divides its requests by."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from modelcast.consumers.pod.admission import fence
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.traffic.reports import VersionCounts
from modelcast.schemas.traffic.table import TrafficTable, choose_arm
from tests.simulation import artifacts

Reply = Callable[[Exception | None], None]
"""Takes what a load came to; None: the pod says that it serves."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What is in the pod's memory, really."""

    order: LoadOrder
    stored: artifacts.Stored


@dataclass(eq=False, slots=True)
class BringingUp:
    """A load under way, and who waits for it."""

    order: LoadOrder
    replies: list[Reply] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class PodLane:
    """``accepted`` is its ledger and outlives the process; all else dies with it."""

    name: str = ""
    accepted: fence.Accepted | None = None
    serving: Serving | None = None
    bringing_up: BringingUp | None = None

    def holds(self, order: LoadOrder) -> bool:
        """Whether it serves just what ``order`` names."""
        serving = self.serving.order if self.serving else None
        wanted = (order.version, order.manifest_digest)
        return serving is not None and (serving.version, serving.manifest_digest) == wanted


@dataclass(eq=False, slots=True)
class Answered:
    """What a pod's process has counted, by manifest digest: version, requests, errors."""

    by_digest: dict[str, list[int]] = field(default_factory=dict)
    sequence: int = 0

    def count(self, serving: Serving, *, fails: bool) -> None:
        """An answer."""
        counts = self.by_digest.setdefault(serving.order.manifest_digest, [serving.order.version, 0, 0])
        counts[1] += 1
        counts[2] += fails

    def counts(self, ready: set[str]) -> tuple[VersionCounts, ...]:
        """As they are reported."""
        known = self.by_digest.items()
        return tuple(VersionCounts(v, digest, digest in ready, n, errors) for digest, (v, n, errors) in known)


def chosen(table: TrafficTable | None, control: Serving, candidate: Serving | None, rng: random.Random) -> Serving:
    """What answers a request of a user drawn at random."""
    if table is None or candidate is None:
        return control
    arm = choose_arm(table.arms, rng.randrange(SHARES))
    return candidate if arm.manifest_digest == candidate.order.manifest_digest else control
