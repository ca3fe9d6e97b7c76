"""Follows one source of pods for as long as the region runs."""

import asyncio
import random
from collections.abc import Callable

import structlog

from modelcast.consumers.discovery.decider.merging import (
    CONFIRM_SECONDS,
    FleetView,
    LookFailed,
    Observed,
    PodChanges,
    PodsFound,
    merge_look,
)
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress, PodSource
from modelcast.schemas.backoff import backoff_seconds

PAUSE_SECONDS_FIRST = 1.0
PAUSE_SECONDS_MAX = 30.0

log = structlog.get_logger(__name__)


class FleetWatch:
    """What is known of one fleet, kept up to date by ``run``. It belongs to one event loop.

    Args:
        label: the fleet, for people.
        source: where its pods are known.
        on_look: called after each look, whatever it found.
        keep_seconds: see ``merge_look``.
        rng: for jitter.
    """

    def __init__(
        self,
        label: str,
        source: PodSource,
        on_look: Callable[[FleetView, PodChanges], None],
        *,
        keep_seconds: float = float("inf"),
        rng: random.Random | None = None,
    ) -> None:
        self.label = label
        self.view = FleetView()
        self._source = source
        self._on_look = on_look
        self._keep_seconds = keep_seconds
        self._rng = rng or random.Random()
        self._failures = 0

    async def run(self) -> None:
        """Look, then follow the source, until cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                except DiscoveryFailed as error:
                    self._observe(LookFailed(str(error)))
                except Exception as error:
                    log.exception("a fleet's pods can't be discovered for an unforeseen reason", fleet=self.label)
                    self._observe(LookFailed(f"{type(error).__name__}: {error}"))
                await asyncio.sleep(self._pause_seconds())
        finally:
            await self._source.aclose()

    async def _follow(self) -> None:
        """Follow the source until it fails, or an answer without pods is to be confirmed."""
        found: tuple[PodAddress, ...] | None = None
        while True:
            if found is None:
                found = await self._source.look()
            self._observe(PodsFound(found))
            if self.view.doubted:
                return
            found = await self._source.news()

    def _observe(self, observed: Observed) -> None:
        before, now = self.view, asyncio.get_running_loop().time()
        self.view, changed = merge_look(before, observed, now, keep_seconds=self._keep_seconds)
        if isinstance(observed, LookFailed):
            self._failures += 1
            if self.view.error != before.error:
                log.warning("a fleet can't be looked at; its pods are taken to be as before", fleet=self.label,
                            error=self.view.error, pods=len(self.view.pods))  # fmt: skip
        else:
            self._failures = 0
            if before.error:
                log.info("a fleet can be looked at again", fleet=self.label)
        if self.view.doubted and not before.doubted:
            log.warning("a fleet names no pods any more; looking again", fleet=self.label, pods=len(self.view.pods))
        if changed:
            log.info("pods changed", fleet=self.label, came=sorted(changed.came), left=sorted(changed.left),
                     replaced=sorted(changed.replaced), pods=len(self.view.pods))  # fmt: skip
        self._on_look(self.view, changed)

    def _pause_seconds(self) -> float:
        if self.view.doubted:
            return CONFIRM_SECONDS
        full = backoff_seconds(PAUSE_SECONDS_FIRST, self._failures, PAUSE_SECONDS_MAX)
        return full * self._rng.uniform(0.5, 1.0)
