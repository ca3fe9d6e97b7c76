"""Asking regions' state objects which owner epochs are true, in the background: no look holds up a record."""

import asyncio
from collections.abc import Callable

import structlog

from modelcast.agents.region.decider.memory import MEMORY_SIZE_MAX, Memory
from modelcast.agents.tracker.decider.epochs import Epochs, SetAside, believed_unseen
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.ports import TrackerPorts
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import region_store
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectStore

ATTEMPTS, RETRY_SECONDS = 3, 1.0
LOOKS_AT_ONCE = 2
"""Of one region: a bucket that is slow holds up its own region's models only."""
WAIT_SECONDS, WAIT_AGAIN_SECONDS = 0.25, 1.0
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


class EpochProofs:
    """For one event loop.

    Args:
        rows: of whom a wrongly believed snapshot is dropped.
        epochs: what is borne out, and what waits.
        ports: where state objects are read.
        take: a page whose epoch was borne out.
        refuse: a page whose epoch is none of the region's; with the region's own.
        changed: a model's rows have changed.
    """

    def __init__(
        self,
        rows: Rows,
        epochs: Epochs,
        ports: TrackerPorts,
        take: Callable[[SetAside], None],
        refuse: Callable[[SetAside, int], None],
        changed: Callable[[str], None],
    ) -> None:
        self._rows, self._epochs, self._ports = rows, epochs, ports
        self._take, self._refuse, self._changed = take, refuse, changed
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._doubted_at: dict[tuple[str, str], float] = {}
        self._waited_at: dict[tuple[str, str], float] = {}
        self._unreadable: set[str] = set()

    def ask(self, model: str, region: str) -> None:
        """Look at the region's state object of a model, unless that is under way."""
        where = (model, region)
        if where not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._look(model, region))
            self._under_way[where] = task
            task.add_done_callback(lambda _: self._under_way.pop(where, None))

    async def ask_and_wait(self, model: str, region: str) -> None:
        """Ask, and wait a moment so that the answer is written down at once; once a second, for it may be a flood."""
        self.ask(model, region)
        now, where = self._ports.clock.monotonic(), (model, region)
        if now - self._waited_at.get(where, float("-inf")) >= WAIT_AGAIN_SECONDS:
            self._waited_at[where] = now
            await asyncio.wait({self._under_way[where]}, timeout=WAIT_SECONDS)

    def doubt(self, model: str, region: str) -> None:
        """A report came with a lower epoch than the one that is believed: look, now and then, which is right."""
        now, where = self._ports.clock.monotonic(), (model, region)
        if now - self._doubted_at.get(where, float("-inf")) >= STALE_LOOK_SECONDS:
            self._doubted_at[where] = now
            self.ask(model, region)

    def close(self) -> None:
        """Ask no more."""
        for task in list(self._under_way.values()):
            task.cancel()

    async def _look(self, model: str, region: str) -> None:
        async with self._turns.setdefault(region, asyncio.Semaphore(LOOKS_AT_ONCE)):
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
            self._changed(model)
        taken, refused = self._epochs.bears_out(model, region, epoch, seen=seen)
        for page in taken:
            self._take(page)
        for page in refused:
            self._refuse(page, epoch)

    async def _epoch(self, model: str, region: str) -> int | None:
        """The region's epoch; None: its state object can't be read."""
        for attempt in range(ATTEMPTS):
            try:
                epoch = await asyncio.get_running_loop().run_in_executor(
                    self._ports.regions, self._ports.epoch_of, region, model
                )
            except ModelcastError as error:
                if error.retryable and attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(RETRY_SECONDS * 2**attempt)
                    continue
                if region not in self._unreadable:
                    self._unreadable.add(region)
                    log.warning("epochs can't be compared with the region's own state", region=region, error=error)
                return None
            else:
                self._unreadable.discard(region)
                return epoch
        return None
