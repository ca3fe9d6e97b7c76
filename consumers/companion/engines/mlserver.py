"""MLServer: files and settings in its model repository, loads by HTTP, read-back of what is loaded.

A load reads ``model-settings.json`` from disk, so it is written just before. After a load that failed it says again
what serves: else a server that restarts would load the version that it has just refused.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered, Delivery, uninterrupted
from modelcast.consumers.companion.http import ServerAnswer, ServerClient
from modelcast.consumers.companion.layouts.mlserver import SETTINGS_FILE, served_in
from modelcast.consumers.companion.placing import ModelRepository, settings_bytes
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable

_UNSUPPORTED = ("no module named", "cannot import name", "invalid_runtime", "validation error")
_EXHAUSTED = ("cannot allocate memory", "no space left", "memoryerror", "out of memory", "unable to allocate")


class MLServerEngine:
    """See ``Engine``. Not gapless: while MLServer loads, its process answers late or, with versions, not at all.

    Args:
        url: its HTTP service.
        delivery: brings the files.
        repository: the folder that MLServer serves from.
        load_seconds_max: how long a load may take.
    """

    capabilities = Capabilities(gapless=False, watch_seconds=1.0)

    def __init__(self, url: str, delivery: Delivery, repository: ModelRepository, load_seconds_max: float) -> None:
        self._client = ServerClient(url)
        self._delivery = delivery
        self._repository = repository
        self._load_seconds_max = load_seconds_max
        self._prepared: dict[str, Delivered] = {}
        self._folders: dict[str, str] = {}  # of the version that serves

    async def start(self, on_lost: Callable[[str, str], None]) -> None:
        """Nothing to begin."""

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        self._prepared[order.model] = await self._delivery.deliver(order)

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``."""
        delivered = self._prepared.pop(order.model)
        began = time.monotonic()
        served = await uninterrupted(asyncio.ensure_future(self._swap(delivered)))
        folder, before = delivered.layout.folder, self._folders.get(order.model, "")
        self._folders[order.model] = folder
        await asyncio.to_thread(self._repository.prune, order.model, {folder, before})
        return replace(served, seconds={"swap": time.monotonic() - began})

    async def _swap(self, delivered: Delivered) -> Served:
        order = delivered.order
        before = await asyncio.to_thread(self._repository.read, order.model, SETTINGS_FILE)
        try:
            await self._write(order.model, settings_bytes(delivered.layout))
            await self._load(order.model)
            served = await self.serving(order.model)
            if served is None or (served.version, served.manifest_digest) != (order.version, order.manifest_digest):
                found = f"version {served.version}" if served else "none of ours"
                raise LoadFailed(f"MLServer took the load, but its memory names {found}", code="unconfirmed")
            return served
        except PodUnreachable as error:
            await self._write(order.model, before)
            raise LoadFailed(error.message, code="unreachable", subject=error.subject) from None
        except BaseException:
            await self._write(order.model, before)
            raise

    async def _write(self, model: str, settings: bytes | None) -> None:
        try:
            await asyncio.to_thread(self._repository.write, model, SETTINGS_FILE, settings)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=model) from None

    async def _load(self, model: str) -> None:
        path = f"/v2/repository/models/{quote(model, safe='')}/load"
        answer = await self._client.ask("POST", path, seconds=self._load_seconds_max)
        if answer.status >= 300:
            raise LoadFailed(answer.message, code=_load_code(answer))

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``. Never the repository index: MLServer reads it from the disk."""
        answer = await self._client.ask("GET", f"/v2/models/{quote(model, safe='')}")
        if answer.status >= 500:
            raise PodUnreachable(answer.message, subject=self._client.url)
        named = served_in(answer.body.get("platform")) if isinstance(answer.body, dict) else None
        return Served(*named, "memory", answer.body) if answer.status == 200 and named else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``. Its settings go first: a server that restarts must not load it again."""
        await self._write(model, None)
        try:
            answer = await self._client.ask(
                "POST", f"/v2/repository/models/{quote(model, safe='')}/unload", seconds=self._load_seconds_max
            )
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=model) from None
        if answer.status >= 300 and answer.status != 404:
            raise LoadFailed(answer.message, code="server_failed", subject=model)
        self._folders.pop(model, None)

    async def aclose(self) -> None:
        """Close the connections. MLServer goes on serving."""
        await self._client.aclose()


def _load_code(answer: ServerAnswer) -> str:
    """``LoadFailed``'s code for MLServer's answer to a load of files that were verified and placed whole."""
    message = answer.message.lower()
    if any(words in message for words in _UNSUPPORTED) or answer.status in {405, 501}:
        return "unsupported"
    if any(words in message for words in _EXHAUSTED):
        return "out_of_resources"
    if answer.status == 404:
        return "not_delivered"  # it looks for models in another folder
    return BLAMES_THE_VERSION if answer.status in {400, 422, 500} else "unreachable"
