"""The models of one pod: admits orders by lane, records what it has promised, and has them carried out."""

import asyncio
import time
from dataclasses import replace

import structlog

from modelcast.consumers.pod.admission.fence import (
    Accepted,
    Admission,
    accepted_by_promotion,
    admission_of,
    check_epoch,
    check_pair,
    check_registry,
)
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.supervisor import Supervisor
from modelcast.consumers.pod_clients.port import (
    CANDIDATE,
    LANES,
    LoadFailed,
    LoadOrder,
    PodRefused,
    PodUnreachable,
    lane_place,
)
from modelcast.infra.telemetry.metrics import PodMetrics

log = structlog.get_logger("modelcast.pod")


class Repository:
    """V2's model repository, with a lane for a candidate. All methods run on the event loop's thread."""

    def __init__(self, engine: Engine, ledger: Ledger, metrics: PodMetrics, *, grace_seconds: float) -> None:
        self.supervisor = Supervisor(engine, metrics, grace_seconds=grace_seconds)
        self._ledger = ledger
        self._metrics = metrics

    async def load(self, order: LoadOrder) -> None:
        """Obey an order; return when its version serves in its lane.

        An order for the control that names what the candidate lane serves promotes it: nothing is loaded, and what was
        the control stays in the candidate lane.

        Raises:
            PodRefused: see ``fence.admission_of``; ``superseded`` if a higher order arrived meanwhile.
            LoadFailed: it can't be loaded; what served before still does. ``unsupported``: there is no such lane here.
        """
        try:
            if order.lane and not self.supervisor.lanes:
                raise LoadFailed(
                    f"a pod of kind {self.supervisor.kind!r} holds one version of a model, and no candidate beside it",
                    code="unsupported",
                    subject=f"{order.model}/{order.version}",
                )
            slot = self.supervisor.slot(order.model, order.lane)
            task = await self._admit(slot, order)
            if task is not None:
                await self._finish(slot, order, task)
        except (PodRefused, LoadFailed) as error:
            self._metrics.loads.labels(order.model, error.code).inc()
            raise

    async def _admit(self, slot: Slot, order: LoadOrder) -> "asyncio.Task[None] | None":
        async with slot.admission:
            accepted = self._ledger.entries.get(order.place)
            verdict = admission_of(order, accepted, slot.serving.order if slot.serving else None)
            for other in self._others(order.model, order.lane):
                check_registry(order, other)
                check_epoch(order.model, other, order.epoch)
            running = slot.bringing_up
            if running is not None and slot.brings_up(order):
                return running  # asked twice: one load, both callers wait for it
            if verdict is Admission.LOAD and self._candidate_holds(order):
                return await self._promote(slot, order)
            served = order if verdict is Admission.ADOPT else accepted.served if accepted else None
            promise = Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, served)
            if promise != accepted:
                await self._record(order.place, promise)
            await self.supervisor.stop(slot)
            serving = slot.serving  # it may have been lost while we wrote, or waited
            if verdict is Admission.LOAD or serving is None:
                return self._bring_up(slot, order)
            if verdict is Admission.ADOPT:
                self.supervisor.adopt(slot, serving, order)
            return None

    def _others(self, model: str, lane: str) -> list[Accepted]:
        places = (lane_place(model, other) for other in LANES if other != lane)
        return [entry for place in places if (entry := self._ledger.entries.get(place)) is not None]

    def _candidate_holds(self, order: LoadOrder) -> bool:
        candidate = self.supervisor.slots.get(lane_place(order.model, CANDIDATE))
        serving = candidate.serving if candidate and not order.lane and not order.reload else None
        return serving is not None and serving.served.holds(order)

    async def _promote(self, slot: Slot, order: LoadOrder) -> "asyncio.Task[None] | None":
        candidate = self.supervisor.slot(order.model, CANDIDATE)
        old = slot.serving.order if slot.serving else slot.aspired
        promise, kept = accepted_by_promotion(order, old, self._ledger.entries.get(candidate.place))
        # The control first: killed between the two, the pod comes back with the promoted version.
        await self._record(slot.place, promise)
        await self._record(candidate.place, kept)
        await self.supervisor.stop(slot)
        await self.supervisor.stop(candidate)
        if not self._candidate_holds(order):  # lost while we wrote
            candidate.aspired = None
            return self._bring_up(slot, order)
        self.supervisor.exchange(order, kept.served)
        return None

    def _bring_up(self, slot: Slot, order: LoadOrder) -> "asyncio.Task[None]":
        task = self.supervisor.bring_up(slot, order)

        def served(done: "asyncio.Task[None]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.supervisor.spawn(self._remember_served(slot, order))

        task.add_done_callback(served)
        return task

    async def _finish(self, slot: Slot, order: LoadOrder, task: "asyncio.Task[None]") -> None:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise PodRefused("a newer order arrived", code="superseded", subject=order.model) from None
        except LoadFailed as error:
            subject = f"{order.model}/{order.version}"
            keeps = f"; version {slot.serving.order.version} goes on serving" if slot.serving else ""
            raise LoadFailed(error.message + keeps, code=error.code, subject=subject, hint=error.hint) from None

    async def unload(self, model: str, *, epoch: int, generation: int, lane: str = "") -> None:
        """Stop serving a model in a lane; requests in flight are answered.

        Raises:
            PodRefused: ``stale``.
            LoadFailed: the engine's server does not let go of it. Unless it never will, it is told again with back-off,
                until it does or another order arrives.
        """
        if lane and not self.supervisor.lanes:
            return
        place = lane_place(model, lane)
        slot = self.supervisor.slots.get(place)
        accepted = self._ledger.entries.get(place)
        if slot is None:
            slot = self.supervisor.slot(model, lane)
            if accepted is None:
                self.supervisor.reached(slot, generation)
                return
        async with slot.admission:
            accepted = self._ledger.entries.get(place)
            for other in self._others(model, lane):
                check_epoch(model, other, epoch)
            if accepted is not None:
                check_pair(model, accepted, epoch=epoch, generation=generation)
                await self._record(place, Accepted(accepted.registry_id, epoch, generation, None, None))
            await self.supervisor.stop(slot)
            await self.supervisor.empty(slot, generation)

    async def restore(
        self, aspired: LoadOrder | None, model: str, quarantined: frozenset[int] = frozenset(), lane: str = ""
    ) -> None:
        """Serve at start what is aspired, or else what this pod served in that lane before it restarted.

        The second lowers nothing: it is where the pod was. So a restart after a failed load does not leave the
        model unserved. A ``quarantined`` version is not loaded again.

        Raises:
            PodRefused, LoadFailed: neither could be had.
        """
        before = await self.resume(model, lane)
        try:
            if aspired is not None:
                await self.load(aspired)
                return
        except (PodRefused, LoadFailed) as error:
            if before is None or before.version in quarantined:
                raise
            log.warning("aspired version not loaded, going back to the last served", model=model, error=str(error))
        if before is None:
            return
        slot = self.supervisor.slot(model, lane)
        async with slot.admission:
            if slot.serving is not None or slot.bringing_up is not None:
                return  # it serves still, or an order came meanwhile
            if self.supervisor.watches:
                slot.aspired = before  # the server may start later than we: tried until it is there
            task = self._bring_up(slot, before)
        await self._finish(slot, before, task)

    async def restore_candidate(self, model: str, quarantined: frozenset[int]) -> None:
        """Serve the candidate that was served before the restart, unless the control serves that version now.

        Raises:
            LoadFailed: it can't be had.
        """
        accepted = self._ledger.entries.get(lane_place(model, CANDIDATE))
        before = accepted.served if accepted else None
        control = self.supervisor.slot(model).serving
        if before is None or before.version in quarantined or not self.supervisor.lanes:
            return
        if control is not None and control.served.holds(before):
            return
        await self.restore(None, model, lane=CANDIDATE)

    async def resume(self, model: str, lane: str = "") -> LoadOrder | None:
        """What this pod served before it restarted. A server that outlived this process may still serve it."""
        accepted = self._ledger.entries.get(lane_place(model, lane))
        before = accepted.served if accepted else None
        if before is None:
            return None
        slot = self.supervisor.slot(model, lane)
        try:
            served = await self.supervisor.ask(slot)
        except PodUnreachable as error:
            slot.reason = f"its server does not answer: {error}"
            return before
        if served is not None and served.holds(before) and slot.serving is None and not slot.busy:
            self.supervisor.goes_on(slot, Serving(before, served, time.monotonic()))
        return before

    async def _remember_served(self, slot: Slot, order: LoadOrder) -> None:
        async with slot.admission:
            accepted = self._ledger.entries.get(slot.place)
            if accepted is not None and slot.aspired == order and accepted.served != order:
                await self._record(slot.place, replace(accepted, served=order))

    async def _record(self, place: str, accepted: Accepted) -> None:
        try:
            await asyncio.to_thread(self._ledger.record, place, accepted)
        except OSError as error:
            model = place.partition("@")[0]
            raise LoadFailed(f"can't write the pod's state: {error}", code="state_unwritable", subject=model) from None
