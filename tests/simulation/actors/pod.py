"""A serving pod: the real fence over a modelled loader and disk; or a plain server that neither fences nor verifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from modelcast.agents.region.decider.memory import Memory
from modelcast.consumers.pod.admission import fence
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_BYTES,
    BLAMES_THE_VERSION,
    LoadFailed,
    LoadOrder,
    PodReading,
    PodRefused,
    PodUnreachable,
)
from modelcast.schemas import keys
from modelcast.schemas.digests import short
from modelcast.schemas.errors import VerificationFailed
from tests.simulation import artifacts

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region

Reply = Callable[[Exception | None], None]
"""Takes what a load came to; None: the pod says that it serves."""
ReadReply = Callable[[PodReading | Exception], None]


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


class Pod:
    """One pod. ``accepted`` is its ledger and outlives it; all else dies with the process."""

    def __init__(self, region: Region, name: str, url: str, *, plain: bool) -> None:
        self.region, self.world, self.name, self.url, self.plain = region, region.world, name, url, plain
        self.accepted: fence.Accepted | None = None
        self.serving: Serving | None = None
        self.bringing_up: BringingUp | None = None
        self.up = False
        self.started = False
        self.has_ended = False
        self.life = 0
        self.start()

    @property
    def incarnation(self) -> str:
        """Changes with every process; no two pods share one."""
        return f"{self.url}#{self.life}"

    # --- living and dying ---------------------------------------------------------------------------------

    def crash(self, why: str, *, blank: bool = False) -> None:
        """End at once, and come back a little later."""
        if not self.up:
            return
        self.world.trace(self.name, f"CRASHED ({why})")
        self.up = self.started = False
        self.life += 1
        self.serving = None
        running, self.bringing_up = self.bringing_up, None
        for reply in running.replies if running else ():
            reply(PodUnreachable("connection reset", subject=self.name))
        if blank:
            self.accepted = None
            self.world.checks.pod_is_blank(self)
        self.world.checks.pod_crashed(self)
        delay = self.world.rng.choice([0.5, 3.0, 20.0])
        self.world.after(delay, lambda: self.start() if not (self.up or self.has_ended) else None)

    def end(self) -> None:
        """End for good: the region has it no more."""
        self.has_ended = True
        self.crash("has left")
        self.world.pods.remove(self)

    def start(self) -> None:
        """Begin anew: what the region's bucket says is served, or else what the ledger says."""
        self.up = True
        life = self.life
        self.world.trace(self.name, f"starts as {self.incarnation}")
        self.world.after(self.world.rng.uniform(0.2, 1.0), lambda: self._restore(life))

    def _restore(self, life: int) -> None:
        if life != self.life or not self.up:
            return
        aspired = self._aspired()
        if aspired is not None and not self.plain:
            self._admit(aspired, lambda error: self._restored(life, serves=error is None))
        else:
            self._restored(life, serves=False)

    def _restored(self, life: int, *, serves: bool) -> None:
        if life != self.life:
            return
        served = self.accepted.served if self.accepted else None
        if serves or served is None or self.serving or self.bringing_up:
            self.started = True
        else:
            self._bring_up(served, None)

    def _aspired(self) -> LoadOrder | None:
        if not self.region.pods_ask_bucket:
            return None
        found = self.region.bucket.get(keys.region_state(self.world.model), size_max=1 << 20)
        memory = Memory.decode(found.body) if found else None
        if memory is None or memory.served is None:
            return None
        served = memory.served
        return LoadOrder(memory.model, served.version, served.manifest_digest, served.generation, memory.epoch,
                         memory.registry_id)  # fmt: skip

    # --- orders -------------------------------------------------------------------------------------------

    def receive_load(self, order: LoadOrder, reply: Reply) -> None:
        """A load request has arrived."""
        if not self.up:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        if self.world.fault("environment refuses a load", self.region):
            error = self._refusal()
            self.world.trace(self.name, f"can't be driven now: {error.code}")
            reply(error)
            return
        if self.plain:
            self._bring_up(order, reply)
        else:
            self._admit(order, reply)

    def _refusal(self) -> PodRefused | LoadFailed:
        """What is wrong with the request, the server or its machine, and not with the version."""
        kind = PodRefused if self.region.trouble == "request_refused" else LoadFailed
        return kind("mend me", code=self.region.trouble, subject=self.name)

    def _admit(self, order: LoadOrder, reply: Reply) -> None:
        accepted, serving = self.accepted, self.serving
        try:
            verdict = fence.admission_of(order, accepted, serving.order if serving else None)
        except PodRefused as refusal:
            self.world.trace(self.name, f"refuses {show(order)}: {refusal.code}")
            self.world.stats[f"refused: {refusal.code}"] += 1
            reply(refusal)
            return
        running = self.bringing_up
        if running is not None and _pair(running.order) == _pair(order):
            running.replies.append(reply)
            return
        self.world.checks.pod_accepted(self, order)
        served = order if verdict is fence.Admission.ADOPT else accepted.served if accepted else None
        self.accepted = fence.Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, served)
        if self.world.fault("pod crashed after its promise", self.region):
            self.crash("after its promise")
            return
        self._stop_bringing_up()
        if verdict is fence.Admission.LOAD or serving is None:
            self._bring_up(order, reply)
            return
        if verdict is fence.Admission.ADOPT:
            self.world.trace(self.name, f"adopts {show(order)}")
            self.serving = replace(serving, order=order)
        reply(None)

    def _stop_bringing_up(self) -> None:
        running, self.bringing_up = self.bringing_up, None
        if running is not None:
            for reply in running.replies:
                reply(PodRefused("a newer order arrived", code="superseded", subject=self.name))

    def _bring_up(self, order: LoadOrder, reply: Reply | None) -> None:
        if reply is not None and self.world.fault("load lies", self.region):
            self.world.trace(self.name, f"LIES about {show(order)}")
            reply(None)
            return
        if self.plain:
            self._stop_bringing_up()
        run = self.bringing_up = BringingUp(order, [reply] if reply else [])
        slow = self.world.fault("load slow", self.region)
        seconds = self.world.rng.uniform(20.0, 45.0) if slow else self.world.rng.uniform(0.2, 2.0)
        if self.world.fault("pod crashed in load", self.region):
            self.world.after(seconds / 2, lambda: self.crash("in load") if self.bringing_up is run else None)
        self.world.after(seconds, lambda: self._brought_up(run))

    def _brought_up(self, run: BringingUp) -> None:
        if self.bringing_up is not run:
            return
        self.bringing_up = None
        self.started = True
        order = run.order
        broken = self._try(order)
        if broken is not None and broken.code in {BLAMES_THE_BYTES, BLAMES_THE_VERSION}:
            self.world.blame(self.region, order.manifest_digest)
        if broken is not None:
            self.world.trace(self.name, f"cannot load {show(order)}: {broken.code}")
            self.world.stats[f"load broken: {broken.code}"] += 1
            for reply in run.replies:
                reply(broken)
            return
        self.world.trace(self.name, f"serves {show(order)}")
        life = self.life
        self.world.after(0.01, lambda: self._remember_served(life, order))
        for reply in run.replies:
            reply(None)

    def _try(self, order: LoadOrder) -> LoadFailed | None:
        digest = order.manifest_digest
        stored = self.region.cache.get(digest)
        if stored is None:
            code = "not_delivered" if self.plain else "artifact_missing"
            return LoadFailed("not on this disk", code=code, subject=self.name)
        if not self.plain:
            try:
                artifacts.verify(stored, digest)
            except VerificationFailed as error:
                return LoadFailed(error.message, code=BLAMES_THE_BYTES, subject=self.name)
        if self.world.poisoned(stored.data) or self.world.fault("load fails", self.region):
            code = "server_failed" if self.plain else BLAMES_THE_VERSION
            return LoadFailed("no such operator", code=code, subject=self.name)
        self.serving = Serving(order, stored)
        return None

    def _remember_served(self, life: int, order: LoadOrder) -> None:
        if life == self.life and self.accepted and self.serving and self.serving.order == order:
            self.accepted = replace(self.accepted, served=order)

    # --- reading back -------------------------------------------------------------------------------------

    def receive_read(self, reply: ReadReply) -> None:
        """A read request has arrived."""
        if not self.up:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        order = self.serving.order if self.serving else None
        if order is None:
            reading = PodReading(self.name, self.started, "" if self.plain else self.incarnation, *[None] * 4)
        elif self.plain:
            reading = PodReading(self.name, self.started, "", order.version, None, None, None, proof="memory",
                                 gapless=False)  # fmt: skip
        else:
            reading = PodReading(self.name, self.started, self.incarnation, order.version, order.manifest_digest,
                                 order.generation, order.epoch, order.registry_id)  # fmt: skip
        self.world.checks.pod_was_read(self, reading)
        reply(reading)


def _pair(order: LoadOrder) -> tuple[int, int, str]:
    return order.epoch, order.generation, order.manifest_digest


def show(order: LoadOrder) -> str:
    """An order, for the trace."""
    again = " again" if order.reload else ""
    authority = f"(epoch {order.epoch}, generation {order.generation})"
    return f"v{order.version} {short(order.manifest_digest)[:6]} {authority}{again}"
