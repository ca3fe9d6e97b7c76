"""Any server that is told by a request and asked by another, both made from templates (``templates.py``).

What confirms: the check's answer, read from it by JMESPath, and only if the settings do not say that it rests on the
server's disk. A server that names a version but no digest is taken to serve what was placed under that number.
"""

import asyncio
import time
from collections.abc import Mapping

from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.placing import VERSION_NUMBER, ModelRepository
from modelcast.consumers.companion.templates import RequestTemplate
from modelcast.consumers.companion.webhook_settings import Webhook
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable

ASK_AGAIN_SECONDS = 0.2
_CURRENT_FILE = ".served"  # the version that the server was told last: all that is known of one without a check
_UNREACHABLE = {429, 502, 503, 504}


class WebhookEngine(HttpEngine):
    """See ``HttpEngine``.

    Args:
        webhook: how the server is told and asked.
        delivery: brings the files.
        repository: the folder in which they are placed.
        gapless: see ``Capabilities``; only its user knows.
    """

    name = "the server"

    def __init__(
        self, webhook: Webhook, delivery: Delivery, repository: ModelRepository, *, gapless: bool = True
    ) -> None:
        super().__init__(webhook.load.url, delivery, repository, webhook.load.seconds)
        self.capabilities = Capabilities("webhook", gapless=gapless, watch_seconds=2.0)
        self._webhook = webhook

    async def reach(self, model: str) -> None:
        """See ``HttpEngine.reach``: it gets no request that its settings do not name."""
        if self._webhook.check is not None:
            await self._send(self._webhook.check, {"model": model})

    async def reach_server(self) -> None:
        """Its settings name no request that is about no model."""

    async def note(self, model: str) -> bytes | None:
        """The version that it was told last."""
        return await self.read(model, _CURRENT_FILE)

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        order, load = delivered.order, self._webhook.load
        began = time.monotonic()
        await self.remember_digest(order)
        answer = await self._send(load, self._gaps(order))
        if answer.status >= 300:
            raise load_refused(answer, _load_code(load, answer.status))
        if answer.status == 202 and self._webhook.check is not None:
            while not await self._names(order):
                if time.monotonic() - began > load.seconds:
                    raise LoadFailed(f"took the load, but did not serve it in {load.seconds:g} s", code="load_timeout")
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        await self.write(order.model, _CURRENT_FILE, str(order.version).encode())

    async def _names(self, order: LoadOrder) -> bool:
        served = await self.held(order.model)
        return served is not None and served.version == order.version

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """See ``HttpEngine.undo_load``."""
        await self.write(model, _CURRENT_FILE, noted)

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``."""
        check = self._webhook.check
        if check is None:
            try:
                current = (await self.read(model, _CURRENT_FILE) or b"").decode("ascii", "replace")
            except OSError as error:
                raise PodUnreachable(str(error), subject=model) from None
            served = await self.with_digest(model, int(current)) if VERSION_NUMBER.fullmatch(current) else None
            return Served(served.version, served.manifest_digest, "disk") if served else None
        answer = await self._send(check, {"model": model})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise PodUnreachable(answer.message, subject=check.url)
        named = self._webhook.reading.of(answer.body)
        if named is None:
            return None
        version, digest = named
        if digest:
            return Served(version, digest, self._webhook.proof)
        served = await self.with_digest(model, version)
        return Served(version, served.manifest_digest, self._webhook.proof) if served else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        unload = self._webhook.unload
        if unload is None:
            raise LoadFailed("takes no unload", code="unsupported", subject=model, hint="add a table [unload]")
        try:
            answer = await self._send(unload, {"model": model})
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=model) from None
        if answer.status >= 300 and answer.status != 404:
            raise LoadFailed(answer.message, code="server_failed", subject=model)
        await self.write(model, _CURRENT_FILE, None)

    def _gaps(self, order: LoadOrder) -> dict[str, str]:
        return {
            "model": order.model,
            "version": str(order.version),
            "digest": order.manifest_digest,
            "generation": str(order.generation),
            "folder": str((self.repository.root / order.model / str(order.version)).resolve()),
        }

    async def _send(self, template: RequestTemplate, gaps: Mapping[str, str]) -> ServerAnswer:
        request = template.fill(gaps)
        return await self.client.send(
            request.method, request.url, request.headers, request.body, seconds=template.seconds
        )


def _load_code(load: RequestTemplate, status: int) -> str:
    """``LoadFailed``'s code for the server's answer to a load. Only what the settings name blames the version."""
    if status in load.refused:
        return BLAMES_THE_VERSION
    if status in load.unsupported:
        return "unsupported"
    if status in _UNREACHABLE:
        return "unreachable"
    return "request_refused" if status < 500 else "server_failed"
