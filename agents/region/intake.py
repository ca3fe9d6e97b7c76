"""What comes in on ``model-updates``: read, checked, and turned into a reason to look at the log. Never raises.

An announcement is a hint. Whatever it says, the region acts on what stands in the log; a record that differs from it is
not used, and the store, not the record, decides whether that is an alarm. The tracker judges the same records and puts
what can't be used where people find it, once; a region only logs and counts it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.infra.registry.schema_lookup import SchemaLookup
from modelcast.infra.telemetry import metrics
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import DecodeError, ModelcastError, NotFound, UnknownSchema
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.names import MODEL_PATTERN
from modelcast.schemas.probes import PROBE_KEYS, Probe, is_probe
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.topics import Topic, partition_of

UNREAD_MAX = 2000
"""Announcements that may wait for the log. Beyond, they still wake it, but are not compared with it."""

NOT_IN_LOG_SECONDS = (0.1, 0.5, 2.0)
"""When the log is looked at again before an announcement that it does not hold is given up."""

UNKNOWN_MODEL = "unknown-model"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """A record and where it stood."""

    raw: bytes
    key: bytes
    partition: int
    offset: int
    appended_us: int = 0  # when Kafka received it, by its clock


def log_refusal(heard: Heard, reason: str, detail: str) -> None:
    """Log a record that was not used, and why."""
    where = f"{Topic.MODEL_UPDATES}[{heard.partition}]@{heard.offset}"
    log.warning("a record is not used", record=where, reason=reason, detail=detail[:200])


class Owners(Protocol):
    """The reconcilers of this worker (``RegionAgent``)."""

    def reconciler(self, model: str) -> Reconciler | None:
        """The model's reconciler; None if there is none here."""
        ...

    def may_take(self, model: str) -> bool:
        """Whether this worker is assigned the model's partition; the model need not exist."""
        ...

    async def meet(self, model: str) -> Reconciler | None:
        """The model's reconciler, made if need be; None: another worker's. See ``RegionAgent.meet``."""
        ...

    def registry_doubted(self) -> None:
        """A record names another registry, or none is known yet: look at the store's."""
        ...


class UpdateIntake:
    """Takes records one after another; what has to be looked up goes on beside the stream."""

    def __init__(
        self,
        owners: Owners,
        watch: RegistryWatch,
        prefetch: Callable[[ModelUpdate], None] = lambda _: None,
        refused: Callable[[Heard, str, str], None] = log_refusal,
        schema_threads: Executor | None = None,
        answer: Callable[[Probe, int, int], None] = lambda *_: None,
    ) -> None:
        """Args:
        owners: of the models.
        watch: the registry.
        prefetch: called with each announced publication, before the log is read. It must not block.
        refused: called with each record that can't be used: (record, reason, one line for people).
        schema_threads: where schemas are fetched that are not known yet; ``close`` shuts them down. None: its own.
        answer: called with each probe of our registry, when Kafka received it (UTC microseconds, its clock), and the
            partition.
        """
        self._owners = owners
        self._answer = answer
        self._watch = watch
        self._prefetch = prefetch
        self._refused = refused
        self._tasks: set[asyncio.Task[None]] = set()
        self._schemas = SchemaLookup(self._learn_schema, threads=schema_threads)

    def take(self, heard: Heard) -> None:
        """Take in one record."""
        if is_probe(heard.key):
            self._take_probe(heard)
            return
        try:
            stated = self._decoded(heard.raw)
        except UnknownSchema as error:
            if len(self._tasks) < UNREAD_MAX:
                self._beside(self._learn(heard, error))
            else:
                self._refuse(heard, error.reason, "not looked for: too much is being looked up")
            return
        except DecodeError as error:
            self._refuse(heard, error.reason, error.message)
            return
        self._wake(heard, stated)

    def take_shares(self, key: bytes) -> None:
        """The controller of rollouts has said something about the model that ``key`` names: a hint to look."""
        if MODEL_PATTERN.fullmatch(model := key.decode("ascii", "replace")):
            reconciler = self._owners.reconciler(model)
            if reconciler is not None:
                reconciler.controller_heard()

    def _take_probe(self, heard: Heard) -> None:
        """It is answered, and wakes nothing."""
        try:
            probe = decode_as(Probe, heard.raw, book=self._watch.reader.book)
        except DecodeError as error:
            self._refuse(heard, error.reason, error.message)
            return
        if heard.key != PROBE_KEYS[heard.partition].encode():
            self._refuse(heard, "wrong-partition", f"its key belongs to another one than {heard.partition}")
        elif self._is_ours(heard, probe.registry_id):
            metrics.RECORDS.labels(Topic.MODEL_UPDATES, "probe").inc()
            self._answer(probe, heard.appended_us, heard.partition)

    def _is_ours(self, heard: Heard, registry_id: str) -> bool:
        known = self._watch.registry_id
        if not known:
            self._owners.registry_doubted()
            return False  # the log is read whole once there is a registry to obey
        if registry_id != known:
            self._refuse(heard, "foreign-registry", f"of registry {registry_id}; this region obeys {known}")
            self._owners.registry_doubted()
            return False
        return True

    def close(self) -> None:
        """Drop lookups under way; the log holds the same entries."""
        for task in self._tasks:
            task.cancel()
        self._schemas.close()

    def _decoded(self, raw: bytes) -> StatedEntry:
        return read_stated(raw, book=self._watch.reader.book)

    def _wake(self, heard: Heard, stated: StatedEntry) -> None:
        entry = stated.entry
        if heard.key != entry.model.encode():
            self._refuse(heard, "bad-key", f"its key is not its model, {entry.model}")
            return
        if heard.partition != (right := partition_of(entry.model)):
            self._refuse(heard, "wrong-partition", f"{entry.model} belongs to {right}: is the partitioner murmur2?")
            return
        if not self._is_ours(heard, entry.registry_id):
            return
        log.debug("heard", model=entry.model, generation=entry.generation)
        reconciler = self._owners.reconciler(entry.model)
        if reconciler is None:
            if self._owners.may_take(entry.model) and len(self._tasks) < UNREAD_MAX:
                self._beside(self._meet(heard, stated))
            return
        self._hear(heard, stated, reconciler)

    def _hear(self, heard: Heard, stated: StatedEntry, reconciler: Reconciler) -> None:
        entry = stated.entry
        if reconciler.log_reader.holds(stated):
            metrics.RECORDS.labels(Topic.MODEL_UPDATES, "folded").inc()
        elif len(self._tasks) < UNREAD_MAX:
            if isinstance(entry, ModelUpdate):
                self._prefetch(entry)
            self._beside(self._compare(heard, stated, reconciler))
        else:
            reconciler.wake(entry.generation)

    async def _meet(self, heard: Heard, stated: StatedEntry) -> None:
        """Look up a model that has no reconciler here: it is new, or was never published."""
        entry = stated.entry
        for pause in (0.0, *NOT_IN_LOG_SECONDS):
            await asyncio.sleep(pause)
            try:
                reconciler = await self._owners.meet(entry.model)
            except NotFound:
                continue
            except ModelcastError as error:
                log.warning("it is not known whether an announced model exists", model=entry.model, error=error)
                return
            if reconciler is not None:
                self._hear(heard, stated, reconciler)
            return
        self._refuse(heard, UNKNOWN_MODEL, "the registry holds no such model")

    async def _compare(self, heard: Heard, stated: StatedEntry, reconciler: Reconciler) -> None:
        """Have the log read that far, then compare."""
        entry = stated.entry
        await reconciler.announced(entry.generation)
        for pause in NOT_IN_LOG_SECONDS:
            if reconciler.knows(entry.generation) or reconciler.stopped:
                break
            await asyncio.sleep(pause)
            await reconciler.announced(entry.generation)
        if (reconciler.stopped and not reconciler.unknown) or reconciler.log_reader.log is None:
            return  # its next owner will read the same announcement or the log
        contradiction = reconciler.log_reader.contradiction(stated)
        if contradiction is None:
            metrics.RECORDS.labels(Topic.MODEL_UPDATES, "folded").inc()
            return
        self._refuse(
            heard, UNKNOWN_MODEL if reconciler.unknown or reconciler.on_trial else "differs-from-log", contradiction
        )
        if not reconciler.alarmed:
            reconciler.refresh()  # proves that what was read still stands, or raises the alarm

    async def _learn(self, heard: Heard, unknown: UnknownSchema) -> None:
        try:
            await self._schemas.look_up(unknown)
            stated = self._decoded(heard.raw)
        except DecodeError as error:
            self._refuse(heard, error.reason, error.message)
        except ModelcastError as error:
            log.warning("a schema can't be fetched now", fingerprint=unknown.subject, error=error)
        else:
            self._wake(heard, stated)

    def _learn_schema(self, fingerprint: str) -> None:
        self._watch.reader.learn_schema(fingerprint)  # the reader changes once there is a registry to obey

    def _beside(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("looking at an announcement failed in an unforeseen way", error=error)

    def _refuse(self, heard: Heard, reason: str, detail: str) -> None:
        metrics.RECORDS.labels(Topic.MODEL_UPDATES, "refused").inc()
        self._refused(heard, reason, detail)
