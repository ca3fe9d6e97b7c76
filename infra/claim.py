"""Claiming the next generation of a model's log with one conditional put."""

import random
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from modelcast.infra.registry import RegistryReader, TimedEntry
from modelcast.schemas import keys
from modelcast.schemas.codec import encode, writer_schema
from modelcast.schemas.errors import ContentError, StoreUnavailable
from modelcast.schemas.log import ModelLog
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.records import Entry, Record
from modelcast.schemas.schema_book import RECORD_CLASSES

DEADLINE_SECONDS = 20.0
RETRY_SECONDS_MAX = 1.0

_schemas_put: "weakref.WeakKeyDictionary[ObjectStore, set[str]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Claimed:
    """An entry that stands in the log, and the fold up to (at least) it.

    ``last_modified_us`` is the store's clock. ``encoded`` are the entry's bytes, as they are to be announced.
    ``made`` is False if it already stood there before this call.
    """

    entry: Entry
    log: ModelLog
    last_modified_us: int
    encoded: bytes
    made: bool = True


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

    For whoever sets up or upgrades: regions and trackers have no right to write there, and an older reader that
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
    build: Callable[[ModelLog], Entry],
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Claimed:
    """Write the entry that ``build`` makes at the next generation of the log.

    ``build`` is called again with a longer fold each time that somebody else was faster, and raises if the entry
    is no longer wanted. Its entry carries ``event_id`` and the generation ``log.head + 1``. An event that already
    stands in the log is returned, never written twice: an interrupted claim can be repeated with the same id.

    Args:
        reader: the registry.
        log: a fold of the model's log; it may be old.
        event_id: the entry's identity, the same in every attempt.
        build: makes the entry from the fold; pure.
        deadline_seconds: how long time-outs and conflicts of the store are borne.

    Raises:
        StoreUnavailable: the store did not say for certain whether the entry stands. Claim again with this id.
        ContentError: ``build`` or ``log.check`` refused the entry.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        if event_id in log.event_ids:
            return _standing(reader, log, event_id)
        entry = build(log)
        if entry.event_id != event_id or entry.generation != log.head + 1:
            raise ContentError("the entry built has another event id or generation than the claim")
        log.check(entry)
        put_schema(reader.store, type(entry))
        body = encode(entry)
        standing, made = _put_once(reader, entry, body, deadline)
        if standing is not None:
            stands = standing.entry
            return Claimed(stands, log.apply(stands), standing.last_modified_us, standing.body, made)
        before = log.head
        log = reader.tail(log.model, log).log
        if log.head == before:  # the store refused the put and yet has nothing there: it is not to be trusted
            raise StoreUnavailable(
                "the store refused a conditional put on a key that it says is free",
                subject=keys.log_entry(log.model, before + 1),
                hint="try again; if it stays, run `modelcast doctor`",
            )


def _put_once(reader: RegistryReader, entry: Entry, body: bytes, deadline: float) -> tuple[TimedEntry | None, bool]:
    """Put ``entry`` at its key: what stands there if it is this event (None: another one), and whether we put it.

    A time-out or conflict leaves open whether the put happened, so the same key is tried until the store says.
    """
    key, pause, tries = keys.log_entry(entry.model, entry.generation), 0.02, 0
    while True:
        tries += 1
        try:
            try:
                info = reader.store.put(key, body, if_absent=True)
                return TimedEntry(entry, info.last_modified_us, body), True
            except PreconditionFailed:
                winner = reader.entry(entry.model, entry.generation)
                ours = winner is not None and winner.entry.event_id == entry.event_id
                return (winner if ours else None), tries > 1
        except StoreUnavailable as error:
            if time.monotonic() + pause > deadline:
                raise StoreUnavailable(
                    f"could not learn whether the entry was written: {error.message}",
                    subject=key,
                    hint="run the same command again: it completes what was begun",
                ) from error
        time.sleep(pause * (0.5 + random.random()))
        pause = min(pause * 2, RETRY_SECONDS_MAX)


def _standing(reader: RegistryReader, log: ModelLog, event_id: str) -> Claimed:
    generation = log.event_ids.index(event_id) + 1
    timed = reader.entry(log.model, generation)
    if timed is None:
        raise StoreUnavailable("a known entry is gone", subject=keys.log_entry(log.model, generation))
    return Claimed(timed.entry, log, timed.last_modified_us, timed.body, made=False)
