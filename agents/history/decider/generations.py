"""Which generations are over: each leaves one record in the store."""

from modelcast.schemas.history.generation import (
    SERVED,
    SUPERSEDED,
    GenerationRecord,
    is_served,
    newest_generation,
    rollout_record,
)
from modelcast.schemas.records import VersionState

RECENT_US = 3600 * 1_000_000
"""A generation that was over for less than that before this worker heard of it may have no record yet."""


class Generations:
    """What is under way of each model; for one thread."""

    def __init__(self) -> None:
        self._open: dict[str, VersionState] = {}
        self._done: dict[str, int] = {}  # the newest generation of a model that has its record

    def reported(self, state: VersionState, before: VersionState | None, now_us: int) -> tuple[GenerationRecord, ...]:
        """The tracker says this of a model; ``before`` is what was said before. The records of what that ends."""
        model, generation = state.model, newest_generation(state)
        if model not in self._done:
            self._done[model] = 0
            if before is not None and not is_served(before):
                self._open[model] = before
            elif before is not None and now_us - before.consistent_since_us > RECENT_US:
                self._done[model] = newest_generation(before)
        over: list[GenerationRecord] = []
        known = self._open.get(model)
        if known is not None and newest_generation(known) < generation:
            over += self._ended(known, SUPERSEDED, now_us)
        if generation > self._done[model]:
            self._open[model] = state
            if is_served(state):
                over += self._ended(state, SERVED, now_us)
        return tuple(over)

    def _ended(self, state: VersionState, how: str, now_us: int) -> tuple[GenerationRecord, ...]:
        self._open.pop(state.model, None)
        generation = newest_generation(state)
        if generation <= self._done[state.model]:
            return ()
        self._done[state.model] = generation
        return (rollout_record(state, how, now_us),)
