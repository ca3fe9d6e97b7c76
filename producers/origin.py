"""The origin store and Kafka as publishers and operators see them: connected late, checked once, remembered."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import Any, TypeVar

import stamina

from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings
from modelcast.infra.stores import prove_conditional_puts
from modelcast.infra.stores.configured import origin_store
from modelcast.infra.telemetry.metrics import ANNOUNCEMENTS
from modelcast.infra.threads import Threads, is_ending
from modelcast.schemas import keys
from modelcast.schemas.errors import ForeignRegistry, KafkaUnavailable, NotFound, Refused, StoreUnavailable
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import REGISTRY_ID_SIZE_MAX
from modelcast.schemas.ports import Announcer, ObjectStore, PreconditionFailed
from modelcast.schemas.records import LogPosition
from modelcast.schemas.topics import Topic

RETRY_PAUSES_SECONDS = (0.1, 0.5)
T = TypeVar("T")


class Origin:
    """One registry to write to. Thread-safe.

    Args:
        settings: where everything is.
        store: instead of the store that ``stores.origin`` names.
        announcer: instead of Kafka as the settings have it.
    """

    def __init__(
        self, settings: Settings, *, store: ObjectStore | None = None, announcer: Announcer | None = None
    ) -> None:
        self.settings = settings
        self.store = store if store is not None else origin_store(settings)
        self.announcer: Announcer = announcer if announcer is not None else KafkaAnnouncer(settings)
        self.reader = registry_of(settings, self.store, expected_id=settings.publish.registry_id)
        self.pool = Threads(settings.publish.upload_threads + 4, "origin")
        self._logs: dict[str, ModelLog] = {}
        self.conditional_puts_checked = False
        self._lock = threading.Lock()
        self.registry_known = False
        self._warmed = False

    def warm_up(self) -> None:
        """Begin connecting to Kafka while other things are done."""
        if isinstance(self.announcer, KafkaAnnouncer) and not self._warmed and not is_ending():
            self._warmed = True
            self.pool.submit(self.announcer.warm, Topic.MODEL_UPDATES)

    def open_registry(self, *, create: bool) -> str:
        """The registry's id; made if asked, but only in a store that honours conditional puts.

        Raises:
            NotFound: there is none, and ``create`` is not set.
            ForeignRegistry: it is not the expected one.
            Refused: the store ignores conditional puts.
        """
        try:
            found = self.reader.read_registry_id()
        except NotFound:
            if not create:
                raise
            prove_conditional_puts(self.store)
            self.conditional_puts_checked = True
            found = retried_put(lambda: self.reader.read_registry_id(create=True))
        self.registry_known = True
        return found

    def check_conditional_puts(self) -> None:
        """Prove once a process that the store honours ``If-None-Match``, with the registry id's own bytes.

        Where the header is ignored, the put changes nothing, and its success gives the store away.

        Raises:
            Refused: the store ignores it.
        """
        if self.conditional_puts_checked:
            return
        found = self.store.get(keys.REGISTRY_ID, size_max=REGISTRY_ID_SIZE_MAX)
        if found is not None:
            try:
                retried_put(lambda: self.store.put(keys.REGISTRY_ID, found.body, if_absent=True))
            except PreconditionFailed:
                pass
            else:
                raise Refused(
                    "the store ignores If-None-Match on puts, so two publishers could overwrite each other",
                    subject=self.store.name,
                    hint="modelcast doctor shows more",
                )
        self.conditional_puts_checked = True

    def check_may(self, subjects: Sequence[str]) -> None:
        """Refuse what the keys that sign here may not say; nothing is asked where no root of trust is pinned.

        Raises:
            Untrusted: no reader would believe it.
        """
        self.reader.trust.check_may(subjects, self.reader.sign, self.settings.trust.keys)

    def model_log(self, model: str) -> ModelLog:
        """The fold of everything in a model's log; costs one request when little is new.

        Raises:
            ForeignRegistry: the store was wiped, restored or rewritten since we last looked.
        """
        known = self._logs.get(model)
        if known is None:
            self.reader.read_registry_id()
        try:
            tail = self.reader.tail(model, known)
            log = self.check_standing(tail.log) if known is not None and not tail.new else tail.log
        except ForeignRegistry:
            if known is None:
                raise
            log = self.check_standing(known)
        self.remember(log)
        return log

    def known_log(self, model: str) -> ModelLog | None:
        """The fold that is remembered, if it has an entry to recognise the store by."""
        return self._logs.get(model)

    def check_standing(self, log: ModelLog) -> ModelLog:
        """The same fold, once the store has proved that it still holds its newest entry; or the one accepted instead.

        Raises:
            ForeignRegistry: it does not: it was wiped, swapped or restored, and no person has accepted that.
        """
        try:
            self.reader.check_standing(log)
        except ForeignRegistry:
            whole = self.reader.tail(log.model).log
            if not whole.answers(LogPosition(log.head, log.digest_at(log.head))):
                raise
            with self._lock:
                self._logs[log.model] = whole
            return whole
        return log

    def remember(self, log: ModelLog) -> None:
        """Keep a fold for the next time, if it is further than what is kept."""
        if not log.head:
            return
        with self._lock:
            kept = self._logs.get(log.model)
            if kept is None or kept.head <= log.head:
                self._logs[log.model] = log

    def announce(self, model: str, body: bytes) -> None:
        """Announce a log entry.

        Raises:
            KafkaUnavailable: no confirmation in ``kafka.timeout_seconds``.
        """
        try:
            timeout = self.settings.kafka.timeout_seconds
            self.announcer.announce(Topic.MODEL_UPDATES, model, body, timeout_seconds=timeout)
        except KafkaUnavailable:
            ANNOUNCEMENTS.labels("publisher", "failed").inc()
            raise
        ANNOUNCEMENTS.labels("publisher", "done").inc()

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Do several things at once; the first failure is raised, once none is running any more."""
        futures = [self.pool.submit(call) for call in calls]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # a person's Ctrl-C: nothing more is begun
            for future in futures:
                future.cancel()
            raise
        failed = next((f for f in futures if f.done() and f.exception() is not None), None)
        if failed is not None:
            for future in futures:
                future.cancel()
            wait(futures)
        return [future.result() for future in ([failed] if failed else futures)]

    def close(self) -> None:
        """Close every connection and end every thread."""
        self.reader.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.announcer.close()


def retried_put(call: Callable[[], T]) -> T:
    """Repeat a conditional put that was not answered: the second try tells whether the first one happened.

    With the adapter's own time-outs, a store that is frozen is known in under 30 s.
    """
    first, longest = RETRY_PAUSES_SECONDS
    return stamina.retry(
        on=StoreUnavailable,
        attempts=1 + len(RETRY_PAUSES_SECONDS),
        timeout=None,
        wait_initial=first,
        wait_max=1.5 * longest,
        wait_exp_base=longest / first,
        wait_jitter=first,
    )(call)()
