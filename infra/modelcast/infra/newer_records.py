"""Reading what newer software wrote: a writer's schema that is not known here is asked of the registry, once."""

import threading
from typing import TypeVar

from modelcast.infra.settings import Settings
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import ModelcastError, UnknownSchema
from modelcast.schemas.records import Record
from modelcast.schemas.schema_book import SchemaBook

R = TypeVar("R", bound=Record)


class NewerRecords:
    """For clients, which read little and end soon; daemons have ``SchemaLookup``. Thread-safe.

    Args:
        settings: where the origin store is; it is asked only for a schema that is not known.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = SchemaBook()
        self._not_learnt: set[str] = set()
        self._lock = threading.Lock()

    def decode_as(self, cls: type[R], data: bytes | None) -> R:
        """As ``codec.decode_as``, also of records whose schema only the registry knows.

        Raises:
            DecodeError: it can't be read; ``UnknownSchema`` also if the store did not say.
        """
        try:
            return decode_as(cls, data, book=self._book)
        except UnknownSchema as unknown:
            if not self._learn(unknown.subject):
                raise
            return decode_as(cls, data, book=self._book)

    def _learn(self, fingerprint: str) -> bool:
        from modelcast.infra.registry import RegistryReader
        from modelcast.infra.stores.configured import origin_store

        with self._lock:
            if fingerprint in self._not_learnt:
                return False
            try:
                RegistryReader(origin_store(self._settings), book=self._book).learn_schema(fingerprint)
            except ModelcastError:  # also of a store that is away: to ask it for each record would take for ever
                self._not_learnt.add(fingerprint)
                return False
            return True
