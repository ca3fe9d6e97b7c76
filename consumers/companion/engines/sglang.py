"""SGLang: the weights of the one model that it serves are read anew from a folder, in its place, while requests wait.

Generation is paused so that running requests begin anew with the new weights, and its cache of the old ones is
flushed. What serves is read from ``weight_version``, free text that SGLang keeps beside the weights it has read.
"""

from contextlib import suppress

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine, load_refused
from modelcast.consumers.pod.engine import Capabilities, Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN

_MARK = "modelcast"


class SGLangEngine(HttpEngine):
    """See ``HttpEngine``. Not gapless: requests wait for as long as the weights are read."""

    name = "SGLang"
    capabilities = Capabilities("sglang", gapless=False, watch_seconds=2.0)
    # A companion that was killed in a load has left it paused: it names the old version, and answers nothing.
    _paused = True
    _loading = False

    async def reach_server(self) -> None:
        """See ``RemoteEngine``. One that serves nothing yet may have been left paused, too."""
        if self._paused and not self._loading:
            await self._continue()
        await super().reach_server()

    async def note(self, model: str) -> bytes | None:
        """Nothing: SGLang goes back to the weights that it had."""

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """Nothing, see ``note``."""

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        order = delivered.order
        other = await self._named()
        if other is not None and other[0] != order.model:
            raise LoadFailed(f"it serves {other[0]}, and one model only", code="unsupported", subject=order.model)
        folder = (self.repository.root / order.model / delivered.layout.folder).resolve()
        self._loading = self._paused = True
        try:  # from here on: it may pause later than it is waited for
            paused = await self.client.ask("POST", "/pause_generation", body={"mode": "retract"})
            if paused.status >= 300:
                raise load_refused(paused, "unsupported" if paused.status == 404 else "server_failed")
            answer = await self.client.ask(
                "POST",
                "/update_weights_from_disk",
                body={
                    "model_path": str(folder),
                    "weight_version": f"{_MARK} {order.model} {order.version} {order.manifest_digest}",
                    "flush_cache": True,
                },
                seconds=self.load_seconds_max,
            )
        finally:
            self._loading = False
            with suppress(PodUnreachable):  # it is asked again when it is watched
                await self._continue()
        if answer.status >= 300 or not isinstance(answer.body, dict) or answer.body.get("success") is not True:
            tried = isinstance(answer.body, dict) and answer.body.get("success") is False
            raise load_refused(answer, BLAMES_THE_VERSION if tried else "server_failed")

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``. Nothing is served by one that is paused."""
        if self._paused and not self._loading:
            await self._continue()
        named = await self._named()
        if named is None or named[0] != model:
            return None
        return Served(named[1], named[2], "memory", {"name": model, "platform": "sglang"})

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``. It always serves its model."""
        raise LoadFailed("serves its one model until it is stopped", code="unsupported", subject=model)

    async def _continue(self) -> None:
        """Raises ``PodUnreachable``: it could not be told."""
        answer = await self.client.ask("POST", "/continue_generation", body={})
        if answer.status >= 300 and answer.status != 404:  # one that can't be paused is not
            raise PodUnreachable(f"it may be paused: {answer.message}", subject=self.client.url)
        self._paused = False

    async def _named(self) -> tuple[str, int, str] | None:
        """Model, version and digest that its memory names; None: it is none of ours."""
        answer = await self.client.ask("GET", "/model_info")
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise PodUnreachable(answer.message, subject=self.client.url)
        words = str(answer.body.get("weight_version", "")).split()
        if len(words) != 4 or words[0] != _MARK or not words[2].isdecimal() or not DIGEST_PATTERN.fullmatch(words[3]):
            return None
        return words[1], int(words[2]), words[3]
