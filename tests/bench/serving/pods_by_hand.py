"""The same servers without a companion: by hand, as a careful operator has it, and naively, as documentation has it.

All versions lie beside the repository before anything is asked. To swap, a folder is renamed into the repository and
the server is told; what it served before goes afterwards, on a thread. So no byte is copied while requests are
answered, and what is timed is the server's own load.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp

from tests.bench.serving.pods_servers import KServe, MLServer, Server, Triton
from tests.bench.serving.pods_shared import MODEL, Files, lay

S = TypeVar("S", bound=Server)
Tell = Callable[[S, aiohttp.ClientSession, int], Awaitable[None]]
"""Has a server serve a version whose folder is in place; returns when it says that it does."""


class ByHand(Generic[S]):
    """See ``Peer``."""

    def __init__(self, server: S, tell: Tell[S]) -> None:
        self._server, self._tell = server, tell
        self.url, self.grpc = server.url, server.grpc if server.asked_by_grpc else ""
        self._http: aiohttp.ClientSession | None = None

    async def start(self, versions: Mapping[int, Files]) -> None:
        """See ``Peer.start``."""
        await asyncio.to_thread(self._prepare, versions)
        self._server.start()
        self._http = aiohttp.ClientSession()
        await self.swap(min(versions))

    def _prepare(self, versions: Mapping[int, Files]) -> None:
        (self._server.repository / MODEL).mkdir()
        for version, files in versions.items():
            whole = {**files, **self._server.files()}
            lay(self._aside(version), {n: body for n, body in whole.items() if not n.startswith("modelcast/")})

    def _aside(self, version: int) -> Path:
        return self._server.home / "versions" / str(version)

    async def swap(self, version: int) -> float:
        """See ``Peer.swap``."""
        assert self._http is not None
        folder = self._server.repository / MODEL
        self._aside(version).rename(folder / str(version))
        began = time.perf_counter()
        await self._tell(self._server, self._http, version)
        seconds = time.perf_counter() - began
        await asyncio.to_thread(shutil.rmtree, folder / str(version - 1), ignore_errors=True)
        return seconds

    async def stages(self) -> dict[str, float]:
        """See ``Peer.stages``."""
        return {}

    def tree(self) -> list[int]:
        """See ``Peer.tree``."""
        return self._server.tree()

    def beside(self) -> list[int]:
        """See ``Peer.beside``."""
        return []

    async def stop(self) -> None:
        """See ``Peer.stop``."""
        if self._http is not None:
            await self._http.close()
        self._server.stop()


def triton_config(triton: Triton, version: int) -> str:
    """The ModelConfig that has Triton serve one version."""
    policy = {"specific": {"versions": [version]}}
    return json.dumps({**triton.config(), "name": MODEL, "version_policy": policy})


class TritonByGrpc:
    """Tells Triton by gRPC, over one connection."""

    def __init__(self) -> None:
        self._client: Any = None

    async def __call__(self, triton: Triton, http: aiohttp.ClientSession, version: int) -> None:
        """See ``Tell``."""
        import tritonclient.grpc.aio as grpc

        if self._client is None:
            self._client = grpc.InferenceServerClient(triton.grpc)
        await self._client.load_model(MODEL, config=triton_config(triton, version))


async def triton_by_http(triton: Triton, http: aiohttp.ClientSession, version: int) -> None:
    """Tells Triton by HTTP, which stalls its other HTTP connections."""
    await _load(triton, http, {"parameters": {"config": triton_config(triton, version)}})


async def mlserver(server: MLServer, http: aiohttp.ClientSession, version: int) -> None:
    """Tells MLServer by settings that name no version, so that the old model answers until the new one is loaded."""
    _write_settings(server, "model-settings.json", _mlserver_settings(server, {"uri": f"./{version}"}))
    await _load(server, http)


async def mlserver_naively(server: MLServer, http: aiohttp.ClientSession, version: int) -> None:
    """As ``mlserver``, with a version in the settings, as its documentation has it."""
    parameters = {"uri": f"./{version}", "version": str(version)}
    _write_settings(server, "model-settings.json", _mlserver_settings(server, parameters))
    await _load(server, http)


async def kserve(server: KServe, http: aiohttp.ClientSession, version: int) -> None:
    """Tells KServe's server with our model class."""
    _write_settings(server, "modelcast.json", {"version": version, "digest": "", "folder": str(version)})
    await _load(server, http)


def _mlserver_settings(server: MLServer, parameters: Mapping[str, str]) -> dict[str, object]:
    return {**server.hint(), "name": MODEL, "parameters": parameters}


def _write_settings(server: Server, name: str, settings: Mapping[str, object]) -> None:
    aside = server.home / name
    aside.write_text(json.dumps(settings))
    aside.rename(server.repository / MODEL / name)


async def _load(server: Server, http: aiohttp.ClientSession, body: object = None) -> None:
    async with http.post(f"{server.http}/v2/repository/models/{MODEL}/load", json=body) as response:
        assert response.status == 200, await response.text()
