"""vLLM: LoRA adapters, each model an adapter of the base model that the server runs.

Needs ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=True``, and ``VLLM_SERVER_DEV_MODE=1`` for its prefix cache to be reset: under
the same adapter name it would go on using what the old weights computed. What serves is read from the adapter's
``root`` among ``/v1/models``: the folder that it was loaded from.
"""

from pathlib import PurePosixPath

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable

_NEEDS = "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and VLLM_SERVER_DEV_MODE=1"
_UNSUPPORTED = ("already been loaded", "max_lora_rank", "lora is not enabled", "not supported")


class VLLMEngine(HttpEngine):
    """See ``HttpEngine``. Not gapless: until its cache is reset, an answer may mix old and new weights."""

    name = "vLLM"
    capabilities = Capabilities("vllm", gapless=False, watch_seconds=2.0)

    async def note(self, model: str) -> bytes | None:
        """Nothing: an adapter that can't be loaded replaces none."""

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """Nothing, see ``note``."""

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        order = delivered.order
        await self.remember_digest(order)
        await self._reset_cache()  # asked first: a server that can't must not be given new weights
        folder = (self.repository.root / order.model / delivered.layout.folder).resolve()
        body = {"lora_name": order.model, "lora_path": str(folder), "load_inplace": True}
        answer = await self.client.ask("POST", "/v1/load_lora_adapter", body=body, seconds=self.load_seconds_max)
        if answer.status >= 300:
            raise load_refused(answer, *vllm_verdict(answer))
        await self._reset_cache()

    async def _reset_cache(self) -> None:
        answer = await self.client.ask("POST", "/reset_prefix_cache")
        if answer.status == 404:
            raise LoadFailed("its prefix cache can't be reset", code="unsupported", hint=_NEEDS)
        if answer.status >= 300:
            raise load_refused(answer, "server_failed")

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``."""
        answer = await self.client.ask("GET", "/v1/models")
        cards = answer.body.get("data") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(cards, list):
            raise PodUnreachable(answer.message, subject=self.client.url)
        roots = [
            PurePosixPath(str(card.get("root"))) for card in cards if isinstance(card, dict) and card.get("id") == model
        ]
        if len(roots) != 1 or roots[0].parent.name != model or not roots[0].name.isdecimal():
            return None
        return await self.with_digest(model, int(roots[0].name), {"name": model, "platform": "vllm"})

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        await self.ask_to_unload(model, "POST", "/v1/unload_lora_adapter", body={"lora_name": model})


def vllm_verdict(answer: ServerAnswer) -> tuple[str, str]:
    """``LoadFailed``'s code and hint for vLLM's answer to an adapter."""
    message = answer.message.lower()
    if any(words in message for words in _UNSUPPORTED):
        return "unsupported", ""
    if answer.status == 404 and "adapter" in message:
        return "not_delivered", "vLLM must see the companion's --repository at the same path"
    if answer.status == 404:  # no such route
        return "unsupported", _NEEDS
    tried = isinstance(answer.body, dict) and isinstance(answer.body.get("error"), dict)
    return (BLAMES_THE_VERSION if tried and answer.status == 400 else "server_failed"), ""
