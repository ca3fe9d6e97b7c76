"""Reading the registry: its id, its models, and their logs, entry by entry, straight from the origin store.

``tail`` and ``read_until`` take a fold and return the same fold further on, for the caller to keep. Nothing
here writes, except that ``registry_id(create=True)`` makes the registry's id once.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from modelcast.infra.forks import renew_in_children
from modelcast.infra.registry.entry_trust import EntryTrust, TrustSource
from modelcast.infra.threads import Threads
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.errors import (
    BrokenChain,
    ContentError,
    DecodeError,
    ForeignRegistry,
    NotFound,
    Refused,
    RegistryIdLost,
    UnknownSchema,
)
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import REGISTRY_ID_SIZE_MAX, decode_registry_id, encode_registry_id
from modelcast.schemas.log.statements import Sign
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.records import Entry
from modelcast.schemas.topics import RECORD_SIZE_MAX

SCHEMA_SIZE_MAX = 64 * 1024
THREADS = 8
AHEAD_MAX = 16
"""Entries that ``read_until`` asks for one by one; further ahead, listing first is cheaper (and bounded)."""
DAMAGED_HINT = "put the object back from a copy of the store; see `modelcast doctor --only logs`"
_DAMAGED_ID_HINT = (
    "it was damaged; where there are logs, `modelcast registry restore-id` puts back the id that they name"
)
_SCHEMAS_FOLDER = "schemas"  # also a legal model name


@dataclass(frozen=True, slots=True)
class TimedEntry:
    """An entry as it stands in the store, and when the store received it (the store's own clock)."""

    stated: StatedEntry
    last_modified_us: int

    @property
    def entry(self) -> Entry:
        """The record."""
        return self.stated.entry

    @property
    def body(self) -> bytes:
        """The bytes, as they are to be announced."""
        return self.stated.stored


@dataclass(frozen=True, slots=True)
class Tail:
    """A log folded further, and the entries that were new with the store's times, by generation.

    ``unread``: what is wrong with the entry above, where the reader was content with a part.
    """

    log: ModelLog
    new: Mapping[int, TimedEntry] = field(default_factory=dict)
    unread: DecodeError | None = None

    @property
    def times_us(self) -> Mapping[int, int]:
        """Generation to the store's last-modified time, of the new entries."""
        return {generation: timed.last_modified_us for generation, timed in self.new.items()}


class RegistryReader:
    """The registry in one store. Thread-safe; costs nothing until it is asked.

    Args:
        store: the origin store.
        book: writers' schemas known so far; unknown ones are fetched from the store and added.
        expected_id: the registry id that the caller remembers, if any; another one is refused.
        trust: who may say what; None: nobody's signature is looked at.
        sign: signs what is claimed through it; None: it is not signed.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        book: SchemaBook | None = None,
        expected_id: str | None = None,
        trust: TrustSource | None = None,
        sign: Sign | None = None,
    ) -> None:
        self.store, self.sign = store, sign
        self.trust = EntryTrust(trust)
        self.book = book if book is not None else SchemaBook()
        self._expected_id = expected_id or None
        self._id: str | None = None
        self._heads: dict[str, int] = {}
        self._threads: Threads | None = None
        self._lock = threading.Lock()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``."""
        self._lock = threading.Lock()

    # --- the registry itself ------------------------------------------------------------------------------

    def registry_id(self, *, create: bool = False) -> str:
        """The registry's random id, read once and remembered.

        Raises:
            NotFound: the store holds no registry (and ``create`` is not set).
            ForeignRegistry: it is not the expected one.
        """
        return self._id or self.read_registry_id(create=create)

    def read_registry_id(self, *, create: bool = False) -> str:
        """Read the id from the store, even if it is known: as it may be another store. Raises like ``registry_id``."""
        found = self.store.get(keys.REGISTRY_ID, size_max=REGISTRY_ID_SIZE_MAX)
        if found is None:
            models = self.models()
            # With logs, a new id would disown every entry. An id precedes them: one that is there now is just made.
            if not models and create and (self._id or self._expected_id) is None:
                made = encode_registry_id(uuid.uuid4().hex)
                with suppress(PreconditionFailed):  # another process made it (or we did, and the answer was lost)
                    self.store.put(keys.REGISTRY_ID, made, if_absent=True)
            if models or create:
                found = self.store.get(keys.REGISTRY_ID, size_max=REGISTRY_ID_SIZE_MAX)
            if found is None:
                raise self._missing(models)
        subject = f"{self.store.name}/{keys.REGISTRY_ID}"
        read = decode_registry_id(found.body, subject=subject, hint=_DAMAGED_ID_HINT)
        with self._lock:
            known = self._id or self._expected_id
            if known is not None and known != read:
                raise ForeignRegistry(
                    f"the store holds registry {read}, expected {known}",
                    subject=self.store.name,
                    hint="the store was wiped, restored or swapped; see `modelcast doctor`",
                )
            self._id = read
        return read

    def models(self) -> list[str]:
        """The names of all models that have a log, sorted."""
        found = set(self.store.folders(keys.REGISTRY_PREFIX))
        if _SCHEMAS_FOLDER in found and not any(islice(self.store.list(keys.log_prefix(_SCHEMAS_FOLDER)), 1)):
            found.discard(_SCHEMAS_FOLDER)
        return sorted(name for name in found if keys.parse_log_entry(keys.log_entry(name, 1)))

    def heads(self, of: Callable[[str], bool] = lambda model: True) -> dict[str, int]:
        """The highest generation of every model, or of those that ``of`` says yes to.

        To list every entry costs a request a thousand and, on some servers, far more. So a model of which the head is
        known costs one question for the entry above it, and only what is new is listed.
        """
        models = [model for model in self.models() if of(model)]
        return dict(zip(models, self._pool().map(self._head, models), strict=True))

    def _head(self, model: str) -> int:
        known = self._heads.get(model, 0)
        if known and self.store.head(keys.log_entry(model, known + 1)) is None:
            return known
        listed = self.store.list(keys.log_prefix(model), start_after=keys.log_entry(model, known) if known else "")
        above = [parsed[1] for info in listed if (parsed := keys.parse_log_entry(info.key))]
        self._heads[model] = max([known, *above])
        return self._heads[model]

    # --- one model's log ----------------------------------------------------------------------------------

    def open_log(self, model: str) -> ModelLog:
        """An empty fold of ``model``'s log, to start reading from."""
        return ModelLog(model, self.registry_id())

    def entry(self, model: str, generation: int) -> TimedEntry | None:
        """One entry, whole in itself; None if that generation was not claimed. Whether it follows is not looked at.

        Raises:
            DecodeError: what lies there is not an entry.
            ForeignRegistry: it is one of another model or generation.
        """
        key = keys.log_entry(model, generation)
        try:
            found = self.store.get(key, size_max=RECORD_SIZE_MAX)
        except Refused:
            raise
        except ContentError as error:
            raise DecodeError(error.message, reason="oversize", subject=key, hint=DAMAGED_HINT) from None
        if found is None:
            return None
        stated = self.decode_entry(found.body, subject=key)
        entry = stated.entry
        if (entry.model, entry.generation) != (model, generation):
            raise ForeignRegistry(
                f"holds {entry.model} generation {entry.generation}", subject=key, hint="see `modelcast doctor`"
            )
        return TimedEntry(stated, found.info.last_modified_us)

    def check_standing(self, log: ModelLog) -> None:
        """Prove that the newest entry of a fold still stands, byte for byte; nothing is asked for an empty one.

        Raises:
            ForeignRegistry: it is gone, or another entry has its place.
            DecodeError: what lies there can't be read any more.
        """
        if not log.head:
            return
        timed = self.entry(log.model, log.head)
        if timed is None or not log.stands(timed.stated):
            raise ForeignRegistry(
                "the store has lost a log entry that was read before, or holds another in its place",
                subject=f"{log.model} generation {log.head}",
                hint="the store was wiped, swapped, restored or rewritten; see `modelcast doctor --only logs`",
            )

    def tail(self, model: str, log: ModelLog | None = None, *, partial: bool = False) -> Tail:
        """Fold everything above ``log`` (None: everything).

        One request when nothing is new. Entries that are many are read in parallel after one listing. A new entry
        proves by its digest that what is folded still stands below it; where none is new, ``check_standing`` does.

        Args:
            model: whose log.
            log: as far as it was read.
            partial: end before an entry that can't be read, or does not follow, and say so, instead of raising.

        Raises:
            ForeignRegistry: the store belongs to another registry, or was rewritten.
            DecodeError: an entry can't be read.
            BrokenChain: an entry does not follow those below it.
        """
        begun = log = log if log is not None else self.open_log(model)
        new: dict[int, TimedEntry] = {}
        if log.head:
            try:
                first = self.entry(model, log.head + 1)
                if first is None:
                    return Tail(log)
                log, new = log.extend(first.stated), {log.head + 1: first}
            except DecodeError as error:
                return self._unread(begun, Tail(log, unread=error), partial)
        prefix = keys.log_prefix(model)
        listed = self.store.list(prefix, start_after=keys.log_entry(model, log.head))
        generations = [parsed[1] for info in listed if (parsed := keys.parse_log_entry(info.key))]
        return self._unread(begun, self._fold(log, new, generations), partial)

    def read_until(self, log: ModelLog, generation: int, *, partial: bool = False) -> Tail:
        """Fold at least up to ``generation``, which was announced: one request when it is the next.

        The result may stop short of it: then that generation was not claimed (yet). ``partial`` is as in ``tail``.

        Raises:
            ForeignRegistry: as ``tail``.
            DecodeError: as ``tail``.
        """
        if generation <= log.head:
            return Tail(log)
        if generation - log.head > AHEAD_MAX:
            return self.tail(log.model, log, partial=partial)
        return self._unread(log, self._fold(log, {}, range(log.head + 1, generation + 1)), partial)

    def read_on(self, model: str, log: ModelLog | None, until: int = 0) -> Tail:
        """Read on as who follows a log does: everything at first; then up to ``until``, or else whatever is new.

        Either way what was read before is proved to stand: a new entry does it, or ``check_standing``. It ends before
        an entry that can't be read, as ``tail`` does with ``partial``; it raises as both.
        """
        if log is None or not log.head:  # nothing is known of it: one listing, not a question for each generation
            return self.tail(model, log, partial=True)
        if until > log.head:
            return self.read_until(log, until, partial=True)
        self.check_standing(log)
        return self.tail(model, log, partial=True)

    def decode_entry(self, body: bytes, *, subject: str = "") -> StatedEntry:
        """Read an entry's bytes, fetching its writer's schema from the registry if it is not known yet.

        Raises:
            DecodeError: it is not one; ``UnknownSchema`` if the registry does not hold the schema either.
        """
        try:
            try:
                return self.trust.read(body, self.book)
            except UnknownSchema as unknown:
                self.learn_schema(unknown.subject)
                return self.trust.read(body, self.book)
        except DecodeError as error:
            hint = error.hint or DAMAGED_HINT
            raise type(error)(error.message, reason=error.reason, subject=subject, hint=hint) from None

    def learn_schema(self, fingerprint: str) -> None:
        """Fetch a writer's schema into the book.

        Raises:
            UnknownSchema: the registry does not hold it.
            DecodeError: the book refuses it.
        """
        found = self.store.get(keys.schema(fingerprint), size_max=SCHEMA_SIZE_MAX)
        if found is None:
            raise UnknownSchema(
                f"schema {fingerprint} is neither known nor in the registry",
                reason="unknown-schema",
                subject=fingerprint,
                hint="its writer should have put it there; a newer modelcast may know it",
            )
        self.book.add(fingerprint, found.body.decode("utf-8", "replace"))

    def close(self) -> None:
        """Let go of the reading threads. The reader can still be used."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads:
            threads.shutdown(wait=False, cancel_futures=True)

    # --------------------------------------------------------------------------------------------------------

    def _fold(self, log: ModelLog, new: dict[int, TimedEntry], generations: Iterable[int]) -> Tail:
        wanted = list(generations)
        found = (
            self._pool().map(lambda g: self.entry(log.model, g), wanted)
            if len(wanted) > 1
            else (self.entry(log.model, g) for g in wanted)
        )
        try:
            for generation, timed in zip(wanted, found, strict=True):
                if timed is None:
                    break  # not claimed: what is above can't be meant for this registry either
                while generation > log.head + 1:
                    between = self.entry(log.model, log.head + 1)  # a listing may miss what was put meanwhile
                    if between is None:
                        raise DecodeError(
                            f"it is gone, although generation {generation} stands above it",
                            reason="gap",
                            subject=f"{log.model} generation {log.head + 1}",
                            hint=DAMAGED_HINT,
                        )
                    log = log.extend(between.stated)
                    new[log.head] = between
                log = log.extend(timed.stated)
                new[generation] = timed
        except DecodeError as error:
            return Tail(log, new, error)
        return Tail(log, new)

    def _unread(self, begun: ModelLog, tail: Tail, partial: bool) -> Tail:
        """The tail, once it is known whether the store still holds what ``begun`` was read from."""
        if isinstance(tail.unread, BrokenChain):
            self.check_standing(begun)
        self.trust.check_floor(tail.log, tail.unread)
        if tail.unread is not None and not partial:
            raise tail.unread
        return tail

    def _pool(self) -> Threads:
        with self._lock:
            if self._threads is None:
                self._threads = Threads(THREADS, "registry")
            return self._threads

    def _missing(self, models: Sequence[str]) -> ContentError:
        known = self._id or self._expected_id
        if models:
            named = ", ".join(models[:3]) + (", …" if len(models) > 3 else "")
            return RegistryIdLost(
                f"{keys.REGISTRY_ID} is gone, but the registry holds logs ({named})",
                subject=self.store.name,
                hint="`modelcast registry restore-id` puts back the id that its entries name",
            )
        if known is not None:
            return ForeignRegistry(
                f"the store holds no registry, expected {known}",
                subject=self.store.name,
                hint="the store was wiped or swapped; see `modelcast doctor`",
            )
        return NotFound(
            "the store holds no registry yet",
            subject=self.store.name,
            hint="the first publication makes one; is the origin store's url right?",
        )
