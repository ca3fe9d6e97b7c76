"""How a companion beside a server swaps it: as a region orders, with a copy of the files for each version."""

import asyncio
import time
from collections.abc import Mapping

from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.bench.serving.pods_servers import Server
from tests.bench.serving.pods_shared import Files, load_stages, orders_in, process_tree
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.pod.pod_process import TOKEN

GRACE_SECONDS = 0.1
"""For which a companion waits for balancers before it swaps a server that has a gap."""


class Companioned:
    """See ``Peer``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url, self.grpc = server.url, server.grpc if server.asked_by_grpc else ""
        self._companion: CompanionProcess | None = None
        self._driver: V2Pod | None = None
        self._orders: dict[int, LoadOrder] = {}

    async def start(self, versions: Mapping[int, Files]) -> None:
        """See ``Peer.start``."""
        server, home = self._server, self._server.home / "companion"
        server.start()
        home.mkdir()
        options = ["--kind", server.kind, "--server", server.told_at, "--repository", str(server.repository)]
        self._companion = CompanionProcess(home, *options, "--grace-seconds", str(GRACE_SECONDS))
        whole = {version: {**files, **server.files()} for version, files in versions.items()}
        self._orders = await asyncio.to_thread(orders_in, self._companion.cache, whole)
        self._companion.start()
        self._driver = V2Pod("companion", self._companion.url, TOKEN)
        await self.swap(min(versions))

    async def swap(self, version: int) -> float:
        """See ``Peer.swap``."""
        assert self._driver is not None
        began = time.perf_counter()
        await self._driver.load(self._orders[version])
        return time.perf_counter() - began

    async def stages(self) -> dict[str, float]:
        """See ``Peer.stages``."""
        return await load_stages(self._companion.url) if self._companion else {}

    def tree(self) -> list[int]:
        """See ``Peer.tree``."""
        return self._server.tree()

    def beside(self) -> list[int]:
        """See ``Peer.beside``."""
        return process_tree(self._companion.pid) if self._companion else []

    async def stop(self) -> None:
        """See ``Peer.stop``."""
        if self._driver is not None:
            await self._driver.aclose()
        if self._companion is not None:
            self._companion.stop()
        self._server.stop()
