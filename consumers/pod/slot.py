"""One lane of a model in a pod: what serves there, what should, and what is being brought up."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from multidict import CIMultiDict

from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import CONFIRMING, LoadOrder, lane_place
from modelcast.schemas.backoff import backoff_seconds

RESPAWN_SECONDS_MIN = 0.1
RESPAWN_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0  # what served this long starts a new count of crashes


@dataclass(frozen=True)
class Serving:
    """What serves, by which order, and the headers of its answers."""

    order: LoadOrder
    served: Served
    since: float  # monotonic seconds

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers that name version and authority. Not to be changed: each answer copies them."""
        return {
            "modelcast-version": str(self.order.version),
            "modelcast-digest": self.order.manifest_digest,
            "modelcast-generation": str(self.order.generation),
            "modelcast-epoch": str(self.order.epoch),
            "modelcast-registry": self.order.registry_id,
            "modelcast-proof": self.served.proof,
        }

    @cached_property
    def answer_headers(self) -> "CIMultiDict[str]":
        """The same for an answer in JSON, as a client library wants them: to copy them costs little."""
        return CIMultiDict({**self.headers, "Content-Type": "application/json"})


@dataclass(slots=True, eq=False)
class Slot:
    """One lane of a model in the pod."""

    model: str
    lane: str = ""
    admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    serving: Serving | None = None
    aspired: LoadOrder | None = None  # what should be serving; differs from ``serving`` only after a loss
    bringing_up: "asyncio.Task[None] | None" = None
    bringing_up_order: LoadOrder | None = None
    retiring: "asyncio.Task[None] | None" = None  # tries again to have the server let go of it
    stopping: bool = False  # an order waits for the end of either; what is lost meanwhile is that order's to replace
    failures: int = 0  # losses and failed respawns in a row
    reason: str = ""  # why the latest attempt failed
    doubt: str = ""  # why ``serving`` has to be confirmed before traffic comes; "": it was, since the last trouble
    reached: int = -1  # the generation whose order was last carried out and confirmed, since the start; -1: none

    @property
    def place(self) -> str:
        """See ``lane_place``."""
        return lane_place(self.model, self.lane)

    @property
    def trouble(self) -> str:
        """Why no request for the model should come now; "": it serves, or should not."""
        if self.serving is not None:
            return self.doubt or self.unconfirmed
        if self.aspired is None:
            return ""
        return f"{self.model} is being put back: {self.reason or 'it was not loaded yet'}"

    @property
    def is_lost(self) -> bool:
        """Whether it serves nothing, though it should."""
        return self.serving is None and self.aspired is not None

    @property
    def unconfirmed(self) -> str:
        """What nothing confirms; "": nothing serves, or it is confirmed."""
        if self.serving is None or self.serving.served.proof in CONFIRMING:
            return ""
        return (
            f"{self.model}: only its server's disk names version {self.serving.order.version}, which confirms nothing"
        )

    @property
    def busy(self) -> bool:
        """Whether what serves is being replaced, or soon will be."""
        return self.bringing_up is not None or self.stopping

    def brings_up(self, order: LoadOrder) -> bool:
        """Whether just what ``order`` asks for is being brought up."""
        other = self.bringing_up_order
        return other is not None and (other.epoch, other.generation, other.manifest_digest) == (
            order.epoch,
            order.generation,
            order.manifest_digest,
        )

    def lost(self, why: str, now: float) -> None:
        """What served at ``now`` (monotonic seconds) serves no more."""
        if self.serving is not None and now - self.serving.since > STEADY_SECONDS:
            self.failures = 0
        self.serving, self.reason = None, why

    def respawn_seconds(self) -> float:
        """Count one more attempt to bring up what was lost; seconds until it may begin: none, then doubling."""
        self.failures += 1
        again = self.failures - 1
        return backoff_seconds(RESPAWN_SECONDS_MIN, again, RESPAWN_SECONDS_MAX) if again else 0.0


def loads_alone(slot: Slot, slots: Iterable[Slot], capabilities: Capabilities) -> bool:
    """Whether a load waits for those under way, whoever ordered them.

    Two at once would each be granted the memory that is free, and disturb what serves twice as much. What was lost
    waits for none, nor does a pod on which nothing serves yet.
    """
    if not capabilities.gapless:
        return True
    return not (slot.is_lost or capabilities.side_by_side) and any(each.serving for each in slots)
