"""The history as the tracker's composition root plugs it in."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from modelcast.agents.history.follower import ChangesFollower
from modelcast.agents.history.generations import Generations
from modelcast.agents.history.recorder import ChangeSender, Recorder
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.schemas.records import ModelUpdate, VersionState

CLOSE_SECONDS = 2.0
QUIET_REFRESHES = 3.0
"""Refreshes of a state that a tracker may miss before that is a pause of which nothing is known."""


class Hears(Protocol):
    """Is told what the tracker says of a model."""

    def __call__(
        self, state: VersionState, updates: Mapping[int, ModelUpdate], before: VersionState | None, now_us: int, /
    ) -> None:
        """``before`` is what was said before; ``updates`` are the log's publications by version."""
        ...


@dataclass(frozen=True, slots=True)
class _Digests(Mapping[int, str]):
    updates: Mapping[int, ModelUpdate]

    def __getitem__(self, version: int) -> str:
        return self.updates[version].artifact.manifest_digest

    def __iter__(self) -> Iterator[int]:
        return iter(self.updates)

    def __len__(self) -> int:
        return len(self.updates)


@contextmanager
def plugged(
    settings: Settings,
    registry: RegistryReader,
    sender: ChangeSender,
    owned: Callable[[], frozenset[int]],
    hears: Callable[[Hears], None],
) -> Iterator[None]:
    """Record and archive while the block runs; on the event loop that runs now.

    Args:
        settings: ``tracker.history`` says whether.
        registry: of the origin store, which also holds the archive.
        sender: to Kafka.
        owned: the partitions that are this worker's now.
        hears: is given what is to hear what the tracker says.
    """
    if not settings.tracker.history:
        yield
        return
    loop = asyncio.get_running_loop()
    recorder = Recorder(sender, QUIET_REFRESHES * settings.tracker.refresh_seconds)

    def on_loop(call: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    def said(state: VersionState, updates: Mapping[int, ModelUpdate], before: VersionState | None, now_us: int) -> None:
        generations.said(state, before, now_us)
        recorder.said(state, _Digests(updates), before.updated_at_us if before is not None else 0, now_us)

    follower = ChangesFollower(settings, registry, owned, recorder, on_loop)
    generations = Generations(follower.keep)
    follower.start()
    hears(said)
    try:
        yield
    finally:
        follower.close(CLOSE_SECONDS)
