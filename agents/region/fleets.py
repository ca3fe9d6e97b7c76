"""The roster of a region, wired to what its settings name."""

import asyncio
from collections.abc import Callable
from functools import partial

from modelcast.agents.region.decider.events_and_effects import PodsKnown
from modelcast.agents.region.rollover_settings import traits_of
from modelcast.agents.region.roster import FleetRoster
from modelcast.consumers.discovery.configured import keep_seconds, named_pods, source_of
from modelcast.consumers.discovery.decider.merging import FleetView, Member, PodChanges
from modelcast.consumers.discovery.watching import FleetWatch
from modelcast.consumers.pod_clients.v2 import Timeouts, V2Pod
from modelcast.infra.settings import RegionSettings
from modelcast.schemas.ports import ObjectStore


class RegionFleets:
    """A region's fleets: ``roster`` has their pods, ``run`` follows those that are discovered.

    Args:
        region: its settings.
        store: its own bucket, where pods may register themselves.
        on_change: see ``FleetRoster``.

    Raises:
        UsageError: a library that a kind of discovery takes is not installed.
    """

    def __init__(self, region: RegionSettings, store: ObjectStore, on_change: Callable[[PodsKnown], None]) -> None:
        fleets = region.fleets
        token = region.token_sent
        timeouts = Timeouts(load=region.pod_timeout_seconds)

        def client(member: Member) -> V2Pod:
            foreign = fleets[member.fleet].kind == "v2"
            return V2Pod(member.endpoint.name, member.endpoint.url, token, timeouts, foreign=foreign)

        named = [
            FleetView() if f.discover else FleetView({e.name: e for e in named_pods(f)}, seen_at=0.0) for f in fleets
        ]
        traits = [traits_of(number, fleet) for number, fleet in enumerate(fleets)]
        self.roster = FleetRoster([fleet.label for fleet in fleets], named, client, on_change, traits)
        self._watches = [
            FleetWatch(
                fleet.label,
                source_of(fleet, store),
                partial(self._looked, number),
                keep_seconds=keep_seconds(fleet),
            )
            for number, fleet in enumerate(fleets)
            if fleet.discover
        ]

    async def run(self) -> None:
        """Follow every fleet that is discovered, until cancelled."""
        await asyncio.gather(*(watch.run() for watch in self._watches))

    def _looked(self, fleet: int, view: FleetView, _: PodChanges) -> None:
        self.roster.looked(fleet, view)
