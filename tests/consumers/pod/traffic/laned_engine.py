"""An engine in memory that holds a candidate beside the control."""

import asyncio

from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder
from modelcast.schemas.digests import sha256_of


def order(version: int, generation: int | None = None, *, lane: str = "", epoch: int = 1, **more: bool) -> LoadOrder:
    """An order for ``m``; a version's bytes are its own."""
    digest = sha256_of(str(version).encode())
    return LoadOrder("m", version, digest, generation or version, epoch, "registry", lane=lane, **more)


class LanedServer:
    """Loads whatever is not ``missing``.

    Attributes:
        memory: what serves, by place.
        loads: the places and versions that were loaded, in order.
    """

    capabilities = Capabilities("in memory", gapless=True, watch_seconds=None)

    def __init__(self) -> None:
        self.memory: dict[str, Served] = {}
        self.loads: list[tuple[str, int]] = []
        self.missing: set[int] = set()
        self.hangs: set[int] = set()  # versions whose load never ends

    async def start(self, listener: LossListener) -> None:
        """Nothing to start."""

    async def prepare(self, order: LoadOrder) -> None:
        if order.version in self.missing:
            raise LoadFailed("not here", code="artifact_missing")
        if order.version in self.hangs:
            await asyncio.Event().wait()

    async def swap(self, order: LoadOrder) -> Served:
        self.loads.append((order.place, order.version))
        self.memory[order.place] = Served(order.version, order.manifest_digest, "bytes")
        return self.memory[order.place]

    def exchange(self, place: str, other: str) -> None:
        for here, there in ((place, self.memory.pop(other, None)), (other, self.memory.pop(place, None))):
            if there is not None:
                self.memory[here] = there

    async def serving(self, model: str) -> Served | None:
        return self.memory.get(model)

    async def retire(self, model: str) -> None:
        self.memory.pop(model, None)

    async def aclose(self) -> None:
        """Nothing to close."""

    @property
    def versions(self) -> dict[str, int]:
        """What serves, by place."""
        return {place: served.version for place, served in self.memory.items()}
