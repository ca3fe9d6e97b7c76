"""KServe's ModelServer that runs our model class (``modelcast.consumers.kserve``): loads by V2, its memory is asked.

A load reads the version file from disk, so it is written just before. After a load that failed it names what serves:
a server that restarts loads what it names.
"""

from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.layouts.kserve import VERSION_FILE
from modelcast.consumers.companion.placing import settings_bytes
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN

_HINT = "run it with modelcast.consumers.kserve.serve_models: KServe's own repository loads nothing"
_UNSUPPORTED = ("unsupportedartifact", "modulenotfounderror", "importerror")
_TRIED = "error type:"  # KServe's words for what a model class has raised


class KServeEngine(HttpEngine):
    """See ``HttpEngine``. A version is loaded on a thread beside the one that serves."""

    name = "KServe"
    capabilities = Capabilities(gapless=True, watch_seconds=1.0)

    async def note(self, model: str) -> bytes | None:
        """The version file of what serves."""
        return await self.read(model, VERSION_FILE)

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        model = delivered.order.model
        if (await self._in_memory(model)).status == 404:  # it would say 200 and load nothing
            raise LoadFailed("the server does not run our model class", code="unsupported", hint=_HINT)
        await self.write(model, VERSION_FILE, settings_bytes(delivered.layout))
        path = f"/v2/repository/models/{quote(model, safe='')}/load"
        answer = await self.client.ask("POST", path, seconds=self.load_seconds_max)
        if answer.status >= 300:
            raise load_refused(answer, _load_code(answer))

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """See ``HttpEngine.undo_load``."""
        await self.write(model, VERSION_FILE, noted)

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``. V2's own metadata names no version."""
        answer = await self._in_memory(model)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise PodUnreachable(answer.message, subject=self.client.url)
        version, digest = answer.body.get("version"), answer.body.get("digest")
        if not isinstance(version, int) or not isinstance(digest, str) or not DIGEST_PATTERN.fullmatch(digest):
            return None
        return Served(version, digest, "memory", {"name": model, "platform": "kserve", "versions": [str(version)]})

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``. The version file goes first: a server that restarts must not load it again."""
        await self.write(model, VERSION_FILE, None)
        await self.ask_to_unload(model, "POST", f"/v2/repository/models/{quote(model, safe='')}/unload")

    async def _in_memory(self, model: str) -> ServerAnswer:
        return await self.client.ask("GET", f"/modelcast/models/{quote(model, safe='')}")


def _load_code(answer: ServerAnswer) -> str:
    """``LoadFailed``'s code for KServe's answer to a load of files that were verified and placed whole."""
    message = answer.message.lower()
    if any(words in message for words in _UNSUPPORTED):
        return "unsupported"
    if "filenotfounderror" in message and VERSION_FILE in message:
        return "not_delivered"  # it looks for models in another folder
    if _TRIED in message:
        return BLAMES_THE_VERSION
    return "unreachable" if answer.status in {429, 502, 503, 504} else "server_failed"
