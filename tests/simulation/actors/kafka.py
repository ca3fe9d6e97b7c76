"""Kafka: announcements and acks that are dropped, doubled, late, replayed, or lost whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelcast.schemas.records import ModelAck

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region
    from tests.simulation.world import World

AGAIN_SECONDS = 5.0


class Kafka:
    """Two topics. Delivery is at least once to whoever owns the model in a region, unless a fault says otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.announced: list[int] = []
        self._cluster = 0

    def announce(self, generation: int) -> None:
        """Say that ``generation`` is claimed."""
        self.world.trace("kafka", f"generation {generation} announced")
        self.announced.append(generation)
        for region in self.world.regions:
            self._deliver("announcement", region, lambda r=region: self._to_region(r, generation))
        self._deliver("announcement", None, lambda: self.world.tracker.hears_of(generation))

    def say_ack(self, region: Region, ack: ModelAck) -> None:
        """A region's snapshot, to the tracker."""
        self.world.checks.ack_sent(ack)
        self._deliver("ack", region, lambda: self.world.tracker.hears_ack(ack))

    def replay(self) -> None:
        """Everybody reads the topic from its beginning."""
        self.world.trace("kafka", "TOPIC REPLAYED")
        for generation in list(self.announced):
            for region in self.world.regions:
                self.world.after(self.world.rng.uniform(0, 3), lambda r=region, g=generation: self._to_region(r, g))

    def lose_all(self) -> None:
        """The cluster's data is gone, with what was on its way."""
        self.world.trace("kafka", "ALL DATA LOST")
        self._cluster += 1
        self.announced.clear()

    def _to_region(self, region: Region, generation: int) -> None:
        worker = region.assignee
        if worker is None or not worker.hears_of(generation):
            cluster = self._cluster
            self.world.after(
                AGAIN_SECONDS, lambda: self._to_region(region, generation) if cluster == self._cluster else None
            )

    def _deliver(self, what: str, region: Region | None, action: Callable[[], None]) -> None:
        world, cluster = self.world, self._cluster

        def arrive() -> None:
            if cluster == self._cluster:
                action()

        if world.fault(f"{what} dropped", region):
            return
        for _ in range(2 if world.fault(f"{what} doubled", region) else 1):
            late = world.fault(f"{what} late", region)
            world.after(world.rng.uniform(1.0, 30.0) if late else world.rng.uniform(0.005, 0.05), arrive)
