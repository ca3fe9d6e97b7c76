"""The pod over HTTP: the Open Inference Protocol V2, its model-repository extension, and what operators check."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
import structlog
from aiohttp import HttpVersion11, web
from aiohttp.http import HttpProcessingError
from multidict import istr
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from modelcast.consumers.pod.admission.orders import authorized, read_load, read_unload
from modelcast.consumers.pod.api.inference import OnnxInference, no_such_part
from modelcast.consumers.pod.api.paths import PathTarget, read_path
from modelcast.consumers.pod.api.traffic import apply_table, read_traffic
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.traffic.division import Division
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.consumers.pod_clients.port import CANDIDATE, LoadFailed, PodRefused, PodUnreachable, lane_place
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.text.tokens import TokenDigests

log = structlog.get_logger("modelcast.pod")
R = TypeVar("R", bound=web.StreamResponse)
Handler = Callable[[web.BaseRequest, PathTarget], Awaitable[web.Response]]

_CHUNKED_BYTES_GUESS = 1024 * 1024  # a body that doesn't say its size counts as this much
_ALWAYS = {"live", "ready", "metrics"}
_INCARNATION, _READY, _EXPECT = istr("modelcast-incarnation"), istr("modelcast-ready"), istr("Expect")
_GAPLESS, _KIND, _LANES = istr("modelcast-gapless"), istr("modelcast-kind"), istr("modelcast-lanes")
_FAILED_STATUS = {"artifact_missing": 404, "verification_failed": 422, "unsupported": 422, "load_timeout": 504}


class Routes:
    """The handlers of one pod."""

    def __init__(
        self,
        config: PodConfig,
        lifecycle: Lifecycle,
        repository: Repository,
        metrics: PodMetrics,
        incarnation: str,
        division: Division,
        inference: OnnxInference | None = None,
    ) -> None:
        self._config = config
        self._life = lifecycle
        self._repository = repository
        self._supervisor = repository.supervisor
        self._metrics = metrics
        self._incarnation = incarnation
        self._division = division
        self._inference = inference  # None: another server answers the requests
        self._readers = TokenDigests(config.metrics_tokens)
        self._loop = asyncio.get_running_loop()
        get, post = ("GET", "HEAD"), ("POST",)
        self._table: dict[str, tuple[tuple[str, ...], Handler]] = {
            "live": (get, self._live),
            "ready": (get, self._ready),
            "metrics": (get, self._show_metrics),
            "about": (get, self._about),
            "metadata": (get, self._metadata),
            "model_ready": (get, self._model_ready),
            "infer": (post, self._infer),
            "index": (post, self._index),
            "load": (post, self._load),
            "unload": (post, self._unload),
            "traffic": ((*get, *post), self._traffic),
        }

    def server(self) -> web.Server:
        """Serves HTTP. Without aiohttp's application, whose router and middlewares cost as much as a small model."""
        return web.Server(self._answer, request_factory=self._request, access_log=None)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        size_max = self._config.body_bytes_max
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=size_max)

    # --- around every request ---

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        target = read_path(request.raw_path)
        if target is None:
            return self._sign(_error(404, "Not Found"))
        methods, handler = self._table[target.what]
        if request.method not in methods:
            return self._sign(_error(405, "Method Not Allowed", headers={"Allow": ",".join(methods)}))
        if target.what in _ALWAYS:
            return self._sign(await handler(request, target))
        if self._life.phase is Phase.CLOSED:
            return self._sign(_error(503, "the pod is shutting down", code="draining"))
        length = request.content_length
        size_bytes = (length if length is not None else _CHUNKED_BYTES_GUESS) if request.body_exists else 0
        if size_bytes > self._config.body_bytes_max:
            return self._sign(_closing(_error(413, f"the body is larger than {self._config.body_bytes_max} bytes")))
        if self._life.in_flight_bytes + size_bytes > self._config.in_flight_bytes_max:
            busy = _error(503, "too many bytes under way", code="busy", headers={"Retry-After": "1"})
            return self._sign(_closing(busy))
        self._life.begun(size_bytes)
        try:
            if _EXPECT in request.headers:
                await _expect(request)
            return self._sign(await handler(request, target))
        except BadRequest as error:
            return self._sign(_error(400, error.message))
        except web.HTTPRequestEntityTooLarge as error:
            return self._sign(_closing(_error(error.status, error.reason)))
        except web.HTTPException as error:
            return self._sign(_error(error.status, error.reason))
        except (web.RequestPayloadError, HttpProcessingError) as error:  # broken chunks, not the encoding it names
            return self._sign(_closing(_error(400, f"the body can't be read: {str(error)[:200]}")))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("request failed", path=request.path)
            return self._sign(_error(500, f"internal error: {type(error).__name__}"))
        finally:
            self._life.ended(size_bytes)

    def _sign(self, response: web.Response) -> web.Response:
        headers = response.headers
        headers[_INCARNATION] = self._incarnation
        headers[_READY] = "true" if self._life.restored else "false"  # of the model asked for
        headers[_GAPLESS] = "true" if self._supervisor.gapless else "false"
        headers[_LANES] = "true" if self._supervisor.lanes else "false"
        headers[_KIND] = self._supervisor.kind
        if self._life.leaving:
            _closing(response)
        return response

    # --- health checks ---

    async def _live(self, _request: web.BaseRequest, _target: PathTarget) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.BaseRequest, _target: PathTarget) -> web.Response:
        trouble = self._trouble
        ready = self._life.ready and not trouble
        body: dict[str, Any] = {"ready": ready, "phase": self._life.phase.value}
        if trouble:
            body["error"] = trouble
        if not ready and self._life.lacking:
            body["lacking"] = list(self._life.lacking)
        return web.json_response(body, status=200 if ready else 503)

    @property
    def _trouble(self) -> str:
        presence = self._config.presence
        return self._supervisor.trouble or (presence.trouble if presence else "")

    async def _show_metrics(self, request: web.BaseRequest, _target: PathTarget) -> web.Response:
        if not self._readers.admit(request.headers.get("Authorization")):
            raise _Unauthorized("metrics need a token")
        self._metrics.ready.set(self._life.ready and not self._trouble)
        if self._inference is not None:
            loaded = (slot.serving.order for slot in self._supervisor.slots.values() if slot.serving)
            self._inference.series.forget_unloaded({(order.model, order.version) for order in loaded})
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _about(self, _request: web.BaseRequest, _target: PathTarget) -> web.Response:
        extensions = ["model_repository", "binary_tensor_data", "modelcast"]
        body = {
            "name": "modelcast-pod",
            "version": "2",
            "extensions": extensions,
            "pod": self._config.name,
            "region": self._config.region,
        }
        return web.json_response(body)

    # --- models ---

    def _slot(self, target: PathTarget) -> Slot:
        model, slots = target.model, self._supervisor.slots
        slot = slots.get(lane_place(model, target.lane) if target.lane else model)
        if target.version is not None:
            candidate = slots.get(lane_place(model, CANDIDATE))
            if candidate is not None and candidate.serving and str(candidate.serving.order.version) == target.version:
                slot = candidate
        if slot is None or (slot.serving is None and slot.aspired is None):
            why = f" ({slot.reason})" if slot and slot.reason else ""
            raise _NotFound(f"model {model[:80]!r} is not loaded{why}")
        return slot

    def _serving(self, target: PathTarget) -> Serving:
        slot = self._slot(target)
        return self._as_asked(target, slot, slot.serving)

    async def _confirmed(self, target: PathTarget) -> Serving:
        """As ``_serving``, but as the engine answers now."""
        slot = self._slot(target)
        try:
            return self._as_asked(target, slot, await self._supervisor.confirmed(slot))
        except PodUnreachable as error:
            raise _Unavailable(f"the server does not answer: {error.message}") from None

    def _as_asked(self, target: PathTarget, slot: Slot, serving: Serving | None) -> Serving:
        if serving is None:
            raise _Unavailable(f"model {slot.model!r} is being put back: {slot.reason}")
        version = target.version
        if version is not None and version != str(serving.order.version):
            raise _NotFound(f"{slot.model}/{version[:20]} is not served here, {serving.order.version} is")
        return serving

    async def _metadata(self, _request: web.BaseRequest, target: PathTarget) -> web.Response:
        serving = await self._confirmed(target)
        return web.json_response(_described(serving, target), headers=serving.headers)

    async def _model_ready(self, _request: web.BaseRequest, target: PathTarget) -> web.Response:
        serving = await self._confirmed(target)
        ready = self._life.restored
        body = {"name": _described(serving, target).get("name", target.model), "ready": ready}
        return web.json_response(body, status=200 if ready else 503, headers=serving.headers)

    def _infer(self, request: web.BaseRequest, target: PathTarget) -> Awaitable[web.Response]:
        if self._inference is None:
            raise _NotFound("a companion: the server that it drives answers inference itself")
        return self._inference.answer(request, target, self._serving)

    # --- model repository ---

    async def _index(self, request: web.BaseRequest, _target: PathTarget) -> web.Response:
        only_ready = False
        if body := await request.read():
            try:
                asked = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"not JSON: {error}") from None
            only_ready = isinstance(asked, dict) and asked.get("ready") is True
        slots = [slot for _, slot in sorted(self._supervisor.slots.items()) if slot.aspired or not slot.lane]
        rows = [_row(slot) for slot in slots]
        return web.json_response([row for row in rows if row["state"] == "READY" or not only_ready])

    async def _load(self, request: web.BaseRequest, target: PathTarget) -> web.Response:
        self._authorize(request)
        order = read_load(target.model, await request.read())
        if self._life.leaving:
            return _error(503, "the pod is shutting down", code="draining")
        try:
            await self._repository.load(order)
        except PodRefused as error:
            return _not_done(409, error)
        except LoadFailed as error:
            return _not_done(_FAILED_STATUS.get(error.code, 500), error)
        return web.json_response({})

    async def _unload(self, request: web.BaseRequest, target: PathTarget) -> web.Response:
        self._authorize(request)
        model = target.model
        epoch, generation, lane = read_unload(model, await request.read())
        try:
            await self._repository.unload(model, epoch=epoch, generation=generation, lane=lane)
        except PodRefused as error:
            return _not_done(409, error)
        except LoadFailed as error:
            return _not_done(500, error)
        return web.json_response({})

    async def _traffic(self, request: web.BaseRequest, target: PathTarget) -> web.Response:
        if request.method != "POST":
            return read_traffic(self._division, target.model)
        self._authorize(request)
        try:
            return await apply_table(self._division, target.model, await request.read())
        except PodRefused as error:
            return _not_done(409, error)
        except LoadFailed as error:
            return _not_done(_FAILED_STATUS.get(error.code, 500), error)

    def _authorize(self, request: web.BaseRequest) -> None:
        if not authorized(request.headers.get("Authorization"), self._config.token):
            raise _Unauthorized("load, unload and tables of shares need the region's token")


class _Refusal(web.HTTPException):
    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason.replace("\n", " ").replace("\r", " "))


class _NotFound(_Refusal):
    status_code = 404


class _Unavailable(_Refusal):
    status_code = 503


class _Unauthorized(_Refusal):
    status_code = 401


def _described(serving: Serving, target: PathTarget) -> dict[str, Any]:
    """V2's metadata of the model, or of the part that is asked for."""
    metadata = dict(serving.served.metadata)
    if not target.part:
        return metadata
    parts = metadata.get("parts", {})
    if target.part not in parts:
        raise _NotFound(no_such_part(target, sorted(parts)))
    return dict(parts[target.part])


async def _expect(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body."""
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _row(slot: Slot) -> dict[str, Any]:
    order = slot.serving.order if slot.serving else slot.aspired
    return {
        "name": slot.model,
        "version": str(order.version) if order else "",
        "state": "READY" if slot.serving else "UNAVAILABLE",
        "reason": slot.reason,
    }


def _not_done(status: int, error: PodRefused | LoadFailed) -> web.Response:
    """An order that was not carried out. The hint stands apart: a long message that is cut must not lose it."""
    message = f"{error.subject}: {error.message}" if error.subject else error.message
    body = {"error": message, "code": error.code} | ({"hint": error.hint} if error.hint else {})
    return web.json_response(body, status=status)


def _error(
    status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"error": message} if code is None else {"error": message, "code": code}
    return web.json_response(body, status=status, headers=headers)


def _closing(response: R) -> R:
    """End the connection after this answer, and announce it: ``force_close`` alone may come too late for the header."""
    response.force_close()
    response.headers["Connection"] = "close"
    return response
