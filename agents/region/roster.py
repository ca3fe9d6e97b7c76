"""The pods of a region from all of its fleets: found, followed, and driven through a client each."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import structlog

from modelcast.agents.region.decider.events_and_effects import PodsKnown, PodTraits
from modelcast.consumers.discovery.decider.merging import FleetView, Member, PodChanges, members_of, pod_changes
from modelcast.consumers.pod_clients.port import Pod
from modelcast.infra.telemetry import metrics

log = structlog.get_logger(__name__)


class FleetRoster:
    """The pods of a region's fleets, each with its client. Not thread-safe: it belongs to one event loop.

    Args:
        labels: the fleets, in the settings' order.
        views: what is known of them at first; those that the settings name are known from the start.
        client: makes a pod's client.
        traits: what a rollover must know of the pods of each fleet; none: nothing.
        on_change: called with the pods each time that they, or what is known of fleets, have changed.
    """

    def __init__(
        self,
        labels: Sequence[str],
        views: Sequence[FleetView],
        client: Callable[[Member], Pod],
        on_change: Callable[[PodsKnown], None],
        traits: Sequence[PodTraits] = (),
    ) -> None:
        self._traits = traits
        self._labels = labels
        self._views = list(views)
        self._client = client
        self._on_change = on_change
        self._members: dict[str, Member] = {}
        self._pods: dict[str, Pod] = {}
        self._conflicts: tuple[str, ...] = ()
        self._seen_at: dict[int, float] = {}  # of each fleet: seconds since 1970
        self._closing: set[asyncio.Task[None]] = set()
        self._apply()
        for number, view in enumerate(views):
            self._count(number)
            if view.seen_at is None:
                metrics.FLEET_SEEN_TIMESTAMP.labels(labels[number]).set(0)

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods that there are now, by name; it changes."""
        return MappingProxyType(self._pods)

    def known(self) -> PodsKnown:
        """See ``Roster.known``."""
        unknown = sum(view.seen_at is None for view in self._views)
        traits = {n: self._traits_of(m) for n, m in self._members.items()} if self._traits else {}
        return PodsKnown(tuple(sorted(self._pods)), fleets_unknown=unknown, trouble=self._trouble(), traits=traits)

    def looked(self, fleet: int, view: FleetView) -> None:
        """Take in what a look at a fleet found."""
        before = self.known()
        self._views[fleet] = view
        if not view.error:
            self._seen_at[fleet] = time.time()
            metrics.FLEET_SEEN_TIMESTAMP.labels(self._labels[fleet]).set_to_current_time()
        changed = self._apply()
        self._count(fleet)
        after = self.known()
        if changed or after != before:
            self._on_change(replace(after, replaced=changed.replaced))

    async def aclose(self) -> None:
        """Close the connections to every pod."""
        await asyncio.gather(*self._closing, *(pod.aclose() for pod in self._pods.values()), return_exceptions=True)

    def _apply(self) -> PodChanges:
        members, conflicts = members_of(self._views)
        for conflict in set(conflicts) - set(self._conflicts):
            log.error("fleets contradict each other", conflict=conflict)
        changed = pod_changes(self._members, members)
        for name in changed.left | changed.replaced:
            closing = asyncio.get_running_loop().create_task(self._pods.pop(name).aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for name in changed.came | changed.replaced:
            self._pods[name] = self._client(members[name])
        self._members, self._conflicts = members, conflicts
        return changed

    def _traits_of(self, member: Member) -> PodTraits:
        traits, zone = self._traits[member.fleet], member.endpoint.zone
        return replace(traits, zone=zone) if zone else traits

    def _trouble(self) -> str:
        troubles = [self._trouble_of(number, view) for number, view in enumerate(self._views)]
        return "; ".join(filter(None, (*troubles, *self._conflicts)))

    def _trouble_of(self, number: int, view: FleetView) -> str:
        if view.seen_at is None:
            return f"the pods of fleet {self._labels[number]} are not known: {view.error or 'it was not looked at yet'}"
        if not view.error:
            return ""
        as_of = time.strftime("%H:%M:%S UTC", time.gmtime(self._seen_at.get(number)))
        return f"the pods of fleet {self._labels[number]} are those of {as_of}: {view.error}"

    def _count(self, fleet: int) -> None:
        label = self._labels[fleet]
        alike = [v for v, other in zip(self._views, self._labels, strict=True) if other == label]
        metrics.FLEET_PODS.labels(label).set(sum(len(v.pods) for v in alike))
