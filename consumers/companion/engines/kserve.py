"""KServe's ModelServer that runs our model class (``modelcast.consumers.kserve``): loads by V2, its memory is asked."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.v2_engine import V2Engine
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.layouts.kserve import VERSION_FILE
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN

_HINT = "run it with modelcast.consumers.kserve.serve_models: KServe's own repository loads nothing"
_UNSUPPORTED = "unsupportedartifact"
_TRIED = "error type:"  # KServe's words for what a model class has raised


class KServeEngine(V2Engine):
    """See ``V2Engine``. A version is loaded on a thread beside the one that serves."""

    name = "KServe"
    capabilities = Capabilities("kserve", gapless=True, watch_seconds=1.0)
    settings_file = VERSION_FILE

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        if (await self._in_memory(delivered.order.model)).status == 404:  # it would say 200 and load nothing
            raise LoadFailed("the server does not run our model class", code="unsupported", hint=_HINT)
        await super().send_load(delivered)

    def trial_settings(self, delivered: Delivered) -> Mapping[str, Any]:
        """See ``V2Engine.trial_settings``."""
        return {**delivered.layout.settings, "folder": f"../{delivered.order.model}/{delivered.layout.folder}"}

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``. V2's own metadata names no version."""
        answer = await self._in_memory(model)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise PodUnreachable(answer.message, subject=self.client.url)
        if (named := self.named_in(answer.body)) is None:
            return None
        return Served(*named, "memory", {"name": model, "platform": "kserve", "versions": [str(named[0])]})

    def named_in(self, described: Mapping[str, Any]) -> tuple[int, str] | None:
        """See ``V2Engine.named_in``."""
        version, digest = described.get("version"), described.get("digest")
        if not isinstance(version, int) or not isinstance(digest, str) or not DIGEST_PATTERN.fullmatch(digest):
            return None
        return version, digest

    def load_verdict(self, answer: ServerAnswer) -> tuple[str, str]:
        """See ``V2Engine.load_verdict``."""
        message = answer.message.lower()
        if _UNSUPPORTED in message:
            return "unsupported", ""
        if "filenotfounderror" in message and VERSION_FILE in message:  # it looks for models in another folder
            return "not_delivered", "give serve_models the folder that the companion has as --repository"
        if _TRIED in message:
            return BLAMES_THE_VERSION, ""
        return ("unreachable" if answer.status in {429, 502, 503, 504} else "server_failed"), ""

    async def _in_memory(self, model: str) -> ServerAnswer:
        return await self.client.ask("GET", f"/modelcast/models/{quote(model, safe='')}")
