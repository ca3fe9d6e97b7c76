"""Reads regions' state objects to learn which owner epochs are true, in the background: no record waits for it."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from modelcast.agents.tracker.decider.epochs import Epochs, SetAside, believed_unseen
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.ports import ChangeListener, TrackerPorts
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import region_store
from modelcast.infra.telemetry.metrics import LOOKS_PUT_OFF
from modelcast.schemas import keys
from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

ATTEMPTS, RETRY_SECONDS = 3, 1.0
LOOKS_AT_ONCE = 2
"""Of one region: a bucket that is slow holds up its own region's models only."""
LOOKS_WAITING_MAX = 1_000
"""Of one region. What is put off keeps its pages set aside, and is looked at when the queue has run dry."""
STALE_LOOK_SECONDS = 30.0
"""How often it is looked at most whether an epoch that is believed is higher than the true one."""

log = structlog.get_logger(__name__)


class RegionStates:
    """Epochs as the regions' own buckets have them. Blocking, thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores: dict[str, ObjectStore] = {}

    def epoch(self, region: str, model: str) -> int:
        """The owner epoch of a model; 0: it was never claimed.

        Raises:
            ModelcastError: the settings name no bucket, or it can't be read.
        """
        store = self._stores.get(region)
        if store is None:
            store = self._stores[region] = region_store(self._settings, region)
        found = store.get(keys.region_state(model), size_max=MEMORY_SIZE_MAX)
        return Memory.decode(found.body, key=keys.region_state(model)).epoch if found is not None else 0


@dataclass(slots=True)
class _Looks:
    """Of one region: each model once, in the order in which they were asked for."""

    waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    running: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    put_off: bool = False


class ProofListener(Protocol):
    """Who hears whether the epoch of a page that was set aside is true."""

    def proven(self, page: SetAside) -> None:
        """It was borne out."""
        ...

    def disproved(self, page: SetAside, epoch: int) -> None:
        """It is none of the region's, which is at ``epoch``."""
        ...


class EpochProofs:
    """Which owner epochs regions' state objects confirm. It belongs to one event loop.

    Args:
        rows: of whom a wrongly believed snapshot is dropped.
        epochs: what is borne out, and what waits.
        ports: where state objects are read.
        listener: hears what was proved.
        changes: hears that a model's rows have changed.
    """

    def __init__(
        self,
        rows: Rows,
        epochs: Epochs,
        ports: TrackerPorts,
        listener: ProofListener,
        changes: ChangeListener,
    ) -> None:
        self._rows, self._epochs, self._ports = rows, epochs, ports
        self._listener, self._changes = listener, changes
        self._regions: dict[str, _Looks] = {}
        self._doubted_at: dict[tuple[str, str], float] = {}
        self._unreadable: set[str] = set()

    def ask(self, model: str, region: str) -> asyncio.Future[None] | None:
        """Look at the region's state object of a model, unless that is under way.

        Returns:
            Done when the look is over; None if too many wait: it is put off.
        """
        looks = self._regions.setdefault(region, _Looks())
        if (asked := looks.waiting.get(model) or looks.running.get(model)) is not None:
            return asked
        if len(looks.waiting) >= LOOKS_WAITING_MAX:
            looks.put_off = True
            LOOKS_PUT_OFF.labels(region).inc()
            return None
        loop = asyncio.get_running_loop()
        asked = looks.waiting[model] = loop.create_future()
        if len(looks.tasks) < LOOKS_AT_ONCE:
            task = loop.create_task(self._look_on(region, looks))
            looks.tasks.add(task)
            task.add_done_callback(looks.tasks.discard)
        return asked

    def doubt(self, model: str, region: str) -> None:
        """A report came with a lower epoch than the one that is believed: look, now and then, which is right."""
        now, where = self._ports.clock.monotonic(), (model, region)
        if now - self._doubted_at.get(where, float("-inf")) >= STALE_LOOK_SECONDS:
            self._doubted_at[where] = now
            self.ask(model, region)

    def close(self) -> None:
        """Stop reading state objects."""
        for looks in self._regions.values():
            for task in tuple(looks.tasks):
                task.cancel()

    async def _look_on(self, region: str, looks: _Looks) -> None:
        """Look at what waits until nothing does; then at what was put off."""
        while True:
            if not looks.waiting and looks.put_off:
                looks.put_off = False
                for model in self._epochs.waiting(region):
                    if model in self._rows.models:
                        self.ask(model, region)
            if not looks.waiting:
                return
            model = next(iter(looks.waiting))
            asked = looks.running[model] = looks.waiting.pop(model)
            try:
                await self._look(model, region)
            except Exception as error:  # one model's trouble is not the others'
                log.exception("a look at a region's state failed", model=model, region=region, error=repr(error))
            finally:
                del looks.running[model]
                if not asked.done():
                    asked.set_result(None)
            if region in self._epochs.regions_waiting(model):
                self.ask(model, region)  # it came while the look was under way

    async def _look(self, model: str, region: str) -> None:
        self._epochs.look_begins(model, region)
        epoch = await self._epoch(model, region)
        if not self._rows.owns(model):
            return
        row = self._rows.row(model)
        known = row.epoch(region)
        seen = epoch is not None
        if epoch is None:
            epoch = believed_unseen(known)
        elif known > epoch:
            log.warning("a report with an epoch that the region never had is dropped", model=model, region=region)
            row.forget(region)
            self._changes.changed(model)
        decided = self._epochs.bears_out(model, region, epoch, seen=seen)
        for page in decided.taken:
            self._listener.proven(page)
        for page in decided.refused:
            self._listener.disproved(page, epoch)

    async def _epoch(self, model: str, region: str) -> int | None:
        """The region's epoch; None: its state object can't be read."""
        for attempt in range(ATTEMPTS):
            try:
                epoch = await asyncio.get_running_loop().run_in_executor(
                    self._ports.regions, self._ports.epoch_of, region, model
                )
            except ModelcastError as error:
                if error.retryable and attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(backoff_seconds(RETRY_SECONDS, attempt + 1))
                    continue
                if region not in self._unreadable:
                    self._unreadable.add(region)
                    log.warning("epochs can't be compared with the region's own state", region=region, error=error)
                return None
            else:
                self._unreadable.discard(region)
                return epoch
        return None
