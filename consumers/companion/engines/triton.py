"""Triton Inference Server in explicit model-control mode, driven by gRPC alone.

A load by HTTP stalls every HTTP connection on the same thread of Triton for as long as it takes, and one that carries
a large file has been seen to crash the server (docs/adr/0023); so nothing here speaks HTTP to it.

The configuration travels with the load call: which version, and the manifest digest as a parameter, so that Triton's
own memory names what it serves. After a restart Triton is empty, and the companion loads again.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import structlog
import tritonclient.grpc.aio as triton
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from modelcast.consumers.companion.blame import weighed
from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.engines.triton_sending import TritonToken, send_load
from modelcast.consumers.companion.engines.triton_tensors import answer_of, inputs_of
from modelcast.consumers.companion.engines.triton_words import SEES_HINT, UNREACHABLE_HINT, triton_verdict
from modelcast.consumers.companion.identity import check_held
from modelcast.consumers.companion.layouts.triton import DIGEST_PARAMETER
from modelcast.consumers.companion.layouts.version_layout import VersionLayout, folder_of
from modelcast.consumers.companion.placing import ModelRepository
from modelcast.consumers.companion.samples import TRIAL_SUFFIX, compare_answers, trial_name
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served, Unsupported
from modelcast.consumers.pod.environment import environment_code
from modelcast.consumers.pod.sample import SAMPLE_FILE
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable

CONTENTS_SIZE_MAX_BYTES = 1024**3  # a gRPC message ends at 2 GiB; 205 MB was the largest tried
SENT_HERE_BYTES_MAX = 8 * 1024 * 1024  # more would stall what else runs here
READ_SECONDS = 4.0  # less than a region waits for a reading, as in http.py
INFER_SECONDS = 60.0

log = structlog.get_logger(__name__)

_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_NEWER = ("has no field named", "has no value named", "has no value with number")  # protobuf's words
_NEWER_HINT = (
    'publish it with a modelcast/triton.json that holds "config" as JSON, which Triton gets as it is; or update the '
    "companion's tritonclient"
)


def parse_config(text: bytes) -> Mapping[str, Any]:
    """A ``config.pbtxt`` as ModelConfig's JSON fields.

    Raises:
        ValueError: it is damaged.
        Unsupported: it says what the companion's own ModelConfig does not know.
    """
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text.decode(), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        if any(words in str(error) for words in _NEWER):
            raise Unsupported(f"the companion does not know what it says: {error}", hint=_NEWER_HINT) from None
        raise ValueError(str(error)) from None
    fields: dict[str, Any] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return fields


class TritonEngine:
    """See ``Engine``.

    Args:
        address: ``host:port`` of its gRPC service.
        delivery: brings the files to it.
        repository: the folder shared with it, to be tidied; None: there is none.
        load_seconds_max: how long a load may take.
        token: sent with each call, see ``TritonToken``; "": none.
    """

    capabilities = Capabilities("triton", gapless=True, watch_seconds=1.0)

    def __init__(
        self,
        address: str,
        delivery: Delivery,
        repository: ModelRepository | None,
        load_seconds_max: float,
        token: str = "",
    ) -> None:
        self._address = address
        self._delivery = delivery
        self._repository = repository
        self._load_seconds_max = load_seconds_max
        self._prepared: dict[LoadOrder, Delivered] = {}
        self._loaded: dict[str, Delivered] = {}  # what serves, without its bytes
        self._ending: dict[str, asyncio.Task[None]] = {}  # trials that Triton has been told to unload
        self._token = token
        self._client: Any = None

    async def start(self, listener: LossListener) -> None:
        """Open the channel; whether the server is there shows when it is asked."""
        self._client = triton.InferenceServerClient(self._address)
        if self._token:
            self._client.register_plugin(TritonToken(self._token))
        if self._repository is not None:  # what a companion that was killed has left under trial
            for trial in await asyncio.to_thread(self._repository.models, TRIAL_SUFFIX):
                self._ending[trial] = asyncio.create_task(self._end_trial(trial))

    async def reach_server(self) -> None:
        """See ``RemoteEngine``."""
        try:
            await self._client.is_server_live(client_timeout=READ_SECONDS)
        except InferenceServerException as error:
            if not str(error.status()).endswith(_AWAY):
                return  # it may restrict who asks this
            raise PodUnreachable(str(error.message()), subject=self._address) from None

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        self._prepared[order] = await self._delivery.deliver(order)

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``."""
        delivered = self._prepared.pop(order)
        began = time.monotonic()
        try:
            served = await uninterrupted(asyncio.ensure_future(self._swap(delivered)))
        except LoadFailed as failed:
            held = order.model in self._loaded
            raise await weighed(failed, delivered, self._delivery, self.serving, held=held) from None
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=error.subject, hint=UNREACHABLE_HINT) from None
        seconds = {"swap": time.monotonic() - began}
        before = self._loaded.get(order.model)
        self._loaded[order.model] = replace(delivered, contents={}, samples=())
        if self._repository is not None:
            keep = {delivered.layout.folder, before.layout.folder if before else ""}
            await asyncio.to_thread(self._repository.prune, order.model, keep)
        return replace(served, seconds=seconds)

    async def _swap(self, delivered: Delivered) -> Served:
        order = delivered.order
        before = await self.serving(order.model)
        await self._check_seen(order)
        if before is not None and before.version != order.version:  # else its folder was replaced
            await self._recall(order, before)
        if delivered.samples:
            await self._try(delivered)
        await self._load_as(order.model, delivered)
        try:
            await compare_answers(self, order.model, order, delivered.samples)  # now it is warm, too
            served = check_held(await self.serving(order.model), order, order.model)
        except BaseException:
            await self._go_back(order, before)
            raise
        return served

    async def _check_seen(self, order: LoadOrder) -> None:
        """Raise ``LoadFailed`` unless Triton looks for models where the companion places them.

        Where it looks elsewhere, it would load whatever lies there under the same number, and name our digest.
        """
        if self._repository is None:
            return
        root = self._repository.root
        mark = ""
        try:
            mark = await asyncio.to_thread(self._repository.mark, TRIAL_SUFFIX)
            index = await self._client.get_model_repository_index(as_json=True, client_timeout=READ_SECONDS)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=order.model) from None
        except InferenceServerException as error:
            code, hint = triton_verdict(str(error.status()), str(error.message()), order.version)
            raise LoadFailed(str(error.message()), code=code, subject=order.model, hint=hint) from None
        finally:
            if mark:
                await asyncio.to_thread(self._repository.discard, mark)
        if mark not in {each.get("name") for each in index.get("models", [])}:
            message = f"Triton does not see what the companion places in {root}"
            raise LoadFailed(message, code="not_delivered", subject=order.model, hint=SEES_HINT)

    async def _recall(self, order: LoadOrder, before: Served) -> None:
        """A companion that was restarted learns from Triton's memory how what serves was loaded, to load it again.

        Its folder is there still; the artifact may have left the machine meanwhile.
        """
        model, folder, repository = order.model, folder_of(before.version), self._repository
        if repository is None or model in self._loaded or not (repository.root / model / folder).is_dir():
            return
        try:
            found = await self._client.get_model_config(model, as_json=True, client_timeout=READ_SECONDS)
        except InferenceServerException as error:
            raise PodUnreachable(str(error.message()), subject=self._address) from None
        placed = replace(order, version=before.version, manifest_digest=before.manifest_digest)
        self._loaded[model] = Delivered(placed, VersionLayout(folder, (), found["config"]), {})

    async def _go_back(self, refused: LoadOrder, before: Served | None) -> None:
        """Have Triton serve what it did before it took a load. If it does not, it is asked again once it is watched."""
        model = refused.model
        try:
            now = await self.serving(model)
            if now is not None and before is not None and now.manifest_digest == before.manifest_digest:
                return
            if before is None:
                await self.retire(model)
                return
            loaded = self._loaded.get(model)
            placed = self._repository is not None and before.version != refused.version
            if not placed or loaded is None or loaded.order.manifest_digest != before.manifest_digest:
                # Its files travelled with the load, or its folder was replaced, or another companion placed it.
                order = replace(refused, version=before.version, manifest_digest=before.manifest_digest)
                loaded = await self._delivery.deliver(order)
            await self._load_as(model, loaded)
        except (LoadFailed, PodUnreachable) as error:
            log.error("the server could not be put back as it was", model=model, error=str(error))

    async def _try(self, delivered: Delivered) -> None:
        """Load it where no request goes, and compare its answers with those recorded."""
        model, folder = delivered.order.model, delivered.layout.folder
        trial = trial_name(model)
        if ending := self._ending.pop(trial, None):  # else Triton would unload this one when it comes to it
            await asyncio.wait({ending})
        try:
            if self._repository is not None:
                await asyncio.to_thread(self._repository.point, trial, folder, f"../{model}/{folder}")
            await self._load_as(trial, delivered)
            await compare_answers(self, trial, delivered.order, delivered.samples)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=model) from None
        finally:
            ending = self._ending[trial] = asyncio.create_task(self._end_trial(trial))
            await asyncio.wait({ending}, timeout=READ_SECONDS)

    async def _end_trial(self, trial: str) -> None:
        """Triton unloads a model that it is still loading once it has loaded it, however long that takes."""
        with suppress(InferenceServerException):  # the next trial of that model takes its place
            await self._client.unload_model(trial, client_timeout=self._load_seconds_max)
        if self._repository is not None:
            await asyncio.to_thread(self._repository.discard, trial)

    async def _load_as(self, name: str, delivered: Delivered) -> None:
        layout = delivered.layout
        config = orjson.dumps({**layout.settings, "name": name}).decode()
        files = {f"file:{layout.folder}/{path}": content for path, content in delivered.contents.items()}
        if refused := await self._send_load(name, config, files):
            status, message = refused
            code, hint = triton_verdict(status, message, delivered.order.version)
            raise LoadFailed(message, code=code, hint=hint)

    async def _send_load(self, name: str, config: str, files: Mapping[str, bytes]) -> tuple[str, str] | None:
        """Triton's status and message if it does not load a model; None: it has."""
        seconds = self._load_seconds_max
        if sum(map(len, files.values())) > SENT_HERE_BYTES_MAX:
            return await asyncio.to_thread(send_load, self._address, name, config, files, seconds, self._token)
        try:
            await self._client.load_model(name, config=config, files=files or None, client_timeout=seconds)
        except InferenceServerException as error:
            return str(error.status()), str(error.message())
        return None

    async def ask_sample(self, name: str, version: int, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``SampledServer``."""
        try:
            inputs = inputs_of(request)
        except Unsupported as error:
            raise LoadFailed(error.message, code="unsupported", subject=SAMPLE_FILE, hint=error.hint) from None
        except ValueError as error:
            raise LoadFailed(str(error), code=BLAMES_THE_VERSION, subject=SAMPLE_FILE) from None
        try:
            answer = await self._client.infer(name, inputs, str(version), client_timeout=INFER_SECONDS)
            return answer_of(answer)
        except InferenceServerException as error:
            message = f"the recorded sample is refused: {error.message()}"
            code = BLAMES_THE_VERSION if str(error.status()).endswith("INVALID_ARGUMENT") else "server_failed"
            raise LoadFailed(message, code=environment_code(message) or code) from None
        except ValueError as error:
            raise LoadFailed(
                f"its answer to the recorded sample can't be read: {error}", code="server_failed"
            ) from None

    async def held(self, model: str) -> Served | None:
        """See ``SampledServer``."""
        return await self.serving(model)

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``. Never the repository index: it keeps the names of the dead."""
        try:
            metadata = await self._client.get_model_metadata(model, as_json=True, client_timeout=READ_SECONDS)
            config = await self._client.get_model_config(model, as_json=True, client_timeout=READ_SECONDS)
        except InferenceServerException as error:
            if _is_absent(error):
                return None
            raise PodUnreachable(str(error.message()), subject=self._address) from None
        parameters = config.get("config", {}).get("parameters", {})
        digest = parameters.get(DIGEST_PARAMETER, {}).get("string_value", "")
        versions = [int(v) for v in metadata.get("versions", []) if str(v).isdecimal()]
        if not digest or len(versions) != 1:
            return None
        return Served(versions[0], digest, "memory", metadata)

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        try:
            await self._client.unload_model(model, client_timeout=self._load_seconds_max)
        except InferenceServerException as error:
            if not _is_absent(error):
                raise LoadFailed(str(error.message()), code="unreachable", subject=model) from None

    async def aclose(self) -> None:
        """Close the channel, let another companion have the folder. Triton goes on serving."""
        for ending in self._ending.values():
            ending.cancel()
        if self._ending:
            await asyncio.wait(self._ending.values())
        if self._client is not None:
            await self._client.close()
        if self._repository is not None:
            await asyncio.to_thread(self._repository.close)


def _is_absent(error: InferenceServerException) -> bool:
    """Whether Triton says that it has no such model, or none that is ready."""
    message = str(error.message()).lower()
    return "unknown model" in message or "is not ready" in message or "not found" in message
