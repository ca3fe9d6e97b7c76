"""What engines of servers with V2's model-repository extension over HTTP share.

A load reads a settings file from disk, so it is written just before. After a swap that failed it says again what
served: else a server that restarts would load the version that was just refused. A server that has loaded that version
already loads the one before again.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
import structlog

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.companion.identity import ONE_EACH
from modelcast.consumers.companion.placing import settings_bytes
from modelcast.consumers.companion.samples import TRIAL_SUFFIX, compare_answers, trial_name
from modelcast.consumers.pod.engine import LossListener
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable

INFER_SECONDS = 60.0
_NOT_READY = "is not ready"  # 400, of a server that has lost what it loaded

log = structlog.get_logger(__name__)


class V2Engine(HttpEngine):
    """See ``HttpEngine``. A version with recorded samples is tried under another name before it takes traffic."""

    settings_file: ClassVar[str]

    @abstractmethod
    def trial_settings(self, delivered: Delivered) -> Mapping[str, Any]:
        """The settings that load the version under ``trial_name``."""

    @abstractmethod
    def named_in(self, described: Mapping[str, Any]) -> tuple[int, str] | None:
        """The (version, manifest digest) that settings name, or the server's words on a model; None: none of ours."""

    @abstractmethod
    def load_verdict(self, answer: ServerAnswer) -> tuple[str, str]:
        """``LoadFailed``'s code and hint for its answer to a load of files that were verified and placed whole."""

    async def start(self, listener: LossListener) -> None:
        """Let go of what a companion that was killed has left under trial."""
        for model in await asyncio.to_thread(self.repository.models, TRIAL_SUFFIX):
            await self._end_trial(model)

    async def reach(self, model: str) -> None:
        """See ``HttpEngine.reach``; a server of another kind is told nothing. Raises ``LoadFailed``, too."""
        about = await self.client.ask("GET", "/v2")
        if not _is_v2(about):
            message = f"what answers at {self.client.url} is not {self.name}: GET /v2 says {about.message}"
            hint = f"--server names the port of {self.name}'s HTTP service"
            raise LoadFailed(message, code="server_failed", subject=model, hint=hint)

    async def note(self, model: str) -> bytes | None:
        """The settings of what serves."""
        return await self.read(model, self.settings_file)

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        model = delivered.order.model
        if delivered.samples:
            trial = trial_name(model)
            try:
                await self._load(trial, settings_bytes(self.trial_settings(delivered)))
                await compare_answers(self, trial, delivered.order, delivered.samples)
            finally:
                await self._end_trial(trial)
        await self._load(model, settings_bytes(delivered.layout.settings))
        await compare_answers(self, model, delivered.order, delivered.samples)  # now it is warm, too

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """See ``HttpEngine.undo_load``. A server that does not go back is asked again once it is watched."""
        await self.write(model, self.settings_file, noted)
        try:
            served = await self.held(model)
            now = (served.version, served.manifest_digest) if served else None
            if now == self._named_in_settings(noted):
                return  # it never took the load
            if noted is None:
                await self.ask_to_unload(model, "POST", _path(model, "unload"))
            else:
                await self._load(model, noted)
        except (LoadFailed, PodUnreachable) as error:
            log.error("the server could not be put back as it was", model=model, error=str(error))

    def _named_in_settings(self, settings: bytes | None) -> tuple[int, str] | None:
        try:
            described = orjson.loads(settings or b"null")
        except orjson.JSONDecodeError:
            return None
        return self.named_in(described) if isinstance(described, dict) else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``. Its settings go first: a server that restarts must not load it again."""
        await self.write(model, self.settings_file, None)
        await self.ask_to_unload(model, "POST", _path(model, "unload"))

    async def _load(self, name: str, settings: bytes) -> None:
        await self.write(name, self.settings_file, settings)
        answer = await self.client.ask("POST", _path(name, "load"), seconds=self.load_seconds_max)
        if answer.status >= 300:
            failed = load_refused(answer, *self.load_verdict(answer))
            if failed.code == BLAMES_THE_VERSION:
                await self._check_meant(name, settings, failed)
            raise failed

    async def _check_meant(self, name: str, settings: bytes, failed: LoadFailed) -> None:
        """Take the blame from words that were another server's, or about what somebody else has placed."""
        if not _is_v2(await self.client.ask("GET", "/v2")):
            failed.code, failed.hint = "server_failed", "is another program at that address? see --server"
        elif await asyncio.to_thread(self.repository.read, name, self.settings_file) != settings:
            failed.code, failed.hint = "unconfirmed", ONE_EACH

    async def _end_trial(self, trial: str) -> None:
        await asyncio.to_thread(self.repository.discard, trial)
        with suppress(PodUnreachable):  # the next trial of that model takes its place
            await self.client.ask("POST", _path(trial, "unload"))

    async def ask_sample(self, name: str, version: int, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``SampledServer``. These servers can't be asked for one version alone."""
        path = f"/v2/models/{quote(name, safe='')}/infer"
        try:
            answer = await self.client.ask("POST", path, body=request, seconds=INFER_SECONDS)
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=error.subject) from None
        if answer.status == 200 and isinstance(answer.body, dict):
            return answer.body
        message = answer.message if answer.status != 200 else "its answer is no JSON object"
        refused = answer.status in {400, 422} and isinstance(answer.body, dict) and _NOT_READY not in message.lower()
        raise load_refused(
            ServerAnswer(answer.status, answer.body, f"the recorded sample is refused: {message}"),
            BLAMES_THE_VERSION if refused else "server_failed",
        )


def _is_v2(about: ServerAnswer) -> bool:
    """Whether a server describes itself as V2 has it: another one's words blame nothing."""
    return isinstance(about.body, dict) and isinstance(about.body.get("name"), str) and "extensions" in about.body


def _path(name: str, verb: str) -> str:
    return f"/v2/repository/models/{quote(name, safe='')}/{verb}"
