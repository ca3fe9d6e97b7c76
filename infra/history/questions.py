"""What was served, and what should have been, at a time: from the origin store alone. Blocking."""

from dataclasses import dataclass

from modelcast.infra.history.reader import HistoryReader
from modelcast.infra.history.recent import RecentSource
from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.schemas import keys
from modelcast.schemas.errors import NotFound
from modelcast.schemas.history.aspired import AspiredAt, StoredEntry, aspired_at, log_at
from modelcast.schemas.history.generation import RECORD_SIZE_MAX, GenerationRecord, decode_generation
from modelcast.schemas.history.timeline import Recorded, ServedAt, regions_of_changes, served_at
from modelcast.schemas.log.fold import ModelLog


@dataclass(frozen=True, slots=True)
class PairAt:
    """One region at a time: what it served, and what it should have."""

    region: str
    served: ServedAt
    aspired: AspiredAt


class ModelHistory:
    """One model's log and archive. A value: ``read_on`` gives a newer one.

    Args:
        registry: of the origin store.
        model: its name.
        known: the same as it was read before.
        recent: what is not archived yet; None: only the archive answers.

    Raises:
        NotFound: nothing was ever published under that name.
    """

    def __init__(
        self,
        registry: RegistryReader,
        model: str,
        known: "ModelHistory | None" = None,
        recent: RecentSource | None = None,
    ) -> None:
        self._registry, self._model, self._recent = registry, model, recent
        tail = registry.tail(model, known.log if known is not None else None, partial=True)
        if not tail.log.head:
            raise tail.unread or NotFound(
                "no such model", subject=model, hint="modelcast get models; modelcast publish MODEL PATH"
            )
        self.log: ModelLog = tail.log
        self._reader = HistoryReader(registry.store, recent, tail.log.registry_id)
        self.entries: dict[int, StoredEntry] = {**(known.entries if known is not None else {}), **_stored(tail)}
        self._empty = registry.open_log(model)

    def read_on(self) -> "ModelHistory":
        """The same with what the log has got since."""
        return ModelHistory(self._registry, self._model, self, self._recent)

    def at(self, at_us: int, region: str | None = None) -> tuple[PairAt, ...]:
        """One region, or all that were ever spoken of, at ``at_us`` (UTC microseconds)."""
        recorded, log = self.recorded(at_us, at_us), log_at(self._empty, self.entries, at_us)
        regions = (region,) if region is not None else self._regions(recorded)
        return tuple(
            PairAt(each, served_at(recorded, each, at_us), aspired_at(log, self.entries, each)) for each in regions
        )

    def generation(self, generation: int) -> GenerationRecord | None:
        """How a generation went; None: it is not over, or no tracker kept it.

        Raises:
            ContentError: its record is damaged.
        """
        key = keys.generation_record(self._model, generation)
        found = self._registry.store.get(key, size_max=RECORD_SIZE_MAX)
        return decode_generation(found.body, f"{self._registry.store.name}/{key}") if found is not None else None

    def recorded(self, from_us: int, to_us: int) -> Recorded:
        """What is archived and bears on that span."""
        return self._reader.recorded(self._model, from_us, to_us)

    def _regions(self, recorded: Recorded) -> tuple[str, ...]:
        return regions_of_changes(recorded.changes)


def _stored(tail: Tail) -> dict[int, StoredEntry]:
    return {generation: StoredEntry(timed.entry, timed.last_modified_us) for generation, timed in tail.new.items()}
