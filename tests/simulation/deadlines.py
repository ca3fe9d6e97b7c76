"""What must have happened within a stated time, unless a fault came in between that excuses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from tests.simulation.actors.worker import REPORT_SECONDS
from tests.simulation.invariants import FLIP_TOLD, LIE_ENDS

if TYPE_CHECKING:
    from tests.simulation.actors.kafka import Lie
    from tests.simulation.actors.process import Process
    from tests.simulation.actors.region import Region
    from tests.simulation.world import World

FLIP_TOLD_SECONDS = 75.0
"""Regions and the tracker look at the newest entry about every half minute."""
LIE_SECONDS = REPORT_SECONDS + 5.0
READING = ("log read failed", "log read slow", "log read overtaken", "state read failed", "state read slow")
REPORTING = ("ack dropped", "ack late")


class Deadlines:
    """Of one world. ``alarmed_at``: when each process last said, or knew, that the log is not what it was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alarmed_at: dict[Process, float] = {}

    # --- flipped bits ---------------------------------------------------------------------------------------

    def entry_was_flipped(self, generation: int) -> None:
        """One bit of an entry is another now, until somebody puts it back."""
        world, began = self.world, self.world.now
        self._is_found_by_a_whole_reading(generation)
        excuses = self._hits(READING)
        owners = {region: (owner, owner.life) for region in world.regions if (owner := region.owner) is not None}

        def check() -> None:
            if not world.rewriting.undecided or world.truth.head != generation or self._hits(READING) != excuses:
                return  # it was put back, is not the newest any more, or could not be read in time
            world.stats["check: a flipped newest entry is told"] += 1
            for region, (owner, life) in owners.items():
                if region.owner is owner and owner.went_on_since(life, began):
                    self._has_told(owner, generation, began)
            for worker in world.trackers.workers:
                if worker.went_on_for(FLIP_TOLD_SECONDS):
                    self._has_told(worker, generation, began)

        world.after(FLIP_TOLD_SECONDS, check)

    def _is_found_by_a_whole_reading(self, generation: int) -> None:
        """As ``modelcast doctor`` reads a log, and whoever starts."""
        world = self.world
        try:
            tail = world.reader.tail(world.model, ModelLog(world.model, world.registry_id), partial=True)
        except ModelcastError:
            return
        if tail.unread is None:
            world.checks.broken(FLIP_TOLD, f"who reads all entries finds nothing wrong with {generation}")

    def _has_told(self, process: Process, generation: int, began: float) -> None:
        if self.alarmed_at.get(process, float("-inf")) < began:
            what = f"{process.name} says nothing of entry {generation} after {FLIP_TOLD_SECONDS:.0f} seconds"
            self.world.checks.broken(FLIP_TOLD, what)

    # --- forged reports -------------------------------------------------------------------------------------

    def lie_was_put(self, region: Region, lie: Lie) -> None:
        """Somebody has forged a report under the true epoch of a region: its next report puts that right."""
        world, began, owner, excuses = self.world, self.world.now, region.owner, self._hits(REPORTING)
        if owner is None:
            return
        life = owner.life

        def check() -> None:
            last = world.kafka.lies.get((lie.region, lie.epoch)) is lie
            reported = region.owner is owner and owner.epoch == lie.epoch and owner.went_on_since(life, began)
            if not last or not reported or self._hits(REPORTING) != excuses:
                return
            world.stats["check: a forged report is over in time"] += 1
            for worker in world.trackers.workers:
                if worker.went_on_for(LIE_SECONDS) and world.checks.believes_a_lie(worker, region.name):
                    what = f"{worker.name} goes by a forged report of {region.name} for {LIE_SECONDS:.0f} seconds"
                    world.checks.broken(LIE_ENDS, what)

        world.after(LIE_SECONDS, check)

    def _hits(self, kinds: Iterable[str]) -> list[int]:
        return [self.world.faults.hits[kind] for kind in kinds]
