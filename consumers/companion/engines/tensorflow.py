"""TensorFlow Serving: numeric folders, and a model configuration file that it reads again by itself.

Start it with ``--model_config_file=REPOSITORY/models.config --model_config_file_poll_wait_seconds=1``. The file names
one version of each model; a version that is named no longer is unloaded once its successor is available. It is written
whole each time: models that it lacks are unloaded, so it is this companion's alone. Read-back by ``GET /v1/models/M``.
"""

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote

from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.http_engine import HttpEngine
from modelcast.consumers.companion.placing import VERSION_NUMBER
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.environment import environment_code
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable

CONFIG_FILE_NAME = "models.config"
_VERSION_FILE = ".served"
_ASK_AGAIN_SECONDS = 0.2
_HINT = f"start it with --model_config_file=REPOSITORY/{CONFIG_FILE_NAME} --model_config_file_poll_wait_seconds=1"
_CODES = {
    **{"RESOURCE_EXHAUSTED": "out_of_resources", "UNAVAILABLE": "unreachable", "NOT_FOUND": "not_delivered"},
    **{"UNIMPLEMENTED": "unsupported", "PERMISSION_DENIED": "not_delivered", "DEADLINE_EXCEEDED": "load_timeout"},
    **dict.fromkeys(("INVALID_ARGUMENT", "DATA_LOSS", "FAILED_PRECONDITION"), BLAMES_THE_VERSION),
}


class TensorFlowServingEngine(HttpEngine):
    """See ``HttpEngine``."""

    name = "TensorFlow Serving"
    capabilities = Capabilities("tensorflow", gapless=True, watch_seconds=2.0)

    async def start(self, listener: LossListener) -> None:
        """Write the configuration file: the server does not start without it."""
        await self._configure()

    async def note(self, model: str) -> bytes | None:
        """The version that the configuration names."""
        return await self.read(model, _VERSION_FILE)

    async def send_load(self, delivered: Delivered) -> None:
        """See ``HttpEngine.send_load``."""
        order = delivered.order
        await self._let_go_of(order)
        await self.remember_digest(order)
        await self.write(order.model, _VERSION_FILE, str(order.version).encode())
        await self._configure()
        began = time.monotonic()
        while True:
            states = await self._states(order.model)
            _raise_failed(states.get(order.version, {}))
            if _available(states) == {order.version}:
                return
            if time.monotonic() - began > self.load_seconds_max:
                raise LoadFailed(f"did not serve it in {self.load_seconds_max:g} s", code="load_timeout", hint=_HINT)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _let_go_of(self, order: LoadOrder) -> None:
        """A version that it has is not read again: a reload, or other bytes under its number, needs a gap."""
        if order.version not in _available(await self._states(order.model)):
            return
        await self.retire(order.model)
        began = time.monotonic()
        while order.version in _available(await self._states(order.model)):
            if time.monotonic() - began > self.load_seconds_max:
                message = f"did not unload version {order.version} in {self.load_seconds_max:g} s"
                raise LoadFailed(message, code="load_timeout", hint=_HINT)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """See ``HttpEngine.undo_load``."""
        await self.write(model, _VERSION_FILE, noted)
        await self._configure()

    async def held(self, model: str) -> Served | None:
        """See ``HttpEngine.held``. Of several versions it answers with the highest."""
        versions = _available(await self._states(model))
        return (
            await self.with_digest(model, max(versions), {"name": model, "platform": "tensorflow"})
            if versions
            else None
        )

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        await self.write(model, _VERSION_FILE, None)
        await self._configure()

    async def _states(self, model: str) -> dict[int, dict[str, Any]]:
        """GetModelStatusResponse's ``model_version_status`` by version; a model that it does not know has none."""
        answer = await self.client.ask("GET", f"/v1/models/{quote(model, safe='')}")
        if answer.status == 404:
            return {}
        rows = answer.body.get("model_version_status") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(rows, list):
            raise PodUnreachable(answer.message, subject=self.client.url)
        named = [row for row in rows if isinstance(row, dict) and VERSION_NUMBER.fullmatch(str(row.get("version", "")))]
        return {int(row["version"]): row for row in named}

    async def _configure(self) -> None:
        try:
            await asyncio.to_thread(self._write_config)
        except (OSError, ValueError) as error:  # a file that names no version, say
            raise LoadFailed(f"{CONFIG_FILE_NAME}: {error}", code="io_error") from None

    def _write_config(self) -> None:
        root = self.repository.root
        named = sorted((file.parent.name, int(file.read_text())) for file in root.glob(f"*/{_VERSION_FILE}"))
        configs = "".join(_config(model, str((root / model).resolve()), version) for model, version in named)
        self.repository.write("", CONFIG_FILE_NAME, f"model_config_list {{\n{configs}}}\n".encode())


def _config(model: str, base_path: str, version: int) -> str:
    """A ModelConfig in text format."""
    policy = f"model_version_policy {{ specific {{ versions: {version} }} }}"
    return f'  config {{ name: "{model}" base_path: {json.dumps(base_path)} model_platform: "tensorflow" {policy} }}\n'


def _available(states: dict[int, dict[str, Any]]) -> set[int]:
    return {version for version, row in states.items() if row.get("state") == "AVAILABLE"}


def _raise_failed(row: dict[str, Any]) -> None:
    status = found if isinstance(found := row.get("status"), dict) else {}
    code = status.get("error_code", "OK")
    if row.get("state") == "END" and code != "OK":
        message = str(status.get("error_message", ""))[:1000]
        raise LoadFailed(message, code=environment_code(message) or _CODES.get(code, "server_failed"))
