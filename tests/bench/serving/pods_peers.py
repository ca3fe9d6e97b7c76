"""The servers that ``pods`` compares, each with the same weights: started, swapped, counted."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import aiohttp

from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.bench.serving import pods_by_hand as by_hand
from tests.bench.serving.pods_by_hand import ByHand
from tests.bench.serving.pods_companioned import Companioned
from tests.bench.serving.pods_servers import KServe, MLServer, Triton
from tests.bench.serving.pods_shared import MODEL, Files, lay, load_stages, orders_in, process_tree
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.servers.serving_peers import asgi_python
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]


class Peer(Protocol):
    """One server."""

    url: str  # where the model is asked by HTTP
    grpc: str  # where it is asked by gRPC; "": it is asked by HTTP

    async def start(self, versions: Mapping[int, Files]) -> None:
        """Put all that will be served where it is taken from, start it, and have it serve the lowest version."""
        ...

    async def swap(self, version: int) -> float:
        """Have it serve that version; the seconds since it was told."""
        ...

    async def stages(self) -> dict[str, float]:
        """What swaps have taken so far, by stage in seconds, and their number, ``loads``; {}: it does not say."""
        ...

    def tree(self) -> list[int]:
        """The process ids of what answers requests."""
        ...

    def beside(self) -> list[int]:
        """Those of the companion; of a server without one, none."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


class OurPod:
    """A pod, ordered as a region does."""

    grpc = ""

    def __init__(self, home: Path, options: list[str]) -> None:
        self._pod = PodProcess(home, *options)
        self._driver: V2Pod | None = None
        self._orders: dict[int, LoadOrder] = {}
        self.url = ""

    async def start(self, versions: Mapping[int, Files]) -> None:
        self._orders = await asyncio.to_thread(orders_in, self._pod.cache, versions)
        self._pod.start()
        self.url = f"{self._pod.url}/v2/models/{MODEL}/infer"
        self._driver = V2Pod("pod", self._pod.url, TOKEN)
        await self.swap(min(versions))

    async def swap(self, version: int) -> float:
        assert self._driver is not None
        began = time.perf_counter()
        await self._driver.load(self._orders[version])
        return time.perf_counter() - began

    async def stages(self) -> dict[str, float]:
        return await load_stages(self._pod.url)

    def tree(self) -> list[int]:
        return process_tree(self._pod.pid)

    def beside(self) -> list[int]:
        return []

    async def stop(self) -> None:
        if self._driver is not None:
            await self._driver.aclose()
        self._pod.stop()


class Bare:
    """An application of a few lines, see ``pods_bare`` and ``pods_asgi``."""

    grpc = ""

    def __init__(self, home: Path, server: str) -> None:
        self._home, self._server = home, server
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}/v2/models/{MODEL}/infer"
        self._child: Child | None = None

    async def start(self, versions: Mapping[int, Files]) -> None:
        for version, files in versions.items():
            lay(self._home / str(version), files)
        env = {**os.environ, "FOLDER": str(self._home / str(min(versions))), "PYTHONPATH": str(ROOT)}
        self._child = Child.start(self._command(env["FOLDER"]), name="bare", log=self._home / "bare.log", env=env)
        until(self._listens, "it listens", 60)

    def _command(self, folder: str) -> list[str]:
        port, app = str(self._port), "tests.bench.serving.pods_asgi:app"
        match self._server:
            case "uvicorn":
                served = [app, "--host", "127.0.0.1", "--port", port, "--loop", "uvloop", "--http", "httptools"]
                return [str(asgi_python()), "-m", "uvicorn", *served, "--no-access-log", "--log-level", "warning"]
            case "granian":
                served = ["--interface", "asgi", "--host", "127.0.0.1", "--port", port, "--workers", "1", app]
                return [str(asgi_python().parent / "granian"), *served]
        isolated = ["--isolated"] if self._server == "aiohttp-isolated" else []
        return [sys.executable, "-m", "tests.bench.serving.pods_bare", port, folder, *isolated]

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    async def swap(self, version: int) -> float:
        began = time.perf_counter()
        async with aiohttp.ClientSession() as http, http.post(
            f"http://127.0.0.1:{self._port}/load", data=str(self._home / str(version))
        ) as response:  # fmt: skip
            assert response.status == 200, await response.text()
        return time.perf_counter() - began

    async def stages(self) -> dict[str, float]:
        return {}

    def tree(self) -> list[int]:
        return process_tree(self._child.pid) if self._child else []

    def beside(self) -> list[int]:
        return []

    async def stop(self) -> None:
        if self._child is not None:
            self._child.kill()


_MADE: dict[str, Callable[[Path], Peer]] = {
    "triton": lambda home: Companioned(Triton(home)),
    "triton-grpc": lambda home: Companioned(Triton(home, by_grpc=True)),
    "mlserver0": lambda home: Companioned(MLServer(home, 0)),
    "mlserver1": lambda home: Companioned(MLServer(home, 1)),
    "kserve": lambda home: Companioned(KServe(home)),
    "triton-compared": lambda home: Companioned(Triton(home)),
    "mlserver1-compared": lambda home: Companioned(MLServer(home, 1)),
    "kserve-compared": lambda home: Companioned(KServe(home)),
    "triton-by-hand": lambda home: ByHand(Triton(home), by_hand.TritonByGrpc()),
    "triton-grpc-by-hand": lambda home: ByHand(Triton(home, by_grpc=True), by_hand.TritonByGrpc()),
    "mlserver0-by-hand": lambda home: ByHand(MLServer(home, 0), by_hand.mlserver),
    "mlserver1-by-hand": lambda home: ByHand(MLServer(home, 1), by_hand.mlserver),
    "kserve-by-hand": lambda home: ByHand(KServe(home), by_hand.kserve),
    "triton-naive": lambda home: ByHand(Triton(home), by_hand.triton_by_http),
    "mlserver-naive": lambda home: ByHand(MLServer(home, 1), by_hand.mlserver_naively),
    "aiohttp": lambda home: Bare(home, "aiohttp"),
    "aiohttp-isolated": lambda home: Bare(home, "aiohttp-isolated"),
    "uvicorn": lambda home: Bare(home, "uvicorn"),
    "granian": lambda home: Bare(home, "granian"),
}
PEERS = ("ours", "ours-compared", *_MADE)
COMPARED = frozenset(name for name in PEERS if name.endswith("-compared"))
"""Their artifacts record a sample: a companion loads each version twice, and compares its answers."""
COMPANIONED = frozenset({"triton", "triton-grpc", "mlserver0", "mlserver1", "kserve"})
BY_HAND = {name: f"{name}-by-hand" for name in COMPANIONED}
"""By the name of a server with a companion: the same one, swapped by hand."""
NAIVE = frozenset({"triton-naive", "mlserver-naive"})
BARE = frozenset({"aiohttp", "aiohttp-isolated", "uvicorn", "granian"})
RELOADED = frozenset({"ours", "triton", "mlserver0", "mlserver1", "kserve"})
"""Those whose memory is looked at after many reloads: the others promise nothing, and it takes minutes."""


def make_peer(name: str, home: Path, options: list[str]) -> Peer:
    """One of ``PEERS``; ``options`` are our pod's."""
    return OurPod(home, options) if name.startswith("ours") else _MADE[name](home)
