"""TorchServe: an archive is registered beside the one that serves, made the default, and the other removed.

Its management API must be on (``--enable-model-api``). An archive holds its own version; two versions of a model need
different ones (``torch-model-archiver --version``). What serves is read from the default's ``modelUrl``.
"""

import re
from typing import Any
from urllib.parse import quote, urlencode

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable

_WORKERS = "failed to start workers"
_ARCHIVE = re.compile(r"-(\d{1,18})\.mar$")


class TorchServeEngine(HttpEngine):
    """See ``HttpEngine``."""

    name = "TorchServe"
    capabilities = Capabilities("torchserve", gapless=True, watch_seconds=2.0)

    async def note(self, model: str) -> bytes | None:
        """Nothing: what serves stays registered until its successor is the default."""

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """Nothing, see ``note``."""

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        order = delivered.order
        name = delivered.layout.places[0].path
        served = await self.held(order.model)
        if served is not None and served.version == order.version:
            await self.retire(order.model)  # it would not read its archive again: needs a gap
        await self.remember_digest(order)
        await self._register(order, name)
        rows = await self._registered(order.model)
        own = next((str(row.get("modelVersion")) for row in rows if str(row.get("modelUrl", "")).endswith(name)), None)
        if own is None:
            raise LoadFailed(f"it took {name}, but does not list it", code="unconfirmed")
        base = f"/models/{quote(order.model, safe='')}"
        answer = await self.client.ask("PUT", f"{base}/{quote(own, safe='')}/set-default")
        if answer.status >= 300:
            raise load_refused(answer, "server_failed")
        for other in sorted({str(row.get("modelVersion")) for row in rows} - {own}):
            await self.client.ask("DELETE", f"{base}/{quote(other, safe='')}", seconds=self.load_seconds_max)

    async def _register(self, order: LoadOrder, name: str) -> None:
        file = (self.repository.root / order.model / str(order.version) / name).resolve()
        query = {"url": file.as_uri(), "model_name": order.model, "initial_workers": 1, "synchronous": "true"}
        answer = await self.client.ask("POST", f"/models?{urlencode(query)}", seconds=self.load_seconds_max)
        if answer.status == 409:
            rows = await self._registered(order.model)
            if any(str(row.get("modelUrl", "")).endswith(name) for row in rows):
                return  # by a companion that was killed before it went on
            raise LoadFailed(
                answer.message, code="unsupported", hint="archive each version with a --version of its own"
            )
        if answer.status >= 300:
            raise load_refused(answer, *torchserve_verdict(answer))

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``."""
        answer = await self.client.ask("GET", f"/models/{quote(model, safe='')}")  # the default version
        row = answer.body[0] if isinstance(answer.body, list) and answer.body else None
        if answer.status == 404:
            return None
        if answer.status != 200 or not isinstance(row, dict):
            raise PodUnreachable(answer.message, subject=self.client.url)
        found = _ARCHIVE.search(str(row.get("modelUrl", "")))
        workers = row.get("workers")
        ready = isinstance(workers, list) and any(w.get("status") == "READY" for w in workers if isinstance(w, dict))
        described = {"name": model, "platform": "torchserve"}
        return await self.with_digest(model, int(found[1]), described) if found and ready else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        try:
            rows = await self._registered(model)
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=model) from None
        for row in rows:
            await self.ask_to_unload(model, "DELETE", f"/models/{model}/{quote(str(row.get('modelVersion')), safe='')}")

    async def _registered(self, model: str) -> list[dict[str, Any]]:
        answer = await self.client.ask("GET", f"/models/{quote(model, safe='')}/all")
        if answer.status == 404:
            return []
        if answer.status != 200 or not isinstance(answer.body, list):
            raise PodUnreachable(answer.message, subject=self.client.url)
        return [row for row in answer.body if isinstance(row, dict)]


def torchserve_verdict(answer: ServerAnswer) -> tuple[str, str]:
    """``LoadFailed``'s code and hint for TorchServe's answer to a registration."""
    if answer.status in {401, 403, 405}:
        return "unsupported", "start it with --enable-model-api; MODELCAST_SERVER_TOKEN holds its management token"
    if answer.status == 404:
        return "not_delivered", "its allowed_urls must let it read file:// URLs of the companion's --repository"
    if not isinstance(answer.body, dict) or not {"code", "type", "message"} <= answer.body.keys():
        return "server_failed", ""  # TorchServe says what went wrong; whatever answered is another server
    if _WORKERS in answer.message.lower():  # whatever its worker raised, a module that it lacks too
        return "server_failed", "TorchServe gives no reason: its model_log.log does"
    return (BLAMES_THE_VERSION if answer.status in {400, 500} else "unreachable"), ""
