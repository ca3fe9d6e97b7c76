"""Reading what newer software wrote: a writer's schema that is not known here is asked of the registry."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from modelcast.infra.registry.schema_lookup import ANSWER_SECONDS_MAX, AWAY_SECONDS, Restraint
from modelcast.infra.settings import ORIGIN, Settings
from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import DecodeError, UnknownSchema

R = TypeVar("R", bound=Record)


class NewerRecords:
    """For clients; daemons have ``SchemaLookup``. Thread-safe.

    Args:
        settings: where the origin store is; it is asked only for a schema that is not known.
        clock: monotonic seconds.
        answer_seconds_max: seconds that a caller waits for the store.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._answer_seconds_max = answer_seconds_max
        self._restraint = Restraint(clock)
        self._away_until = float("-inf")
        self._book: SchemaBook | None = None  # made when it is needed: it parses every schema
        self._lock = threading.Lock()

    def decode_as(self, cls: type[R], data: bytes | None) -> R:
        """As ``codec.decode_as``, also of records whose schema only the registry knows.

        Raises:
            DecodeError: it can't be read; ``UnknownSchema`` also if the store did not say.
        """
        try:
            return decode_as(cls, data)
        except UnknownSchema:
            pass
        with self._lock:
            book = self._book = self._book or SchemaBook()
            try:
                return decode_as(cls, data, book=book)
            except UnknownSchema as unknown:
                self._learn(unknown, book)
            return decode_as(cls, data, book=book)

    def _learn(self, unknown: UnknownSchema, book: SchemaBook) -> None:
        """Have the schema in the book, unless it is in vain to ask.

        Raises:
            UnknownSchema: it is, or was.
        """
        if self._clock() < self._away_until or self._restraint.refusal(unknown) is not None:
            raise unknown
        self._restraint.take_room(unknown)
        failed: list[Exception] = []
        asking = threading.Thread(target=_ask, args=(self._settings, unknown.subject, book, failed), daemon=True)
        asking.start()
        asking.join(self._answer_seconds_max)
        if not asking.is_alive() and not failed:
            return
        if failed and isinstance(failed[0], DecodeError):
            self._restraint.refuse(unknown.subject, failed[0])
        else:  # whichever schema it is: each would take as long
            self._away_until = self._clock() + AWAY_SECONDS
        raise unknown


def _ask(settings: Settings, fingerprint: str, book: SchemaBook, failed: list[Exception]) -> None:
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.infra.stores.configured import origin_store

    try:
        RegistryReader(origin_store(settings), book=book).learn_schema(fingerprint)
    except Exception as error:  # of a thread, which would go unnoticed
        failed.append(error)


_of_stores: dict[str, NewerRecords] = {}


def newer_records(settings: Settings) -> NewerRecords:
    """The one of this process for the origin store of ``settings``: what it has learnt, all who look know."""
    store = settings.stores.get(ORIGIN)
    return _of_stores.setdefault(store.model_dump_json() if store else "", NewerRecords(settings))
