"""How a pod divides the requests of its models: takes tables, keeps them, reports what it counted."""

import asyncio
import time
from dataclasses import replace

import structlog

from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.supervisor import Supervisor
from modelcast.consumers.pod.traffic.choosing import ModelTraffic
from modelcast.consumers.pod.traffic.tables import KeptTable, TableFolder, admits
from modelcast.consumers.pod.traffic.tally import VersionTally
from modelcast.consumers.pod_clients.port import CANDIDATE, LoadFailed, LoadOrder, PodRefused, PodTraffic, lane_place
from modelcast.schemas.traffic.reports import VersionCounts
from modelcast.schemas.traffic.table import TrafficTable, table_digest

log = structlog.get_logger("modelcast.pod")


class Division:
    """All methods run on the event loop's thread.

    Attributes:
        active: by model, those whose requests are divided. Looked up once a request.
        supervisor: of what is loaded.
    """

    def __init__(self, pod: str, incarnation: str, supervisor: Supervisor, folder: TableFolder) -> None:
        self.active: dict[str, ModelTraffic] = {}
        self._pod, self._incarnation = pod, incarnation
        self._started_at_us = time.time_ns() // 1000
        self._sequence = 0
        self.supervisor = supervisor
        self._folder = folder
        self._writing = asyncio.Lock()
        self._tallies: dict[str, dict[str, VersionTally]] = {}  # by model, then digest
        self._kept = dict(folder.read())
        for model, kept in self._kept.items():
            self._put_in_force(model, kept)
        supervisor.lane_listener = self

    async def apply(self, table: TrafficTable) -> None:
        """Divide by ``table`` from now on, also after a restart.

        Raises:
            PodRefused: see ``tables.admits``.
            LoadFailed: ``unsupported``: this pod holds one version of a model; ``state_unwritable``.
        """
        if not self.supervisor.lanes:
            raise LoadFailed(
                f"a pod of kind {self.supervisor.kind!r} holds one version of a model: nothing can be divided",
                code="unsupported",
                subject=table.model,
            )
        slot = self.supervisor.slots.get(table.model)
        obeyed = slot.aspired.registry_id if slot and slot.aspired else None
        async with self._writing:
            if not admits(self._kept.get(table.model, KeptTable()), table, obeyed):
                return
            kept = self._kept.get(table.model, KeptTable())
            await self._write(table.model, replace(kept, table=table))
            kept = self._kept.get(table.model, KeptTable())
            if table.generation < kept.floor:  # the control was changed by a newer order while this was written
                await self._write(table.model, kept)
                raise PodRefused("a newer order arrived", code="superseded", subject=table.model)
            self._keep(table.model, replace(kept, table=table))
        log.info("shares", model=table.model, rollout=table.rollout, share=table.share, authority=table.authority)

    def control_changed(self, order: LoadOrder, before: LoadOrder | None) -> None:
        """See ``LaneListener``: a table of before the order must never be in force again."""
        kept = self._kept.get(order.model, KeptTable())
        after = kept.voided_by(order, before)
        if after == kept:
            return
        self._keep(order.model, after)
        if order.model in self._folder.models:
            self.supervisor.spawn(self._write_later(order.model))

    def candidate_lost(self, serving: Serving) -> None:
        """See ``LaneListener``: it counts as one request that failed, whether one was under way or not."""
        active = self.active.get(serving.order.model)
        if active is not None:
            tally = active.tally(serving)
            tally.requests, tally.failed = tally.requests + 1, tally.failed + 1

    def read(self, model: str) -> PodTraffic:
        """By what is divided, and what was counted."""
        self._sequence += 1
        kept = self._kept.get(model, KeptTable())
        table, tallies = kept.table, list(self._tallies.get(model, {}).values())
        return PodTraffic(
            pod=self._pod,
            incarnation=self._incarnation,
            started_at_us=self._started_at_us,
            sequence=self._sequence,
            authority=table.authority if table is not None else (0, 0, 0),
            table_digest=table_digest(table) if table is not None else "",
            rollout=table.rollout if table is not None else "",
            shares=self._shares(model, table),
            versions=tuple(self._versions(model)),
            keyless={tally.version: tally.keyless for tally in tallies},
            shadow_dropped={tally.version: tally.shadow_dropped for tally in tallies},
        )

    def _shares(self, model: str, table: TrafficTable | None) -> dict[int, int]:
        if table is None:
            return {}
        active = self.active.get(model)
        return {arm.version: arm.share for arm in (active.arms if active is not None else table.arms)}

    def _versions(self, model: str) -> list[VersionCounts]:
        slots = (self.supervisor.slots.get(place) for place in (model, lane_place(model, CANDIDATE)))
        loaded = [slot.serving for slot in slots if slot is not None and slot.serving is not None]
        tallies = list(self._tallies.get(model, {}).values())
        uncounted = [s for s in loaded if not any(tally.of(s) for tally in tallies)]
        return [
            *(tally.counts(ready=any(tally.of(serving) for serving in loaded)) for tally in tallies),
            *(VersionCounts(s.order.version, s.order.manifest_digest, ready=True) for s in uncounted),
        ]

    def _keep(self, model: str, kept: KeptTable) -> None:
        self._kept[model] = kept
        self._put_in_force(model, kept)

    def _put_in_force(self, model: str, kept: KeptTable) -> None:
        table = kept.table
        if table is None or not (table.candidates or table.before or table.shadow):
            self.active.pop(model, None)
            return
        tallies = self._tallies.setdefault(model, {})
        self.active[model] = ModelTraffic(model, table, self.supervisor.slots, tallies)

    async def _write(self, model: str, kept: KeptTable) -> None:
        try:
            await asyncio.to_thread(self._folder.write, model, kept)
        except OSError as error:
            raise LoadFailed(f"can't write the pod's state: {error}", code="state_unwritable", subject=model) from None

    async def _write_later(self, model: str) -> None:
        async with self._writing:
            try:
                await self._write(model, self._kept[model])
            except LoadFailed as error:  # at the next start the order voids it again
                log.error("the voided table of shares stays on disk", model=model, error=error.message)
