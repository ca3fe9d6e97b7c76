"""Drives a pod over the Open Inference Protocol V2 with the model-repository extension.

A pod of ours (``run pod``, ``run companion``) signs every answer with its incarnation and names digest, generation and
epoch in headers. Any other server is driven only where the settings say so (``foreign``), for the files that it
loads are not checked. Requests hold what V2 knows and nothing else: it gets no parameters (Triton
refuses those that it does not know), its version is what V2's ``versions`` name of the *loaded* model and never what
the repository's index says (MLServer reads that from disk), and nothing that it answers to a load blames a version,
for it never proved that it had the bytes whole.
"""

from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp
import orjson

from modelcast.consumers.pod_clients.port import (
    LoadFailed,
    LoadOrder,
    PodReading,
    PodRefused,
    PodTraffic,
    PodUnreachable,
    Proof,
)
from modelcast.consumers.pod_clients.traffic import decode_pod_traffic
from modelcast.schemas.text.printable import bounded
from modelcast.schemas.traffic.table import TrafficTable, encode_table

ANSWER_BYTES_MAX = 4 * 1024 * 1024
DIGITS_MAX = 18
MESSAGE_CHARS_MAX = 2000
HINT_CHARS_MAX = 300
COMPANION_HINT = "run `modelcast run companion` beside the server: it places the files and loads them"
_NOTHING = (None, None, None, None)  # neither version nor digest, generation, epoch
_FOREIGN_KIND = "v2"
_ONE_VERSION = "what serves there holds one version of a model"
_PROOFS: dict[str, Proof] = {"bytes": "bytes", "memory": "memory", "disk": "disk"}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 3.0
    read: float = 5.0  # a read-back
    load: float = 330.0  # a little more than the pod allows itself


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]  # lower-case names
    body: Any  # parsed JSON, or None

    @property
    def ours(self) -> bool:
        """Whether a pod of ours has answered: it signs everything."""
        return "modelcast-incarnation" in self.headers

    @property
    def code(self) -> str:
        """The stable word of a refusal; only a pod of ours has one."""
        code = self.body.get("code") if self.ours and isinstance(self.body, dict) else None
        return code if isinstance(code, str) else ""

    @property
    def hint(self) -> str:
        """What a pod of ours says that a person can do; ""."""
        hint = self.body.get("hint") if self.ours and isinstance(self.body, dict) else None
        return bounded(hint, HINT_CHARS_MAX) if isinstance(hint, str) else ""

    @property
    def message(self) -> str:
        """The server's own words, or its status."""
        message = self.body.get("error") if isinstance(self.body, dict) else None
        return bounded(message, MESSAGE_CHARS_MAX) if isinstance(message, str) and message else f"HTTP {self.status}"


class V2Pod:
    """One pod at ``url``. Connections are reused; close with ``aclose``."""

    def __init__(
        self, name: str, url: str, token: str, timeouts: Timeouts | None = None, *, foreign: bool = False
    ) -> None:
        self._name = name
        self._foreign = foreign
        self._url = url.rstrip("/")
        self._token = token
        self._timeouts = timeouts or Timeouts()
        self._session: aiohttp.ClientSession | None = None
        self._ours: bool | None = None  # as the latest answer said; None: it was not asked yet
        self._lanes = False  # whether it can hold a candidate, as the latest answer said
        self._closed = False

    @property
    def name(self) -> str:
        """Its name in the settings."""
        return self._name

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self._url

    async def load(self, order: LoadOrder) -> None:
        """See ``Pod.load``."""
        parameters: dict[str, object] = {
            "modelcast_version": order.version,
            "modelcast_digest": order.manifest_digest,
            "modelcast_generation": order.generation,
            "modelcast_epoch": order.epoch,
            "modelcast_reload": order.reload,
            "modelcast_registry": order.registry_id,
            **({"modelcast_lane": order.lane} if order.lane else {}),
        }
        await self._order(order.model, "load", parameters, subject=f"{order.model}/{order.version} on {self._name}")

    async def unload(self, model: str, *, epoch: int, generation: int, lane: str = "") -> None:
        """See ``Pod.unload``."""
        parameters: dict[str, object] = {"modelcast_epoch": epoch, "modelcast_generation": generation}
        if lane:
            parameters["modelcast_lane"] = lane
        await self._order(model, "unload", parameters, subject=f"{model} on {self._name}")

    async def read(self, model: str, lane: str = "") -> PodReading:
        """See ``Pod.read``."""
        path = f"/v2/models/{quote(model, safe='')}" + (f"/lanes/{lane}" if lane else "")
        answer = await self._ask("GET", path, self._timeouts.read)
        # 503: the pod knows the model and can't serve it now (its worker died). 4xx: the model is not loaded
        # (Triton says 400). Any other server error says nothing about the model.
        if answer.status != 503 and answer.status >= 500:
            raise PodUnreachable(answer.message, subject=self._name)
        if answer.ours:
            return self._of_ours(answer)
        if not self._foreign:
            return PodReading(self._name, False, "", None, None, None, None, proof="disk")  # a load says why
        if answer.status != 200:
            ready = answer.status < 500
            return PodReading(self._name, ready, "", *_NOTHING, proof="memory", gapless=False, kind=_FOREIGN_KIND)
        # By model: a server's own readiness counts models that others failed to load (Triton), or none (MLServer).
        health = await self._ask("GET", f"{path}/ready", self._timeouts.read)
        ready = health.status == 200 and not (isinstance(health.body, dict) and health.body.get("ready") is False)
        version = _version(answer.body)
        return PodReading(
            self._name, ready, "", version, None, None, None, proof="memory", gapless=False, kind=_FOREIGN_KIND
        )

    def _of_ours(self, answer: _Answer) -> PodReading:
        headers = answer.headers
        ready, incarnation = headers.get("modelcast-ready") == "true", headers["modelcast-incarnation"]
        gapless, kind = headers.get("modelcast-gapless") == "true", headers.get("modelcast-kind", "")
        lanes = headers.get("modelcast-lanes") == "true"
        if answer.status != 200:
            ready = ready and answer.status < 500
            return PodReading(self._name, ready, incarnation, *_NOTHING, gapless=gapless, kind=kind, lanes=lanes)
        return PodReading(
            pod=self._name,
            ready=ready,
            incarnation=incarnation,
            version=_number(headers.get("modelcast-version")),
            manifest_digest=headers.get("modelcast-digest"),
            generation=_number(headers.get("modelcast-generation")),
            epoch=_number(headers.get("modelcast-epoch")),
            registry_id=headers.get("modelcast-registry"),
            proof=_PROOFS.get(headers.get("modelcast-proof", "bytes"), "disk"),
            gapless=gapless,
            kind=kind,
            lanes=lanes,
        )

    async def apply_traffic(self, table: TrafficTable) -> None:
        """See ``Pod.apply_traffic``."""
        subject = f"{table.model} on {self._name}"
        if self._ours is None:
            await self._ask("GET", "/v2", self._timeouts.read)
        if not self._lanes:
            raise LoadFailed(f"{_ONE_VERSION}: nothing can be divided", code="unsupported", subject=subject)
        path = f"/v2/models/{quote(table.model, safe='')}/traffic"
        answer = await self._ask("POST", path, self._timeouts.read, raw=encode_table(table))
        if answer.status >= 300:
            _refused_by_ours(answer, subject)

    async def read_traffic(self, model: str) -> PodTraffic:
        """See ``Pod.read_traffic``."""
        answer = await self._ask("GET", f"/v2/models/{quote(model, safe='')}/traffic", self._timeouts.read)
        if answer.status != 200 or not answer.ours:
            raise PodUnreachable(f"it has no counts: {answer.message}", subject=self._name)
        return decode_pod_traffic(answer.body, self._name)

    async def aclose(self) -> None:
        """Close the connections, for good: a call that is under way ends as if the pod did not answer."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _order(self, model: str, verb: str, parameters: dict[str, object], *, subject: str) -> None:
        if self._ours is None:
            await self._ask("GET", "/v2", self._timeouts.read)
        if not self._ours and not self._foreign:
            raise LoadFailed(
                "what answers there is no pod of Modelcast", code="unsupported", subject=subject, hint=COMPANION_HINT
            )
        if "modelcast_lane" in parameters and not self._lanes:
            if verb == "unload":
                return
            raise LoadFailed(f"{_ONE_VERSION}, and no candidate", code="unsupported", subject=subject)
        path = f"/v2/repository/models/{quote(model, safe='')}/{verb}"
        body = {"parameters": parameters} if self._ours else {}
        answer = await self._ask("POST", path, self._timeouts.load, body=body)
        if answer.status < 300:
            return
        if answer.ours:
            _refused_by_ours(answer, subject)
        _refused_by_another(answer, subject)

    async def _ask(
        self, method: str, path: str, seconds: float, *, body: object = None, raw: bytes | None = None
    ) -> _Answer:
        if self._closed:
            raise PodUnreachable("it has left the region", subject=self._name)
        if self._session is None:
            # A pod that restarted has closed the connections that we keep; aiohttp retries idempotent requests.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=30.0),
                # No compression: a few bytes may stand for gigabytes. No cookies: nothing that it sends is kept.
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"},
                json_serialize=lambda value: orjson.dumps(value).decode(),
            )
        timeout = aiohttp.ClientTimeout(total=seconds, connect=self._timeouts.connect)
        try:
            async with self._session.request(
                method, self._url + path, json=body, data=raw, timeout=timeout, allow_redirects=False
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                answer = _Answer(response.status, headers, _parsed(await _bounded(response)))
                self._ours, self._lanes = answer.ours, answer.headers.get("modelcast-lanes") == "true"
                return answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = bounded(str(error), MESSAGE_CHARS_MAX) or type(error).__name__
            raise PodUnreachable(f"{method} {path}: {message}", subject=self._name) from None


def _refused_by_ours(answer: _Answer, subject: str) -> NoReturn:
    """What a pod of ours says to an order that it did not carry out."""
    status, code, message, hint = answer.status, answer.code, answer.message, answer.hint
    if code in {"draining", "busy"} or (not code and status in {429, 502, 503, 504}):
        raise PodUnreachable(message, subject=subject)
    if status in {401, 403}:
        raise PodRefused(message, code=code or "unauthorized", subject=subject, hint=hint)
    if status == 409:
        raise PodRefused(message, code=code or "conflict", subject=subject, hint=hint)
    if not code and status < 500:
        raise PodRefused(message, code="request_refused", subject=subject, hint="are both of the same release?")
    raise LoadFailed(message, code=code or "server_failed", subject=subject, hint=hint)


def _refused_by_another(answer: _Answer, subject: str) -> NoReturn:
    """What any other server says to a load. None of its answers blames the version."""
    status, message = answer.status, answer.message
    if status in {429, 502, 504}:
        raise PodUnreachable(message, subject=subject)
    if status in {401, 403}:
        raise PodRefused(message, code="unauthorized", subject=subject)
    if status == 404:
        raise LoadFailed(message, code="not_delivered", subject=subject, hint=COMPANION_HINT)
    if status in {405, 501} or status < 400:
        message = f"{message}: it has no model-repository extension of V2"
        raise LoadFailed(message, code="unsupported", subject=subject, hint=COMPANION_HINT)
    code = "request_refused" if status < 500 else "server_failed"
    raise LoadFailed(message, code=code, subject=subject, hint=COMPANION_HINT)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(raw)


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _number(text: str | None) -> int | None:
    """A count; None also for one that no record or order can hold: a strange server must not silence its region."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= DIGITS_MAX else None


def _version(body: Any) -> int | None:
    """The version that a server of another kind serves: the highest number among those that it has loaded."""
    versions = body.get("versions") if isinstance(body, dict) else None
    numbers = [_number(str(v)) for v in versions] if isinstance(versions, list) else []
    return max((n for n in numbers if n is not None), default=None)
