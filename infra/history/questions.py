"""What was served, and what should have been, at a time: from the origin store alone. Blocking."""

from dataclasses import dataclass

from modelcast.infra.history.reader import HistoryReader
from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.schemas.errors import NotFound
from modelcast.schemas.history.timeline import Recorded, ServedAt, regions_of_changes, served_at
from modelcast.schemas.history.wanted import StoredEntry, WantedAt, log_at, wanted_at


@dataclass(frozen=True, slots=True)
class PairAt:
    """One region at a time: what it served, and what it should have."""

    region: str
    served: ServedAt
    wanted: WantedAt


class ModelHistory:
    """One model's log and archive.

    Args:
        registry: of the origin store.
        model: its name.

    Raises:
        NotFound: nothing was ever published under that name.
    """

    def __init__(self, registry: RegistryReader, model: str) -> None:
        self._reader, self._model = HistoryReader(registry.store), model
        tail = registry.tail(model, partial=True)
        if not tail.log.head:
            raise tail.unread or NotFound(
                "no such model", subject=model, hint="modelcast get models; modelcast publish MODEL PATH"
            )
        self._empty, self._entries = registry.open_log(model), _stored(tail)

    @property
    def entries(self) -> dict[int, StoredEntry]:
        """The log's entries by generation."""
        return self._entries

    def at(self, at_us: int, region: str | None = None) -> tuple[PairAt, ...]:
        """One region, or all that were ever spoken of, at ``at_us`` (UTC microseconds)."""
        recorded, log = self.recorded(at_us, at_us), log_at(self._empty, self._entries, at_us)
        regions = (region,) if region is not None else self._regions(recorded)
        return tuple(
            PairAt(each, served_at(recorded, each, at_us), wanted_at(log, self._entries, each)) for each in regions
        )

    def recorded(self, from_us: int, to_us: int) -> Recorded:
        """What is archived and bears on that span."""
        return self._reader.recorded(self._model, from_us, to_us)

    def _regions(self, recorded: Recorded) -> tuple[str, ...]:
        return regions_of_changes(recorded.changes)


def _stored(tail: Tail) -> dict[int, StoredEntry]:
    return {generation: StoredEntry(timed.entry, timed.last_modified_us) for generation, timed in tail.new.items()}
