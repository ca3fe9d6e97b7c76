"""The pods of one region, which come and go, and how its workers find out: by the settings, or by discovery."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from tests.simulation.actors.pod import Pod

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region
    from tests.simulation.actors.worker import Worker

PODS_MAX = 4
ENDS_SECONDS = (2.0, 20.0)
"""How long a pod that has left still answers."""


class Fleet:
    """The pods that there are now, by name. ``discovered``: they change; else the settings name them."""

    def __init__(self, region: Region, *, pods: int, plain: int, discovered: bool) -> None:
        self.region, self.world, self.discovered = region, region.world, discovered
        self.pods: dict[str, Pod] = {}
        self._by_url: dict[str, Pod] = {}
        self._names = 0
        for number in range(pods):
            self._add(self._next_name(), plain=number < plain)

    def pod_at(self, url: str) -> Pod:
        """The pod that listens, or listened, there."""
        return self._by_url[url]

    def addresses(self) -> tuple[PodAddress, ...]:
        """All pods, as a source names them."""
        return tuple(PodAddress(pod.name, pod.url) for pod in self.pods.values())

    def comes(self) -> bool:
        """One more pod; False: there are enough."""
        if not self.discovered or len(self.pods) >= PODS_MAX:
            return False
        pod = self._add(self._next_name())
        self.world.trace(self.region.name, f"{pod.name} COMES")
        self._tell()
        return True

    def leaves(self) -> bool:
        """One pod less; False: no other could blame a version that loads nowhere."""
        able = [pod for pod in self.pods.values() if not pod.plain]
        if not self.discovered or len(able) < 2:
            return False
        pod = self.world.rng.choice(able)
        self.world.trace(self.region.name, f"{pod.name} LEAVES")
        self._remove(pod)
        self._tell()
        return True

    def replaces(self, pod: Pod | None = None) -> bool:
        """Another pod takes the name of ``pod``, or of any."""
        if not self.discovered:
            return False
        old = pod or self.world.rng.choice(list(self.pods.values()))
        if self.pods.get(old.name) is not old:
            return False
        self._remove(old)
        new = self._add(old.name)
        self.world.trace(self.region.name, f"{new.url} TAKES THE NAME of {old.url}")
        self._tell()
        return True

    def _next_name(self) -> str:
        self._names += 1
        return f"{self.region.name}/pod{self._names - 1}"

    def _add(self, name: str, *, plain: bool = False) -> Pod:
        pod = Pod(self.region, name, f"{name}@{len(self._by_url)}", plain=plain)
        self.pods[name] = self._by_url[pod.url] = pod
        self.world.pods.append(pod)
        return pod

    def _remove(self, pod: Pod) -> None:
        del self.pods[pod.name]
        self.world.after(self.world.rng.uniform(*ENDS_SECONDS), pod.end)

    def _tell(self) -> None:
        for worker in self.region.workers:
            if worker.up:
                late = self.world.fault("pods discovered late", self.region)
                seconds = self.world.rng.uniform(5.0, 40.0) if late else self.world.rng.uniform(0.01, 0.5)
                worker.later(seconds, worker.pods_in_sight.changed.set)


class PodsInSight:
    """One worker's ``PodSource``."""

    def __init__(self, worker: Worker) -> None:
        self.changed = asyncio.Event()
        self._world, self._region = worker.world, worker.region

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource``."""
        await asyncio.sleep(self._world.rng.uniform(0.02, 0.3))
        return self._answer()

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource``."""
        await self.changed.wait()
        self.changed.clear()
        return self._answer() if self._world.rng.random() < 0.5 else None

    async def aclose(self) -> None:
        """Nothing to close."""

    def _answer(self) -> tuple[PodAddress, ...]:
        if self._world.fault("pods not discovered", self._region):
            raise DiscoveryFailed("no answer", subject=self._region.name)
        return self._region.fleet.addresses()
