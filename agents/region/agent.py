"""One worker of a region: which models are its own, and the reconcilers that look after them.

Partitions say which models ought to be ours; the owner epoch in the region's bucket says which are. Between a
revocation and the next assignment nothing new is begun, but nothing is given up either: most partitions come back,
and whatever is done meanwhile is fenced by the epoch.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from modelcast.agents.region.decider.events_and_effects import PodsKnown
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.ownership.liveness import Liveness, yield_seconds
from modelcast.agents.region.ownership.others_keep import OthersKeep
from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.agents.region.reporting.snapshot_reporter import SnapshotReporter
from modelcast.agents.region.rollover_settings import policy_for
from modelcast.agents.region.shell.log_reader import RegistryLogReader
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.infra.registry.shared_listing import SharedListing, UnknownModels
from modelcast.infra.settings import RegionSettings
from modelcast.schemas.errors import ForeignRegistry, ModelcastError, NotFound
from modelcast.schemas.names import MODEL_PATTERN
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.topics import partition_of
from modelcast.schemas.traffic.readiness import LEVEL_NEEDED

TROUBLE_SECONDS = 2.0
"""How often the registry is looked for while there is none or it can't be read."""
LOOK_SECONDS_MIN = 0.3
"""Seconds between two looks at the registry, however many records ask for one."""
HOLD_SECONDS_MAX = 30.0
"""A rebalance that takes longer than this does not stop a region: epochs fence what it does."""
REFRESHES_AT_ONCE = 4
TRIALS_AT_ONCE = 2
"""Unknown model names that are looked up at once: names can be made up faster than a store answers."""

log = structlog.get_logger(__name__)


class RegionAgent:
    """The models of one worker and their reconcilers. Not thread-safe: it belongs to one event loop.

    Args:
        region: its name.
        settings: the region's.
        owner: unlike any other process' name, also of another life of this worker.
        ports: what reconcilers share.
        region_store: the region's own bucket.
        watch: the registry.
        reporter: forgets what is not ours.
        policy: how patient reconcilers are; None: as the settings say.
        liveness: whether this worker may replace another; None: a new one.
        rng: for jitter.
    """

    def __init__(
        self,
        region: str,
        settings: RegionSettings,
        *,
        owner: str,
        ports: RegionPorts,
        region_store: ObjectStore,
        watch: RegistryWatch,
        reporter: SnapshotReporter,
        policy: Policy | None = None,
        liveness: Liveness | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.region = region
        self.trouble = "the registry was not read yet"
        self._settings = settings
        self._owner = owner
        self._ports = ports
        self._region_store = region_store
        self._watch = watch
        self._reporter = reporter
        self._policy = policy
        self._rng = rng or random.Random()
        self._reconcilers: dict[str, Reconciler] = {}
        self._yielded: dict[str, asyncio.TimerHandle] = {}  # another worker owns them although their partition is ours
        self._yields: Counter[str] = Counter()  # how often in a row
        self._partitions: frozenset[int] = frozenset()
        self._rebalancing = False
        self.liveness = liveness or Liveness(settings.heartbeat_seconds)
        self._kept_by_others = OthersKeep(region_store)
        self._unknown = UnknownModels()
        self._listing = SharedListing(self._models_listed, ports.log_reads)
        self._look = asyncio.Event()
        self._release: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._draining = False

    # --- Kafka says which models ought to be ours -----------------------------------------------------------

    def assigned(self, partitions: Iterable[int]) -> None:
        """Take over the models of these partitions, and let go of all others."""
        self._partitions = frozenset(partitions)
        log.info("partitions assigned", partitions=sorted(self._partitions))
        self.liveness.assigned()
        self._rebalancing = False
        for model in list(self._yielded):
            self._yielded.pop(model).cancel()
        self._yields.clear()
        for model, reconciler in list(self._reconcilers.items()):
            if self._ought(model):
                reconciler.check_owner()
            else:
                self._drop(model, "its partition went to another worker")
        self._let_go()
        self._look.set()

    def revoked(self) -> None:
        """A rebalance has begun: no fetch and no load begins until it is over."""
        self._rebalancing = True
        for reconciler in self._reconcilers.values():
            reconciler.hold()
        if self._release is not None:
            self._release.cancel()
        self._release = asyncio.get_running_loop().call_later(HOLD_SECONDS_MAX, self._let_go)

    # --- what the intake asks -------------------------------------------------------------------------------

    def reconciler(self, model: str) -> Reconciler | None:
        """The model's reconciler; None if there is none here."""
        return self._reconcilers.get(model)

    def may_take(self, model: str) -> bool:
        """Whether this worker is assigned the model's partition; the model need not exist."""
        return self._ought(model) and model not in self._yielded and not self._draining

    async def meet(self, model: str) -> Reconciler | None:
        """The reconciler of an announced model, made if the registry holds it; None: another worker owns the model.

        A few names are tried at once by a reconciler that reads the log itself, which is as fast as can be; beyond
        those, and for names that were unknown a moment ago, one listing answers for all.

        Raises:
            NotFound: the registry holds no such model.
            StoreUnavailable: that can't be known now; the registry is looked at from time to time anyhow.
        """
        if model in self._reconcilers or not self.may_take(model):
            return self._reconcilers.get(model)
        loop = asyncio.get_running_loop()
        if not self._unknown.holds(model, loop.time()) and self._on_trial() < TRIALS_AT_ONCE:
            return self._take(model, known_to_exist=False)
        if model not in await self._listing.names():
            self._unknown.remember(model, loop.time())
            raise NotFound("the registry holds no such model", subject=model)
        if model not in self._reconcilers and self.may_take(model):
            self._take(model, known_to_exist=True)
        return self._reconcilers.get(model)

    def _models_listed(self) -> list[str]:
        return self._watch.reader.models()  # another reader once there is a registry to obey

    def _on_trial(self) -> int:
        """Reconcilers of models that may not exist."""
        return sum(1 for reconciler in self._reconcilers.values() if reconciler.on_trial)

    def pods_changed(self, known: PodsKnown) -> None:
        """Pass the region's pods, which have changed, to every reconciler."""
        for reconciler in list(self._reconcilers.values()):
            reconciler.pods_changed(known)

    def registry_doubted(self) -> None:
        """Have the store's registry checked soon."""
        self._look.set()

    # --- what others want to know -----------------------------------------------------------------------------

    @property
    def registry_id(self) -> str:
        """The registry that is obeyed; "": there is none yet."""
        return self._watch.registry_id

    def heartbeat_confirmed(self) -> None:
        """The cluster has a heartbeat of ours."""
        self.liveness.heard()

    @property
    def models_owned(self) -> int:
        """Models that this worker reconciles."""
        return sum(1 for r in self._reconcilers.values() if r.replica is not None)

    @property
    def rollouts(self) -> str:
        """The level of rollouts that this worker and all its pods can do; else why they can't, for people."""
        for reconciler in self._reconcilers.values():
            views = reconciler.replica.pods if reconciler.replica is not None else {}
            for name, view in views.items():
                if view.reading is not None and not view.reading.lanes:
                    return f"pod {name} ({view.reading.kind or 'of unknown kind'}) holds one version of a model"[:200]
        return str(LEVEL_NEEDED)

    def digests_kept(self) -> frozenset[str]:
        """Manifest digests that must stay on the disk: what is aspired, staged or served. Any thread may ask."""
        kept = (reconciler.digests_kept() for reconciler in list(self._reconcilers.values()))
        return self._kept_by_others.digests.union(*kept)

    def versions(self, model: str) -> dict[int, str]:
        """The manifest digests of a model's versions, as far as its log was read. Any thread may ask."""
        reconciler = self._reconcilers.get(model)
        known = reconciler.log_reader.log if reconciler else None
        return {v: u.artifact.manifest_digest for v, u in known.updates.items()} if known else {}

    # --- the registry, from time to time ----------------------------------------------------------------------

    async def watch(self, also: Callable[[], object] = lambda: None) -> None:
        """Check the registry now, every ``reconcile_seconds`` and on request, until cancelled.

        Args:
            also: something blocking that is to be put right as often.
        """
        ticking = asyncio.get_running_loop().create_task(self.liveness.tick())
        try:
            await self._watch_registry(also)
        finally:
            ticking.cancel()

    async def _watch_registry(self, also: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._look.clear()
            looked_at = loop.time()
            try:
                await self._look_around()
                await loop.run_in_executor(self._ports.stores, also)
            except ModelcastError as error:
                self._set_trouble(str(error))
            except Exception as error:
                log.exception("looking at the registry failed in an unforeseen way")
                self._set_trouble(f"{type(error).__name__}: {error}")
            pause = self._settings.reconcile_seconds * self._rng.uniform(0.8, 1.2)
            if self.trouble or not self._watch.registry_id:
                pause = min(pause, TROUBLE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), pause)
                await asyncio.sleep(max(0.0, looked_at + LOOK_SECONDS_MIN - loop.time()))

    async def _look_around(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._ports.log_reads, self._watch.check)
            self._set_trouble("")
        except NotFound:
            self._set_trouble("")  # nothing was ever published: there is nothing to do, and that is well
            return
        except ForeignRegistry as error:
            self._set_trouble(str(error))
            for reconciler in self._reconcilers.values():
                reconciler.contradicted(str(error))
            return
        except ModelcastError as error:
            self._set_trouble(str(error))
        if not self._watch.registry_id:
            return
        for model in sorted(await loop.run_in_executor(self._ports.log_reads, self._watch.models)):
            if model not in self._yielded:
                self._take_if_due(model)
        await loop.run_in_executor(self._ports.stores, self._kept_by_others.look, frozenset(self._reconcilers))
        await self._refresh_all()

    async def _refresh_all(self) -> None:
        """Refresh every log, a few at a time, so that announcements need not wait for all of them."""
        room = asyncio.Semaphore(REFRESHES_AT_ONCE)

        async def refresh(reconciler: Reconciler) -> None:
            async with room:
                await reconciler.try_refresh()  # one that is asked on keeps nobody from looking at the registry
                reconciler.check_owner()  # a worker may have taken over and left again unnoticed

        await asyncio.gather(*(refresh(r) for r in list(self._reconcilers.values())))

    def _set_trouble(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("the registry can't be followed now", error=trouble)
        self.trouble = trouble

    # --- models come and go -------------------------------------------------------------------------------------

    def _ought(self, model: str) -> bool:
        return partition_of(model) in self._partitions and MODEL_PATTERN.fullmatch(model) is not None

    def _may_replace(self, model: str) -> bool:
        """Whether this worker may replace the owner of a model. Thread-safe."""
        return self._ought(model) and not self._rebalancing and self.liveness.stands()

    def _take_if_due(self, model: str) -> None:
        if model not in self._reconcilers and self._ought(model) and not self._draining:
            self._take(model, known_to_exist=True)

    def _take(self, model: str, *, known_to_exist: bool) -> Reconciler:
        state = OwnedState(
            self._region_store,
            model,
            self.region,
            self._owner,
            may_replace=lambda: self._may_replace(model),
        )
        log_reader = RegistryLogReader(self._watch.reader, model)
        policy = self._policy or policy_for(self._settings, model)
        reconciler = Reconciler(model, self._ports, state, log_reader, policy, self._replaced)
        self._reconcilers[model] = reconciler
        reconciler.start(self._watch.registry_id, known_to_exist=known_to_exist)
        return reconciler

    def _replaced(self, model: str) -> None:
        gone = self._reconcilers.pop(model, None)
        self._reporter.forget(model)
        if gone is not None and gone.unknown:  # what was only spoken of has no other owner: it may exist any moment
            self._unknown.remember(model, asyncio.get_running_loop().time())
            return
        loop, most = asyncio.get_running_loop(), self._settings.reconcile_seconds
        if gone is not None and loop.time() - gone.owned_at > most:
            del self._yields[model]
        # The other is likely to be right, and two must not push each other out in turn; but if it was not, the
        # rightful owner is back soon.
        seconds = yield_seconds(self._yields[model], most, self._rng.random())
        self._yields[model] += 1
        self._yielded[model] = loop.call_later(seconds, self._come_back, model)

    def _come_back(self, model: str) -> None:
        self._yielded.pop(model, None)
        self._take_if_due(model)

    def _drop(self, model: str, reason: str) -> None:
        reconciler = self._reconcilers.pop(model)
        reconciler.end(reason)  # now: what is due in this moment must not be reported after it was forgotten
        self._reporter.forget(model)
        task = asyncio.get_running_loop().create_task(reconciler.stop(reason))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _let_go(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self._rebalancing = False
        if not self._draining:
            for reconciler in self._reconcilers.values():
                reconciler.release()

    # --- sleep and death ------------------------------------------------------------------------------------------

    def woke(self) -> None:
        """The process was suspended for a while: its models may have been taken over."""
        for reconciler in self._reconcilers.values():
            reconciler.check_owner()

    async def drain(self, timeout_seconds: float) -> None:
        """Begin nothing more; wait for the loads that are under way, for at most ``timeout_seconds``."""
        self._draining = True
        reconcilers = list(self._reconcilers.values())
        for reconciler in reconcilers:
            reconciler.hold()
            reconciler.cancel_fetches()
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*(r.settle_loads() for r in reconcilers))
        except TimeoutError:
            log.warning("loads were still under way", timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Stop every reconciler."""
        self._draining = True
        for model in list(self._reconcilers):
            self._drop(model, "the worker ends")
        await asyncio.gather(*self._stopping, return_exceptions=True)
