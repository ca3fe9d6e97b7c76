"""A serving pod: the real fence over a modelled loader and disk; or a plain server that neither fences nor verifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from modelcast.consumers.pod.admission import fence
from modelcast.consumers.pod.traffic.tables import KeptTable, admits
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_BYTES,
    BLAMES_THE_VERSION,
    CANDIDATE,
    LoadFailed,
    LoadOrder,
    PodReading,
    PodRefused,
    PodTraffic,
    PodUnreachable,
)
from modelcast.schemas import keys
from modelcast.schemas.digests import short
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.traffic.table import TrafficTable
from tests.agents.region.traffic.words import pod_traffic
from tests.simulation import artifacts
from tests.simulation.actors.pod_lane import Answered, BringingUp, PodLane, Reply, Serving

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region

ReadReply = Callable[[PodReading | Exception], None]
TrafficReply = Callable[[PodTraffic | Exception], None]


class Pod:
    """One pod. What its lanes have accepted, and its table, outlive it; all else dies with the process."""

    def __init__(self, region: Region, name: str, url: str, *, plain: bool) -> None:
        self.region, self.world, self.name, self.url, self.plain = region, region.world, name, url, plain
        self.control, self.candidate = PodLane(), PodLane(CANDIDATE)
        self.kept = KeptTable()
        self.answered = Answered()
        self.up = False
        self.started = False
        self.has_ended = False
        self.life = 0
        self.start()

    @property
    def incarnation(self) -> str:
        """Changes with every process; no two pods share one."""
        return f"{self.url}#{self.life}"

    @property
    def serving(self) -> Serving | None:
        """What serves."""
        return self.control.serving

    # --- living and dying ---------------------------------------------------------------------------------

    def crash(self, why: str, *, blank: bool = False) -> None:
        """End at once, and come back a little later."""
        if not self.up:
            return
        self.world.trace(self.name, f"CRASHED ({why})")
        self.up = self.started = False
        self.life += 1
        self.answered = Answered()
        waiting = [reply for lane in self._lanes for reply in (lane.bringing_up.replies if lane.bringing_up else ())]
        for lane in self._lanes:
            lane.serving = lane.bringing_up = None
        for reply in waiting:
            reply(PodUnreachable("connection reset", subject=self.name))
        if blank:
            self.control.accepted = self.candidate.accepted = None
            self.kept = KeptTable()
            self.world.checks.pod_is_blank(self)
            self.world.checks.rollouts.pod_is_blank(self)
        self.world.checks.pod_crashed(self)
        delay = self.world.rng.choice([0.5, 3.0, 20.0])
        self.world.after(delay, lambda: self.start() if not (self.up or self.has_ended) else None)

    @property
    def _lanes(self) -> tuple[PodLane, PodLane]:
        return self.control, self.candidate

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
        accepted, lane = self.control.accepted, self.control
        served = accepted.served if accepted else None
        if serves or served is None or lane.serving or lane.bringing_up:
            self.started = True
            self._restore_the_candidate()
        else:
            self._bring_up(lane, served, lambda error: self._restore_the_candidate() if error is None else None)

    def _restore_the_candidate(self) -> None:
        lane = self.candidate
        served = lane.accepted.served if lane.accepted else None
        if served is None or self.serving is None or self.control.holds(served) or lane.serving or lane.bringing_up:
            return
        self._bring_up(lane, served, None)

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
        if self.plain and order.lane:
            reply(LoadFailed("one version of a model", code="unsupported", subject=self.name))
        elif self.plain:
            self._bring_up(self.control, order, reply)
        else:
            self._admit(order, reply)

    def _refusal(self) -> PodRefused | LoadFailed:
        """What is wrong with the request, the server or its machine, and not with the version."""
        kind = PodRefused if self.region.trouble == "request_refused" else LoadFailed
        return kind("mend me", code=self.region.trouble, subject=self.name)

    def _admit(self, order: LoadOrder, reply: Reply) -> None:
        lane, other = (self.candidate, self.control) if order.lane else (self.control, self.candidate)
        accepted, serving = lane.accepted, lane.serving
        try:
            verdict = fence.admission_of(order, accepted, serving.order if serving else None)
            if other.accepted is not None:
                fence.check_epoch(order.model, other.accepted, order.epoch)
        except PodRefused as refusal:
            self.world.trace(self.name, f"refuses {show(order)}: {refusal.code}")
            self.world.stats[f"refused: {refusal.code}"] += 1
            reply(refusal)
            return
        running = lane.bringing_up
        if running is not None and _pair(running.order) == _pair(order):
            running.replies.append(reply)
            return
        self.world.checks.pod_accepted(self, order)
        promotes = verdict is fence.Admission.LOAD and not order.lane and not order.reload
        if promotes and self.candidate.holds(order):
            self._promote(order, reply)
            return
        served = order if verdict is fence.Admission.ADOPT else accepted.served if accepted else None
        lane.accepted = fence.Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, served)
        if self.world.fault("pod crashed after its promise", self.region):
            self.crash("after its promise")
            return
        self._stop_bringing_up(lane)
        if verdict is fence.Admission.LOAD or serving is None:
            self._bring_up(lane, order, reply)
            return
        if verdict is fence.Admission.ADOPT:
            self.world.trace(self.name, f"adopts {show(order)}")
            lane.serving = replace(serving, order=order)
        reply(None)

    def _promote(self, order: LoadOrder, reply: Reply) -> None:
        """What was tried serves, what served is kept beside it: nothing is loaded."""
        control, candidate = self.control, self.candidate
        old, new = control.serving, candidate.serving
        assert new is not None
        kept = old.order if old else None
        control.accepted, candidate.accepted = fence.accepted_by_promotion(order, kept, candidate.accepted)
        if self.world.fault("pod crashed after its promise", self.region):
            self.crash("after its promise")
            return
        self._stop_bringing_up(control)
        self._stop_bringing_up(candidate)
        self.world.trace(self.name, f"promotes {show(order)}")
        control.serving = replace(new, order=order)
        served = candidate.accepted.served
        candidate.serving = replace(old, order=served) if old is not None and served is not None else None
        self.kept = self.kept.voided_by(order, kept)
        reply(None)

    def _stop_bringing_up(self, lane: PodLane) -> None:
        running, lane.bringing_up = lane.bringing_up, None
        if running is not None:
            for reply in running.replies:
                reply(PodRefused("a newer order arrived", code="superseded", subject=self.name))

    def _bring_up(self, lane: PodLane, order: LoadOrder, reply: Reply | None) -> None:
        if reply is not None and self.world.fault("load lies", self.region):
            self.world.trace(self.name, f"LIES about {show(order)}")
            reply(None)
            return
        if self.plain:
            self._stop_bringing_up(lane)
        run = lane.bringing_up = BringingUp(order, [reply] if reply else [])
        slow = self.world.fault("load slow", self.region)
        seconds = self.world.rng.uniform(20.0, 45.0) if slow else self.world.rng.uniform(0.2, 2.0)
        if self.world.fault("pod crashed in load", self.region):
            self.world.after(seconds / 2, lambda: self.crash("in load") if lane.bringing_up is run else None)
        self.world.after(seconds, lambda: self._brought_up(lane, run))

    def _brought_up(self, lane: PodLane, run: BringingUp) -> None:
        if lane.bringing_up is not run:
            return
        lane.bringing_up = None
        self.started = True
        order = run.order
        broken = self._try(lane, order)
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
        self.world.after(0.01, lambda: self._remember_served(life, lane, order))
        for reply in run.replies:
            reply(None)

    def _try(self, lane: PodLane, order: LoadOrder) -> LoadFailed | None:
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
        before, lane.serving = lane.serving, Serving(order, stored)
        if not lane.name:
            self.kept = self.kept.voided_by(order, before.order if before else None)
        return None

    def _remember_served(self, life: int, lane: PodLane, order: LoadOrder) -> None:
        if life == self.life and lane.accepted and lane.serving and lane.serving.order == order:
            lane.accepted = replace(lane.accepted, served=order)

    def receive_unload(self, epoch: int, generation: int, reply: Reply) -> None:
        """A request to let go of the candidate has arrived."""
        lane, model = self.candidate, self.world.model
        if not self.up:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        try:
            if self.control.accepted is not None:
                fence.check_epoch(model, self.control.accepted, epoch)
            if lane.accepted is not None:
                fence.check_pair(model, lane.accepted, epoch=epoch, generation=generation)
                registry_id = lane.accepted.registry_id
                lane.accepted = fence.Accepted(registry_id, epoch, generation, None, None)
        except PodRefused as refusal:
            reply(refusal)
            return
        self.world.trace(self.name, f"lets go of its candidate (epoch {epoch}, generation {generation})")
        self._stop_bringing_up(lane)
        lane.serving = None
        reply(None)

    # --- traffic ------------------------------------------------------------------------------------------

    def receive_table(self, table: TrafficTable, reply: Reply) -> None:
        """A table of shares has arrived."""
        if not self.up:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        if self.plain:
            reply(LoadFailed("one version of a model", code="unsupported", subject=self.name))
            return
        try:
            takes = admits(self.kept, table, self.world.registry_id)
        except PodRefused as refusal:
            self.world.stats[f"shares refused: {refusal.code}"] += 1
            reply(refusal)
            return
        if takes:
            self.world.trace(self.name, f"divides by {table.authority}: {table.share}")
            self.world.checks.rollouts.pod_divides(self, self.kept.table, table)
            self.kept = KeptTable(table, self.kept.floor)
        reply(None)

    def receive_traffic_read(self, reply: TrafficReply) -> None:
        """Its counts are asked for."""
        if not self.up or self.plain:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        table, answered = self.kept.table, self.answered
        answered.sequence += 1
        ready = {lane.serving.order.manifest_digest for lane in self._lanes if lane.serving}
        counts = answered.counts(ready)
        reply(pod_traffic(self.name, self.incarnation, self.life + 1, answered.sequence, table, counts))

    # --- reading back -------------------------------------------------------------------------------------

    def receive_read(self, lane: str, reply: ReadReply) -> None:
        """A read request has arrived."""
        if not self.up:
            reply(PodUnreachable("connection refused", subject=self.name))
            return
        found = self.candidate if lane else self.control
        order, lanes = found.serving.order if found.serving else None, not self.plain
        if order is None:
            incarnation = "" if self.plain else self.incarnation
            reading = PodReading(self.name, self.started, incarnation, *[None] * 4, lanes=lanes)
        elif self.plain:
            reading = PodReading(self.name, self.started, "", order.version, None, None, None, proof="memory",
                                 gapless=False)  # fmt: skip
        else:
            reading = PodReading(self.name, self.started, self.incarnation, order.version, order.manifest_digest,
                                 order.generation, order.epoch, order.registry_id, lanes=lanes)  # fmt: skip
        self.world.checks.pod_was_read(self, reading)
        reply(reading)


def _pair(order: LoadOrder) -> tuple[int, int, str]:
    return order.epoch, order.generation, order.manifest_digest


def show(order: LoadOrder) -> str:
    """An order, for the trace."""
    again = " again" if order.reload else ""
    lane = f" as {order.lane}" if order.lane else ""
    authority = f"(epoch {order.epoch}, generation {order.generation})"
    return f"v{order.version} {short(order.manifest_digest)[:6]} {authority}{again}{lane}"
