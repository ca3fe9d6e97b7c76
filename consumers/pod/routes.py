"""The pod over HTTP: the Open Inference Protocol V2, its model-repository extension, and what operators probe."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.inference import OnnxInference
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.orders import authorized, read_load, read_unload
from modelcast.consumers.pod.repository import Repository, Serving, Slot
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.consumers.pod_clients.port import LoadFailed, PodRefused, PodUnreachable
from modelcast.infra.telemetry.metrics import PodMetrics

log = structlog.get_logger("modelcast.pod")
R = TypeVar("R", bound=web.StreamResponse)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHUNKED_BYTES_GUESS = 1024 * 1024  # a body that doesn't say its size counts as this much
_ALWAYS = {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
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
        inference: OnnxInference | None = None,
    ) -> None:
        self._config = config
        self._life = lifecycle
        self._repository = repository
        self._metrics = metrics
        self._incarnation = incarnation
        self._inference = inference  # None: another server answers the requests

    def application(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=self._config.body_bytes_max, middlewares=[self._around])
        app.on_response_prepare.append(self._sign)
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        app.add_routes(
            [
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._show_metrics),
                web.get("/v2", self._about),
                web.get("/v2/", self._about),
                web.get("/v2/health/live", self._live),
                web.get("/v2/health/ready", self._ready),
                *(web.get(base, self._metadata) for base in (model, version)),
                *(web.get(f"{base}/ready", self._model_ready) for base in (model, version)),
                *(web.post(f"{base}/infer", self._infer) for base in (model, version)),
                web.post("/v2/repository/index", self._index),
                web.post("/v2/repository/models/{model}/load", self._load),
                web.post("/v2/repository/models/{model}/unload", self._unload),
            ]
        )
        return app

    # --- around every request ---

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _ALWAYS:
            return await handler(request)
        if self._life.phase is Phase.CLOSED:
            return _error(503, "the pod is shutting down", code="draining")
        length = request.content_length
        size_bytes = (length if length is not None else _CHUNKED_BYTES_GUESS) if request.body_exists else 0
        if size_bytes > self._config.body_bytes_max:
            return _closing(_error(413, f"the body is larger than {self._config.body_bytes_max} bytes"))
        if self._life.in_flight_bytes + size_bytes > self._config.in_flight_bytes_max:
            return _closing(_error(503, "too many bytes under way", code="busy", headers={"Retry-After": "1"}))
        self._life.begun(size_bytes)
        try:
            return await handler(request)
        except BadRequest as error:
            return _error(400, error.message)
        except web.HTTPRequestEntityTooLarge as error:
            return _closing(_error(error.status, error.reason))
        except web.HTTPException as error:  # no such path, wrong method, body too large
            return _error(error.status, error.reason)
        except (web.RequestPayloadError, HttpProcessingError) as error:  # broken chunks, not the encoding it names
            return _closing(_error(400, f"the body can't be read: {str(error)[:200]}"))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("request failed", path=request.path)
            return _error(500, f"internal error: {type(error).__name__}")
        finally:
            self._life.ended(size_bytes)

    async def _sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["modelcast-incarnation"] = self._incarnation
        response.headers["modelcast-ready"] = "true" if self._life.restored else "false"  # of the model asked for
        response.headers["modelcast-gapless"] = "true" if self._repository.gapless else "false"
        if self._life.leaving:
            _closing(response)

    # --- probes ---

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        trouble = self._repository.trouble
        ready = self._life.ready and not trouble
        body: dict[str, Any] = {"ready": ready, "phase": self._life.phase.value}
        if trouble:
            body["error"] = trouble
        if not ready and self._life.lacking:
            body["lacking"] = list(self._life.lacking)
        return web.json_response(body, status=200 if ready else 503)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        self._metrics.ready.set(self._life.ready and not self._repository.trouble)
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _about(self, _request: web.Request) -> web.Response:
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

    def _slot(self, request: web.Request) -> Slot:
        model = request.match_info["model"]
        slot = self._repository.slots.get(model)
        if slot is None or (slot.serving is None and slot.wanted is None):
            raise _NotFound(f"model {model[:80]!r} is not loaded" + (f" ({slot.reason})" if slot else ""))
        return slot

    def _serving(self, request: web.Request) -> Serving:
        slot = self._slot(request)
        return self._as_asked(request, slot, slot.serving)

    async def _confirmed(self, request: web.Request) -> Serving:
        """As ``_serving``, but by the engine's own word of this moment."""
        slot = self._slot(request)
        try:
            return self._as_asked(request, slot, await self._repository.confirmed(slot))
        except PodUnreachable as error:
            raise _Unavailable(f"the server does not answer: {error.message}") from None

    def _as_asked(self, request: web.Request, slot: Slot, serving: Serving | None) -> Serving:
        if serving is None:
            raise _Unavailable(f"model {slot.model!r} is being put back: {slot.reason}")
        version = request.match_info.get("version")
        if version is not None and version != str(serving.order.version):
            raise _NotFound(f"{slot.model}/{version[:20]} is not served here, {serving.order.version} is")
        return serving

    async def _metadata(self, request: web.Request) -> web.Response:
        serving = await self._confirmed(request)
        return web.json_response(dict(serving.served.metadata), headers=serving.headers)

    async def _model_ready(self, request: web.Request) -> web.Response:
        serving = await self._confirmed(request)
        ready = self._life.restored
        body = {"name": serving.order.model, "ready": ready}
        return web.json_response(body, status=200 if ready else 503, headers=serving.headers)

    async def _infer(self, request: web.Request) -> web.Response:
        if self._inference is None:
            raise _NotFound("a companion: the server that it drives answers inference itself")
        return await self._inference.answer(request, self._serving)

    # --- model repository ---

    async def _index(self, request: web.Request) -> web.Response:
        only_ready = False
        if body := await request.read():
            try:
                asked = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"not JSON: {error}") from None
            only_ready = isinstance(asked, dict) and asked.get("ready") is True
        rows = [_row(slot) for _, slot in sorted(self._repository.slots.items())]
        return web.json_response([row for row in rows if row["state"] == "READY" or not only_ready])

    async def _load(self, request: web.Request) -> web.Response:
        self._authorize(request)
        order = read_load(request.match_info["model"], await request.read())
        if self._life.leaving:
            return _error(503, "the pod is shutting down", code="draining")
        try:
            await self._repository.load(order)
        except PodRefused as error:
            return _error(409, str(error), code=error.code)
        except LoadFailed as error:
            return _error(_FAILED_STATUS.get(error.code, 500), str(error), code=error.code)
        return web.json_response({})

    async def _unload(self, request: web.Request) -> web.Response:
        self._authorize(request)
        model = request.match_info["model"]
        epoch, generation = read_unload(model, await request.read())
        try:
            await self._repository.unload(model, epoch=epoch, generation=generation)
        except PodRefused as error:
            return _error(409, str(error), code=error.code)
        except LoadFailed as error:
            return _error(500, str(error), code=error.code)
        return web.json_response({})

    def _authorize(self, request: web.Request) -> None:
        if not authorized(request.headers.get("Authorization"), self._config.token):
            raise _Unauthorized("load and unload need the region's token")


class _Refusal(web.HTTPException):
    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason.replace("\n", " ").replace("\r", " "))


class _NotFound(_Refusal):
    status_code = 404


class _Unavailable(_Refusal):
    status_code = 503


class _Unauthorized(_Refusal):
    status_code = 401


def _row(slot: Slot) -> dict[str, Any]:
    order = slot.serving.order if slot.serving else slot.wanted
    return {
        "name": slot.model,
        "version": str(order.version) if order else "",
        "state": "READY" if slot.serving else "UNAVAILABLE",
        "reason": slot.reason,
    }


def _error(
    status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"error": message} if code is None else {"error": message, "code": code}
    return web.json_response(body, status=status, headers=headers)


def _closing(response: R) -> R:
    """End the connection after this answer, and say so: ``force_close`` alone may come too late for the header."""
    response.force_close()
    response.headers["Connection"] = "close"
    return response
