"""MLServer: files and settings in its model repository, loads by HTTP, read-back of what is loaded."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.v2_engine import V2Engine
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.layouts.mlserver import SETTINGS_FILE, served_in, settings_elsewhere
from modelcast.consumers.companion.samples import trial_name
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, PodUnreachable

_UNSUPPORTED = ("invalid_runtime", "validation error")
_UNSEEN = "invalid uri specified for model"
_POOL_LOST = re.compile(r"environment with hash .* was not found")
_SEES = "start MLServer on the folder that the companion has as --repository; it must see what is placed there"
_UNREAD = f"{_SEES}; if it does, its log says what is wrong with the artifact's model settings"


class MLServerEngine(V2Engine):
    """See ``V2Engine``. Not gapless: while MLServer loads, its process answers late or, with versions, not at all."""

    name = "MLServer"
    capabilities = Capabilities("mlserver", gapless=False, watch_seconds=1.0)
    settings_file = SETTINGS_FILE

    def trial_settings(self, delivered: Delivered) -> Mapping[str, Any]:
        """See ``V2Engine.trial_settings``."""
        model = delivered.order.model
        return settings_elsewhere(delivered.layout, trial_name(model), f"../{model}")

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``. Never the repository index: MLServer reads it from the disk."""
        answer = await self.client.ask("GET", f"/v2/models/{quote(model, safe='')}")
        if answer.status >= 500:
            raise PodUnreachable(answer.message, subject=self.client.url)
        named = self.named_in(answer.body) if isinstance(answer.body, dict) else None
        return Served(*named, "memory", answer.body) if answer.status == 200 and named else None

    def named_in(self, described: Mapping[str, Any]) -> tuple[int, str] | None:
        """See ``V2Engine.named_in``."""
        return served_in(described.get("platform"))

    def load_verdict(self, answer: ServerAnswer) -> tuple[str, str]:
        """See ``V2Engine.load_verdict``."""
        message = answer.message.lower()
        if any(words in message for words in _UNSUPPORTED) or answer.status in {405, 501}:
            return "unsupported", "does MLServer have the runtime that the artifact's model settings name?"
        if not isinstance(answer.body, dict) or not isinstance(answer.body.get("error"), str):
            return "server_failed", ""  # another server, or one without workers, which keeps its reason to its log
        if answer.status == 404:  # it also passes over settings that it can't read
            return "not_delivered", _UNREAD
        if _UNSEEN in message:  # what the settings name lies in the artifact, see the layout
            return "not_delivered", _SEES
        if _POOL_LOST.search(message):
            return "server_failed", "MLServer has lost the workers of that environment: restart it"
        return (BLAMES_THE_VERSION if answer.status in {400, 422, 500} else "unreachable"), ""
