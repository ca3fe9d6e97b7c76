"""What was served and wanted, asked of the origin store: a few questions at once, logs read further and not anew."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from modelcast.infra.history import KafkaRecent, ModelHistory, RecentSource, compare_versions
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.schemas.history.difference import VersionDifference
from modelcast.schemas.names import Reference
from modelcast.schemas.ports import ObjectStore

QUESTIONS_AT_ONCE = 4
MODELS_KEPT = 200

T = TypeVar("T")


class HistorySource:
    """Answers questions about the past. It belongs to one event loop, and costs nothing until it is asked.

    Args:
        settings: where the origin store is.
        store: instead of that of the settings.
        recent: changes that are not archived yet; None: those on Kafka, and with another ``store`` none.
    """

    def __init__(
        self, settings: Settings, store: ObjectStore | None = None, recent: RecentSource | None = None
    ) -> None:
        self._settings, self._store = settings, store
        self._recent = recent if recent is not None or store is not None else KafkaRecent(settings)
        self._registry: RegistryReader | None = None
        self._models: dict[str, ModelHistory] = {}
        self._lock = threading.Lock()
        self._turns = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def ask(self, model: str, question: Callable[[ModelHistory], T]) -> T:
        """Put a question about a model to its history.

        Raises:
            NotFound: no such model, or the settings name no origin store.
            ModelcastError: the store can't be read.
        """
        async with self._turns:
            return await asyncio.to_thread(lambda: question(self._history(model)))

    async def difference(self, model: str, before: int, after: int) -> VersionDifference:
        """Compare two versions. Raises like ``ask``."""

        def compare(history: ModelHistory) -> VersionDifference:
            old, new = (history.log.resolve(Reference(model, version)) for version in (before, after))
            return compare_versions(self._reader().store, old, new)

        return await self.ask(model, compare)

    def _history(self, model: str) -> ModelHistory:
        with self._lock:
            known = self._models.pop(model, None)
        history = known.read_on() if known is not None else ModelHistory(self._reader(), model, recent=self._recent)
        with self._lock:
            self._models[model] = history
            while len(self._models) > MODELS_KEPT:
                del self._models[next(iter(self._models))]
        return history

    def _reader(self) -> RegistryReader:
        with self._lock:
            if self._registry is None:
                self._registry = registry_of(self._settings, self._store)
            return self._registry
