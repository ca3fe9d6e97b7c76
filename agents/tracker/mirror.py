"""Feeds the live view: changes are noted here and written in the background; no caller waits."""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping, Set

import structlog

from modelcast.agents.tracker.decider.snapshots import Snapshot
from modelcast.agents.tracker.ports import TrackerPorts, View
from modelcast.infra.redis_view import Batch, Renewal, Write
from modelcast.infra.telemetry.metrics import VIEW_WRITES
from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import RedisUnavailable

BATCH_WRITES_MAX = 200
REST_SECONDS = 0.05
"""After a write: what comes meanwhile goes together, so that a burst costs a few round trips, not one each."""
BEAT_SECONDS = 1.0
"""How often a tracker tells that it lives, whatever else it has to tell."""
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.5, 5.0
REFUSED_SECONDS_MAX = 15.0
"""Seconds of refused writes after which a worker that still owns its models takes a new fence: the worker with the
higher one may have slept before it took it. Also of a single state that can't be renewed for so long."""

log = structlog.get_logger(__name__)


class Mirror:
    """The newest content of every key that changed, until it is written. For one event loop.

    Args:
        ports: opens the view; the clock.
        worker: this tracker's name.
        on_back: called when Redis came back after it was away: everything must be put down again.
        on_missing: called with a model whose state Redis does not hold as it was put there.
    """

    def __init__(
        self, ports: TrackerPorts, worker: str, on_back: Callable[[], None], on_missing: Callable[[str], None]
    ) -> None:
        self._ports, self._worker, self._on_back, self._on_missing = ports, worker, on_back, on_missing
        self._view: View | None = None
        self._pending: dict[str, Write] = {}
        self._names: dict[str, set[str]] = {}
        self._tags: dict[str, bytes] = {}  # model -> what tells its newest state from others
        self._renewals: dict[str, bytes] = {}  # model -> what is told of its state since
        self._wake = asyncio.Event()
        self._fence: int | None = None
        self._refused_since: float | None = None
        self._refused_renewals: dict[str, float] = {}  # model -> since when its state can't be renewed
        self.refused = 0

    def open(self, registry_id: str) -> None:
        """Note the registry's id: from now on changes can be noted."""
        if self._view is None:
            self._view = self._ports.open_view(registry_id)

    def new_owner(self) -> None:
        """Drop what was noted before: partitions were assigned, and a new fence is needed."""
        self._fence = self._refused_since = None
        self._pending = {key: write for key, write in self._pending.items() if write.fence}
        self._tags.clear()
        self._renewals.clear()
        self._refused_renewals.clear()
        self._wake.set()

    def state(self, model: str, encoded: bytes) -> None:
        """Note a model's state."""
        if self._view is not None:
            self._names.setdefault(self._view.keys.models, set()).add(model)
            tag = self._tags[model] = str(zlib.crc32(encoded)).encode()
            self._renewals.pop(model, None)
            self._put(Write(self._view.keys.model(model), {"v": encoded, "u": tag}, 0))

    def unchanged(self, model: str, encoded: bytes) -> None:
        """Note that a model's state still holds: ``encoded`` is a ``StatesUnchanged`` of it alone."""
        if self._view is not None and model in self._tags:
            self._renewals[model] = encoded
            self._wake.set()

    def pods(self, model: str, region: str, snapshot: Snapshot, age_us: int) -> None:
        """Note all pods of a region, as the pages that it sent so long ago."""
        if self._view is not None:
            pages = {f"p{number}": page.raw for number, page in snapshot.pages.items()}
            self._put(Write(self._view.keys.pods(model, region), pages, 0, whole=True, age_us=age_us))

    def heartbeat(self, name: str, raw: bytes, heard_us: int, age_us: int) -> None:
        """Note a worker's heartbeat; its fence is the time at which Kafka received it."""
        if self._view is not None:
            self._names.setdefault(self._view.keys.heartbeats, set()).add(name)
            self._put(Write(self._view.keys.heartbeat(name), {"v": raw}, max(1, heard_us), age_us=max(0, age_us)))

    def _put(self, write: Write) -> None:
        self._pending[write.key] = write
        self._wake.set()

    async def beat(self) -> None:
        """Report to the view that this tracker lives, until cancelled."""
        while True:
            self._wake.set()
            await asyncio.sleep(BEAT_SECONDS)

    async def run(self) -> None:
        """Write until cancelled."""
        failures = 0
        while True:
            await self._wake.wait()
            try:
                await self._write_some()
            except RedisUnavailable as error:
                VIEW_WRITES.labels("unavailable").inc()
                if not failures:
                    log.warning("the live view can't be written", error=error)
                failures += 1
                await asyncio.sleep(backoff_seconds(RETRY_SECONDS_FIRST, failures, RETRY_SECONDS_MAX))
                continue
            if failures:
                log.info("the live view is written again")
                failures = 0
                self._on_back()
            await asyncio.sleep(0 if len(self._pending) >= BATCH_WRITES_MAX else REST_SECONDS)

    async def _write_some(self) -> None:
        if self._view is None:
            self._wake.clear()
            return
        if self._fence is None:
            self._fence = await self._view.take_fence()
        fence = self._fence
        keys = list(self._pending)[:BATCH_WRITES_MAX]
        taken = {key: self._pending.pop(key) for key in keys}
        names, self._names = self._names, {}
        if not self._pending and not self._renewals:
            self._wake.clear()
        writes = [Write(w.key, w.fields, w.fence or fence, w.whole, w.age_us) for w in taken.values()]
        names.setdefault(self._view.keys.trackers, set()).add(self._worker)
        alive = Write(self._view.keys.tracker(self._worker), {}, max(1, self._ports.clock.wall_us()))
        try:
            refused = await self._view.write(
                Batch((alive, *writes), {key: frozenset(members) for key, members in names.items()})
            )
        except RedisUnavailable:
            if fence != self._fence:  # partitions were assigned meanwhile: only what has its own fence is still true
                taken = {key: write for key, write in taken.items() if write.fence}
            self._put_back(taken, names)
            raise
        own = sum(not write.fence for write in taken.values())
        if own:
            self._are_refused(refused > len(taken) - own, fence)
        self.refused += refused
        VIEW_WRITES.labels("refused").inc(refused)
        VIEW_WRITES.labels("done").inc(len(writes) - refused)
        if not self._pending and self._renewals:
            await self._renew_some(self._view, fence)

    async def _renew_some(self, view: View, fence: int) -> None:
        """Renew states, after all of them were written."""
        models = list(self._renewals)[:BATCH_WRITES_MAX]
        taken = {model: self._renewals.pop(model) for model in models}
        renewals = [Renewal(view.keys.model(m), self._tags[m], told, fence) for m, told in taken.items()]
        try:
            left = await view.renew(renewals)
        except RedisUnavailable:
            if fence == self._fence:
                self._renewals = taken | self._renewals
            raise
        if not self._renewals and not self._pending:
            self._wake.clear()
        self.refused += len(left.refused)
        VIEW_WRITES.labels("refused").inc(len(left.refused))
        VIEW_WRITES.labels("renewed").inc(len(taken) - len(left.missing) - len(left.refused))
        if fence != self._fence:
            return
        for model in taken:
            if view.keys.model(model) in left.missing:
                self._on_missing(model)
        self._renewals_are_refused({model for model in taken if view.keys.model(model) in left.refused}, taken)

    def _are_refused(self, refused: bool, fence: int) -> None:
        now = self._ports.clock.monotonic()
        if not refused or fence != self._fence:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > REFUSED_SECONDS_MAX:
            self._take_new_fence()

    def _renewals_are_refused(self, refused: Set[str], asked: Iterable[str]) -> None:
        """Note it by model: where only one is a sleeper's, the writes of all others are taken."""
        now, before = self._ports.clock.monotonic(), self._refused_renewals
        for model in asked:
            if model not in refused:
                before.pop(model, None)
        if any(now - before.setdefault(model, now) > REFUSED_SECONDS_MAX for model in refused):
            self._take_new_fence()

    def _take_new_fence(self) -> None:
        log.warning("the live view refuses this worker's writes: a new fence is taken")
        self._fence = self._refused_since = None
        self._refused_renewals.clear()
        self._on_back()

    def _put_back(self, taken: Mapping[str, Write], names: Mapping[str, set[str]]) -> None:
        """What could not be written waits again, unless something newer does."""
        for key, write in taken.items():
            self._pending.setdefault(key, write)
        for key, members in names.items():
            self._names.setdefault(key, set()).update(members)
        self._wake.set()

    async def close(self, timeout_seconds: float) -> None:
        """Write what is left, for at most ``timeout_seconds``."""
        clock = self._ports.clock.monotonic
        deadline = clock() + timeout_seconds
        try:
            while self._pending and clock() < deadline:
                await asyncio.wait_for(self._write_some(), max(0.01, deadline - clock()))
        except (RedisUnavailable, TimeoutError):
            pass
        if self._view is not None:
            await self._view.close()
