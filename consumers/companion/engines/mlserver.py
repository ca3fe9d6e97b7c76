"""MLServer: files and settings in its model repository, loads by HTTP, read-back of what is loaded.

A load reads ``model-settings.json`` from disk, so it is written just before. After a load that failed it says again
what serves: else a server that restarts would load the version that it has just refused.
"""

from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.layouts.mlserver import SETTINGS_FILE, served_in
from modelcast.consumers.companion.placing import settings_bytes
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, PodUnreachable

_UNSUPPORTED = ("no module named", "cannot import name", "invalid_runtime", "validation error")


class MLServerEngine(HttpEngine):
    """See ``HttpEngine``. Not gapless: while MLServer loads, its process answers late or, with versions, not at all."""

    name = "MLServer"
    capabilities = Capabilities(gapless=False, watch_seconds=1.0)

    async def note(self, model: str) -> bytes | None:
        """The settings of what serves."""
        return await self.read(model, SETTINGS_FILE)

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        model = delivered.order.model
        await self.write(model, SETTINGS_FILE, settings_bytes(delivered.layout))
        path = f"/v2/repository/models/{quote(model, safe='')}/load"
        answer = await self.client.ask("POST", path, seconds=self.load_seconds_max)
        if answer.status >= 300:
            raise load_refused(answer, _load_code(answer))

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """See ``HttpEngine.undo_load``."""
        await self.write(model, SETTINGS_FILE, noted)

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``. Never the repository index: MLServer reads it from the disk."""
        answer = await self.client.ask("GET", f"/v2/models/{quote(model, safe='')}")
        if answer.status >= 500:
            raise PodUnreachable(answer.message, subject=self.client.url)
        named = served_in(answer.body.get("platform")) if isinstance(answer.body, dict) else None
        return Served(*named, "memory", answer.body) if answer.status == 200 and named else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``. Its settings go first: a server that restarts must not load it again."""
        await self.write(model, SETTINGS_FILE, None)
        await self.ask_to_unload(model, "POST", f"/v2/repository/models/{quote(model, safe='')}/unload")


def _load_code(answer: ServerAnswer) -> str:
    """``LoadFailed``'s code for MLServer's answer to a load of files that were verified and placed whole."""
    message = answer.message.lower()
    if any(words in message for words in _UNSUPPORTED) or answer.status in {405, 501}:
        return "unsupported"
    if answer.status == 404:
        return "not_delivered"  # it looks for models in another folder
    return BLAMES_THE_VERSION if answer.status in {400, 422, 500} else "unreachable"
