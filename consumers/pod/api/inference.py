"""Inference over HTTP on our own engine: one request to the worker that serves the model, and its answer back."""

import time
from collections.abc import Callable

import structlog
from aiohttp import web
from multidict import istr

from modelcast.consumers.pod.api.paths import PathTarget
from modelcast.consumers.pod.api.series import InferenceSeries
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.worker.engine import OnnxEngine
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.link import WorkerGone
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.infra.telemetry.metrics import PodMetrics

log = structlog.get_logger("modelcast.pod")

JSON_SIZE_HEADER = istr("Inference-Header-Content-Length")


class OnnxInference:
    """Answers V2's ``infer``."""

    def __init__(self, config: PodConfig, engine: OnnxEngine, metrics: PodMetrics) -> None:
        self._seconds_max = config.infer_seconds_max
        self._engine = engine
        self._series = InferenceSeries(metrics)

    async def answer(
        self, request: web.BaseRequest, target: PathTarget, serving_of: Callable[[PathTarget], Serving]
    ) -> web.Response:
        """The answer of the version that serves once the body has arrived. Raises ``BadRequest``."""
        json_size_bytes = _json_size(request.headers.get(JSON_SIZE_HEADER))
        body = await request.read()
        started = time.perf_counter()
        serving = serving_of(target)  # read once, with its worker: this request finishes on what serves now
        order, status = serving.order, 503
        self._series.begun()
        try:
            link = self._engine.link(order.place)
            part = link.part(target.part)
            if part is None:
                status = 404
                return _error(404, no_such_part(target, link.parts), serving.headers)
            try:
                answer = await link.infer(part, body, json_size_bytes, timeout=self._seconds_max)
            except TimeoutError:
                status = 504
                if link.silent_seconds() >= self._seconds_max:
                    log.error("worker answers nothing any more, replaced", model=order.model, version=order.version)
                    await link.kill()
                return _error(504, f"no answer within {self._seconds_max:g} s", serving.headers)
            status = answer.status
        except WorkerGone as error:
            return _error(503, str(error), {**serving.headers, "Retry-After": "1"})
        finally:
            self._series.ended(order.model, order.version, status, time.perf_counter() - started)
        headers = serving.answer_headers.copy()
        if answer.json_size_bytes != ALL_JSON:
            headers["Content-Type"] = "application/octet-stream"
            headers[JSON_SIZE_HEADER] = str(answer.json_size_bytes)
        return web.Response(status=answer.status, body=answer.body, headers=headers)


def no_such_part(target: PathTarget, parts: list[str]) -> str:
    """The error for a request for a part that the model lacks."""
    there = ", ".join(f"{target.model}/{part}" for part in parts) or target.model
    return f"model {target.model!r} has no part {target.part[:80]!r}; served here: {there}"


def _error(status: int, message: str, headers: dict[str, str]) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def _json_size(header: str | None) -> int:
    if header is None:
        return ALL_JSON
    if not header.isdecimal() or int(header) >= ALL_JSON:
        raise BadRequest(f"{JSON_SIZE_HEADER} must be a whole number")
    return int(header)
