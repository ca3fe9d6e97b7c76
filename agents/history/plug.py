"""The history as the tracker's composition root plugs it in."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from modelcast.agents.history.decider.generations import Generations
from modelcast.agents.history.follower import ChangesFollower, OwnsPartitions
from modelcast.agents.history.recorder import ChangeSender, Recorder
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.schemas.history.generation import GenerationRecord
from modelcast.schemas.records import ModelUpdate, VersionState

CLOSE_SECONDS = 2.0
QUIET_REFRESHES = 3.0
"""Refreshes that a tracker may miss before that is a pause of which nothing is known."""


@dataclass(frozen=True, slots=True)
class _Digests(Mapping[int, str]):
    updates: Mapping[int, ModelUpdate]

    def __getitem__(self, version: int) -> str:
        return self.updates[version].artifact.manifest_digest

    def __iter__(self) -> Iterator[int]:
        return iter(self.updates)

    def __len__(self) -> int:
        return len(self.updates)


class GenerationArchive(Protocol):
    """Where the records of generations that are over are kept (``ChangesFollower``)."""

    def keep(self, record: GenerationRecord) -> None:
        """Have it written soon."""
        ...


class History:
    """Hears what the tracker reports (its ``StateListener``): what has changed is recorded, what is over is kept."""

    def __init__(self, recorder: Recorder, archive: GenerationArchive) -> None:
        self._recorder, self._archive = recorder, archive
        self._generations = Generations()

    def reported(
        self, state: VersionState, before: VersionState | None, updates: Mapping[int, ModelUpdate], now_us: int
    ) -> None:
        """See ``StateListener``."""
        for record in self._generations.reported(state, before, now_us):
            self._archive.keep(record)
        self._recorder.reported(state, _Digests(updates), before.updated_at_us if before is not None else 0, now_us)

    def unchanged(self, model: str, reported_at_us: Mapping[str, int], now_us: int) -> None:
        """See ``StateListener``."""
        self._recorder.confirmed(model, reported_at_us, now_us)


@contextmanager
def plugged(
    settings: Settings, registry: RegistryReader, sender: ChangeSender, rows: OwnsPartitions
) -> Iterator[tuple[History, ...]]:
    """Archive while the block runs, what is recorded on the event loop that runs now; who is to hear the tracker.

    Args:
        settings: ``tracker.history`` says whether; if not, nobody is to.
        registry: of the origin store, which also holds the archive.
        sender: to Kafka.
        rows: knows which partitions are this worker's now.
    """
    if not settings.tracker.history:
        yield ()
        return
    recorder = Recorder(sender, QUIET_REFRESHES * settings.tracker.refresh_seconds)
    follower = ChangesFollower(settings, registry, rows, recorder, asyncio.get_running_loop())
    follower.start()
    try:
        yield (History(recorder, follower),)
    finally:
        follower.close(CLOSE_SECONDS)
