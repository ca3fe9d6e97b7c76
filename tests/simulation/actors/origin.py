"""The origin store: the real registry reader and the real claim, over a store whose puts fail in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.ports import ObjectInfo, ObjectStore, StoredObject
from tests.simulation import artifacts
from tests.simulation.artifacts import Stored

if TYPE_CHECKING:
    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

_BOOK = SchemaBook()


class Origin(MemoryStore):
    """Holds the log (as objects) and the artifacts (as values)."""

    def __init__(self, world: World) -> None:
        super().__init__("origin", now_us=lambda: int(world.now * 1e6))
        self._world = world
        self._nested = False
        self.artifacts: dict[str, Stored] = {}
        super().put(keys.REGISTRY_ID, encode_registry_id(world.registry_id))

    def is_intact(self, digest: str) -> bool:
        """Whether an artifact's bytes are those that were published."""
        return artifacts.digest_of(self.artifacts[digest].data) == digest

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``MemoryStore.put``; on the log, somebody may be faster, and the answer may get lost."""
        world = self._world
        if keys.parse_log_entry(key) is None:
            return super().put(key, body, if_absent=if_absent, if_match=if_match)
        if not self._nested and world.fault("rival claimed first"):
            self._nested = True
            try:
                world.publishers.rival()
            finally:
                self._nested = False
        if not self._nested and world.fault("claim timed out, not written"):
            raise StoreUnavailable("timed out", subject=key)
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        world.claimed(world.reader.decode_entry(body))
        if not self._nested and world.fault("claim timed out, written"):
            raise StoreUnavailable("timed out", subject=key)
        return info

    def change(self, key: str, body: bytes) -> None:
        """Somebody with access to the disks changes an object; when it was written stays."""
        found = self._objects.get(key)
        info = super().put(key, body)
        kept = replace(info, last_modified_us=found.info.last_modified_us) if found else info
        self._objects[key] = StoredObject(body, kept)


DECODED: dict[bytes, StatedEntry] = {}


class Reader(RegistryReader):
    """The real reader, on one thread, that decodes equal bytes once."""

    def decode_entry(self, body: bytes, *, subject: str = "") -> StatedEntry:
        """See ``RegistryReader.decode_entry``."""
        if body not in DECODED:
            DECODED[body] = super().decode_entry(body, subject=subject)
        return DECODED[body]

    def _pool(self) -> Any:
        return _OneThread()


def reader_for(worker: Worker) -> type[RegistryReader]:
    """The reader of one worker: now and then an earlier answer arrives last."""

    class Overtaken(Reader):
        def __init__(self, store: ObjectStore, *, book: SchemaBook = _BOOK, expected_id: str | None = None) -> None:
            super().__init__(store, book=book, expected_id=expected_id)
            self._folds: list[ModelLog] = []  # as they were answered to who reads the log now

        def tail(self, model: str, log: ModelLog | None = None, *, partial: bool = False) -> Tail:
            """See ``RegistryReader.tail``."""
            if log is None and model == worker.world.model:
                self._folds.clear()  # another begins to read: nothing of its own can be overtaken
            return self._perhaps_earlier(super().tail(model, log, partial=partial))

        def read_until(self, log: ModelLog, generation: int, *, partial: bool = False) -> Tail:
            """See ``RegistryReader.read_until``."""
            return self._perhaps_earlier(super().read_until(log, generation, partial=partial))

        def _perhaps_earlier(self, tail: Tail) -> Tail:
            if tail.log.model != worker.world.model:  # a name that somebody made up
                return tail
            known = worker.replica.facts.log_head if worker.replica else 0
            earlier = [fold for fold in self._folds if fold.head < known]
            self._folds.append(tail.log)
            if earlier and worker.world.fault("log read overtaken", worker.region):
                return Tail(worker.world.rng.choice(earlier))
            return tail

    return Overtaken


class _OneThread:
    def map(self, function: Callable[[int], object], items: Iterable[int]) -> Iterator[object]:
        return map(function, items)
