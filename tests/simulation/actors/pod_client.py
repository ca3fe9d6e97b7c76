"""The line from a worker to a pod: a ``Pod`` of which requests and answers get lost or come late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from modelcast.consumers.pod_clients.port import LoadOrder, PodReading, PodTraffic, PodUnreachable
from modelcast.schemas.traffic.table import TrafficTable
from tests.simulation.actors.pod import Pod, show

if TYPE_CHECKING:
    from tests.simulation.actors.worker import Worker

READ_TIMEOUT = 5.0

T = TypeVar("T")


class PodClient:
    """See ``consumers.pod_clients.port.Pod``. ``pod``: whom it reaches."""

    def __init__(self, worker: Worker, pod: Pod) -> None:
        self._worker, self._world, self._region, self.pod = worker, worker.world, worker.region, pod

    @property
    def name(self) -> str:
        """The pod's."""
        return self.pod.name

    async def load(self, order: LoadOrder) -> None:
        """See ``Pod.load``. Who calls it has a deadline."""
        self._worker.loads_under_way += 1
        try:
            await self._load(order)
        finally:
            self._worker.loads_under_way -= 1

    async def _load(self, order: LoadOrder) -> None:
        world, worker = self._world, self._worker
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if worker.acts():
            world.trace(worker.name, f"load {self.name}: {show(order)}")
            others = [member for member in self._region.members if member is not worker]
            moved = bool(others) and world.fault("partition moved at a load", self._region)
            if moved:
                self._region.assign(world.rng.choice(others))
            if world.fault("worker stopped at a load", self._region):
                worker.stop()
            if not world.fault("load request lost", self._region):
                # After the next owner's own order is when a late one does harm.
                late = world.fault("load request late", self._region) or (moved and world.rng.random() < 0.5)
                delay = world.rng.uniform(1.0, 60.0) if late else world.rng.uniform(0.005, 0.05)
                reply = worker.resuming(lambda error: _settle(answer, error))
                world.after(delay, lambda: self.pod.receive_load(order, lambda error: self._answer(reply, error)))
        await answer

    def _answer(self, reply: Callable[[float, Exception | None], None], error: Exception | None) -> None:
        if not self._world.fault("load answer lost", self._region):
            reply(0.02, error)

    async def unload(self, model: str, *, epoch: int, generation: int, lane: str = "") -> None:
        """See ``Pod.unload``."""
        assert lane, "what serves is never unloaded"
        await self._sent(lambda reply: self.pod.receive_unload(epoch, generation, reply))

    async def apply_traffic(self, table: TrafficTable) -> None:
        """See ``Pod.apply_traffic``."""
        await self._sent(lambda reply: self.pod.receive_table(table, reply))

    async def _sent(self, receive: Callable[[Callable[[Exception | None], None]], None]) -> None:
        """Ask for something small; who calls it has a deadline."""
        world, worker = self._world, self._worker
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if worker.acts() and not world.fault("load request lost", self._region):
            late = world.fault("load request late", self._region)
            delay = world.rng.uniform(1.0, 60.0) if late else world.rng.uniform(0.005, 0.05)
            reply = worker.resuming(lambda error: _settle(answer, error))
            world.after(delay, lambda: receive(lambda error: self._answer(reply, error)))
        await answer

    async def read(self, model: str, lane: str = "") -> PodReading:
        """See ``Pod.read``."""
        world, worker = self._world, self._worker
        answer: asyncio.Future[PodReading] = asyncio.get_running_loop().create_future()
        if worker.acts() and not world.fault("read lost", self._region):
            slow = world.fault("read late", self._region)
            delay = world.rng.uniform(1.0, 4.5) if slow else 0.02
            fleet = self._region.fleet
            if fleet.discovered and world.fault("pod replaced as it answers", self._region):
                fleet.replaces(self.pod)
                delay = world.rng.uniform(0.5, 2.0)  # whoever follows the pods may know before the answer is there
            reply = worker.resuming(lambda outcome: _settle_reading(answer, outcome))
            world.after(0.02, lambda: self.pod.receive_read(lane, lambda outcome: reply(delay, outcome)))
        return await self._answered(answer)

    async def read_traffic(self, model: str) -> PodTraffic:
        """See ``Pod.read_traffic``."""
        world, worker = self._world, self._worker
        answer: asyncio.Future[PodTraffic] = asyncio.get_running_loop().create_future()
        if worker.acts() and not world.fault("read lost", self._region):
            delay = world.rng.uniform(1.0, 4.5) if world.fault("read late", self._region) else 0.02
            reply = worker.resuming(lambda outcome: _settle_reading(answer, outcome))
            world.after(0.02, lambda: self.pod.receive_traffic_read(lambda outcome: reply(delay, outcome)))
        return await self._answered(answer)

    async def _answered(self, answer: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                return await answer
        except TimeoutError:
            raise PodUnreachable("read timed out", subject=self.name) from None

    async def aclose(self) -> None:
        """Nothing to close."""


def _settle(answer: asyncio.Future[None], error: Exception | None) -> None:
    if not answer.done():
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)


def _settle_reading(answer: asyncio.Future[T], outcome: T | Exception) -> None:
    if not answer.done():
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
