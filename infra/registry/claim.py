"""Claiming the next generation of a model's log with one conditional put."""

import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import stamina

from modelcast.infra.registry.reader import RegistryReader, TimedEntry
from modelcast.schemas import keys
from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.schema_book import RECORD_CLASSES
from modelcast.schemas.codec import writer_schema
from modelcast.schemas.errors import ContentError, StoreUnavailable
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import state
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.records import Entry

DEADLINE_SECONDS = 20.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.02, 1.0

_schemas_put: "weakref.WeakKeyDictionary[ObjectStore, set[str]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Claimed:
    """The entry of this claim stands in the log.

    Attributes:
        entry: as it stands there.
        log: the fold that ends with it.
        last_modified_us: when the store received it, by the store's clock.
        encoded: its bytes, as they are to be announced.
    """

    entry: Entry
    log: ModelLog
    last_modified_us: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """Nothing was written: ``log``, as far as it was read, makes the entry needless.

    Attributes:
        log: the fold that was decided on.
        generation: of the entry that an earlier claim of the same event made; 0: there is none.
    """

    log: ModelLog
    generation: int = 0


def put_schema(store: ObjectStore, record_class: type[Record]) -> None:
    """Make sure that the store holds the schema that this software writes ``record_class`` with.

    Asks the store once per process; every writer of a record calls this before its first one.
    """
    fingerprint, text = writer_schema(record_class)
    with _lock:
        done = _schemas_put.setdefault(store, set())
    if fingerprint in done:
        return
    key = keys.schema(fingerprint)
    if store.head(key) is None:
        with suppress(PreconditionFailed):  # another writer was as fast
            store.put(key, text.encode(), if_absent=True)
    done.add(fingerprint)


def put_schemas(store: ObjectStore) -> int:
    """Make sure that the store holds every schema that this software writes with, those of reports included.

    For the setup and upgrades: regions and trackers have no right to write there, and an older reader that
    meets a newer report looks its schema up here.

    Returns:
        How many were looked at.
    """
    for record_class in RECORD_CLASSES.values():
        put_schema(store, record_class)
    return len(RECORD_CLASSES)


def claim(
    reader: RegistryReader,
    log: ModelLog,
    event_id: str,
    build: Callable[[ModelLog], Entry | None],
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Claimed | AlreadyThere:
    """Write the entry that ``build`` makes at the next generation of the log.

    ``build`` is called again with a longer fold each time that another writer was faster. Its entry carries
    ``event_id`` and the generation ``log.head + 1``. An event that already stands in the log is never written twice:
    an interrupted claim can be repeated with the same id.

    Args:
        reader: the registry.
        log: a fold of the model's log; it may be old.
        event_id: the entry's identity, the same in every attempt.
        build: makes the entry from the fold, or None if the log makes it needless; pure. It may refuse by raising.
        deadline_seconds: how long time-outs and conflicts of the store are borne.

    Raises:
        StoreUnavailable: the store did not say for certain whether the entry stands. Claim again with this id.
        ContentError: ``build`` or ``log.check`` refused the entry.
        Untrusted: the policy does not let the keys that sign here say it; nothing was written.
        ForeignRegistry: the store was rewritten since ``log`` was read.
        DecodeError: an entry that others claimed can't be read, or does not follow (``BrokenChain``).
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        if (standing := log.generations.get(event_id)) is not None:
            return AlreadyThere(log, standing)
        entry = build(log)
        if entry is None:
            return AlreadyThere(log)
        if entry.event_id != event_id or entry.generation != log.head + 1:
            raise ContentError("the entry built has another event id or generation than the claim")
        log.check(entry)
        put_schema(reader.store, type(entry))
        stated = state(entry, log.digest_at(log.head), reader.sign)
        reader.trust.check_own(stated, reader.book)
        found = _put_entry(reader, stated, deadline)
        if found is not None:
            return Claimed(found.entry, log.extend(found.stated), found.last_modified_us, found.body)
        before = log.head
        log = reader.tail(log.model, log).log
        if log.head == before:  # the store refused the put and yet has nothing there: it is not to be trusted
            raise StoreUnavailable(
                "the store refused a conditional put on a key that it lists as free",
                subject=keys.log_entry(log.model, before + 1),
                hint="try again; if it stays, run `modelcast doctor`",
            )


def _put_entry(reader: RegistryReader, stated: StatedEntry, deadline: float) -> TimedEntry | None:
    """Put an entry at its key: what stands there if it is this event; None: another event does.

    A time-out or conflict leaves open whether the put happened, so the same key is tried until the store says.
    """
    entry, left_seconds = stated.entry, deadline - time.monotonic()
    key = keys.log_entry(entry.model, entry.generation)
    try:
        for attempt in stamina.retry_context(
            on=StoreUnavailable,
            attempts=None if left_seconds > 0 else 1,
            timeout=left_seconds if left_seconds > 0 else None,
            wait_initial=RETRY_SECONDS_MIN,
            wait_max=RETRY_SECONDS_MAX,
            wait_jitter=RETRY_SECONDS_MIN,
        ):
            with attempt:
                return _put_once(reader, stated, key)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"it is unknown whether the entry was written: {error.message}",
            subject=key,
            hint="run the same command again: it completes what was started",
        ) from error
    raise AssertionError("a retry ends with a value or an error")


def _put_once(reader: RegistryReader, stated: StatedEntry, key: str) -> TimedEntry | None:
    entry = stated.entry
    try:
        info = reader.store.put(key, stated.stored, if_absent=True)
    except PreconditionFailed:
        winner = reader.entry(entry.model, entry.generation)
        return winner if winner is not None and winner.entry.event_id == entry.event_id else None
    return TimedEntry(stated, info.last_modified_us)
