"""Inference over HTTP on our own engine: one request to the worker of a version that serves, and its answer back."""

import time
from collections.abc import Callable, Iterable

import structlog
from aiohttp import web
from multidict import istr

from modelcast.consumers.pod.api.paths import PathTarget
from modelcast.consumers.pod.api.series import InferenceSeries
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.traffic.answers import Failure, Given, V2Request
from modelcast.consumers.pod.traffic.choosing import ModelTraffic
from modelcast.consumers.pod.traffic.division import Division
from modelcast.consumers.pod.traffic.shadow import Copy, Shadow
from modelcast.consumers.pod.worker.channel import WorkerGone
from modelcast.consumers.pod.worker.engine import OnnxEngine
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.infra.telemetry.metrics import PodMetrics

log = structlog.get_logger("modelcast.pod")

HANGS_TIMES = 3
"""A candidate's worker that answers nothing for three times as long as it is waited for is replaced; the control's one
after as long as any request may take."""
JSON_SIZE_HEADER = istr("Inference-Header-Content-Length")
ServingOf = Callable[[PathTarget], Serving]
"""What serves a target now. Raises for one that is not served."""


class OnnxInference:
    """Answers V2's ``infer``. See ``Answerer``."""

    def __init__(self, config: PodConfig, engine: OnnxEngine, metrics: PodMetrics, division: Division) -> None:
        self._seconds_max = config.infer_seconds_max
        self._body_bytes_max = config.body_bytes_max
        self._engine = engine
        self.series = InferenceSeries(metrics)
        self._division = division
        self._shadow = Shadow(division.supervisor, self, config.infer_seconds_max)

    async def answer(self, request: web.BaseRequest, target: PathTarget, serving_of: ServingOf) -> web.Response:
        """The answer of the version that serves once the body has arrived.

        Raises:
            BadRequest: a header is wrong.
            web.HTTPException: the body is too large, or ``serving_of`` raised it.
        """
        json_size_bytes = _json_size(request.headers.get(JSON_SIZE_HEADER))
        content = request.content
        # As a rule all of it came with the head: what is here is taken without a wait.
        body = content.read_nowait() if content.is_eof() else await request.read()
        if len(body) > self._body_bytes_max:
            raise web.HTTPRequestEntityTooLarge(self._body_bytes_max, len(body))
        asked = V2Request(target.part, body, json_size_bytes)
        traffic = self._division.active.get(target.model)
        if traffic is not None and target.version is None:
            return await self._divided(traffic, request, target, asked, serving_of)
        serving = serving_of(target)  # read once, with its worker: this request finishes on what serves now
        return _response(target, serving, await self.given(serving, asked, self._seconds_max, look=False))

    async def _divided(
        self,
        traffic: ModelTraffic,
        request: web.BaseRequest,
        target: PathTarget,
        asked: V2Request,
        serving_of: ServingOf,
    ) -> web.Response:
        chosen, keyed = traffic.choose(request.headers, asked.body, asked.json_size_bytes)
        if chosen is not None and chosen.order.lane:
            given = await self.given(chosen, asked, traffic.candidate_seconds_max(self._seconds_max), look=True)
            if given.status >= 400:
                return await self._instead(traffic, target, asked, serving_of, Failure(chosen, given, keyed))
            traffic.count(chosen, given.status, given.seconds, given.seen, keyed=keyed)
            return _response(target, chosen, given)
        serving = chosen or serving_of(target)
        given = await self.given(serving, asked, self._seconds_max, look=True)
        traffic.count(serving, given.status, given.seconds, given.seen, keyed=keyed)
        if given.status == 200 and (arm := traffic.wants_copy(serving)) is not None:
            self._shadow.take(Copy(traffic, arm, asked, given))
        return _response(target, serving, given)

    async def _instead(
        self, traffic: ModelTraffic, target: PathTarget, asked: V2Request, serving_of: ServingOf, failed: Failure
    ) -> web.Response:
        """The control's answer to what the candidate could not answer. It is not counted as the control's.

        Where the candidate calls it the client's error and the control answers, it was the candidate's.
        """
        status = failed.given.status
        if status >= 500:
            traffic.count(failed.serving, status, failed.given.seconds, 0, keyed=failed.keyed)
        control = serving_of(target)
        given = await self.given(control, asked, self._seconds_max, look=False)
        if status < 500:
            status = 500 if given.status < 400 else status
            traffic.count(failed.serving, status, failed.given.seconds, 0, keyed=failed.keyed)
        return _response(target, control, given)

    async def given(
        self, serving: Serving, asked: V2Request, seconds_max: float, *, look: bool, counted: bool = True
    ) -> Given:
        """See ``Answerer.given``."""
        started = time.perf_counter()
        order, status = serving.order, 503
        if counted:
            self.series.begun()
        try:
            channel = self._engine.channel(order.place)
            part = channel.part(asked.part)
            if part is None:
                status = 404
                return Given(404, parts=tuple(channel.parts))
            answer = await channel.infer(part, asked.body, asked.json_size_bytes, timeout=seconds_max, look=look)
            status, json_size_bytes, body, seen = answer
            return Given(status, body, json_size_bytes, time.perf_counter() - started, seen)
        except TimeoutError:
            status = 504
            if channel.silent_seconds() >= min(self._seconds_max, HANGS_TIMES * seconds_max):
                log.error("worker answers nothing any more, replaced", model=order.place, version=order.version)
                await channel.kill()
            return Given(504, error=f"no answer within {seconds_max:g} s", seconds=time.perf_counter() - started)
        except WorkerGone as error:
            return Given(503, error=str(error), seconds=time.perf_counter() - started)
        finally:
            if counted:
                self.series.ended(order.model, order.version, status, time.perf_counter() - started)


def _response(target: PathTarget, serving: Serving, given: Given) -> web.Response:
    if given.parts is not None:
        return _error(404, no_such_part(target, given.parts), serving.headers)
    if given.error:
        again = {"Retry-After": "1"} if given.status == 503 else {}
        return _error(given.status, given.error, {**serving.headers, **again})
    headers = serving.answer_headers.copy()
    if given.json_size_bytes != ALL_JSON:
        headers["Content-Type"] = "application/octet-stream"
        headers[JSON_SIZE_HEADER] = str(given.json_size_bytes)
    return web.Response(status=given.status, body=given.body, headers=headers)


def no_such_part(target: PathTarget, parts: Iterable[str]) -> str:
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
