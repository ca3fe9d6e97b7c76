"""Drives a pod over the Open Inference Protocol V2 with the model-repository extension.

Our own pod adds headers that name digest, generation, epoch and incarnation. A server without them can still be
loaded and read: its version comes from V2's ``versions``, or where that is empty (MLServer) from the repository's
index, and what it doesn't say is None.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodReading, PodRefused, PodUnreachable

ANSWER_BYTES_MAX = 4 * 1024 * 1024
DIGITS_MAX = 18
_REFUSED = {401: "unauthorized", 403: "unauthorized", 409: "conflict"}


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


class V2Pod:
    """One pod at ``url``. Connections are reused; close with ``aclose``."""

    def __init__(self, name: str, url: str, token: str, timeouts: Timeouts | None = None) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._token = token
        self._timeouts = timeouts or Timeouts()
        self._session: aiohttp.ClientSession | None = None

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
        parameters = {
            "modelcast_version": order.version,
            "modelcast_digest": order.manifest_digest,
            "modelcast_generation": order.generation,
            "modelcast_epoch": order.epoch,
            "modelcast_reload": order.reload,
            "modelcast_registry": order.registry_id,
        }
        await self._order(order.model, "load", parameters, subject=f"{order.model}/{order.version} on {self._name}")

    async def unload(self, model: str, *, epoch: int, generation: int) -> None:
        """See ``Pod.unload``."""
        parameters: dict[str, object] = {"modelcast_epoch": epoch, "modelcast_generation": generation}
        await self._order(model, "unload", parameters, subject=f"{model} on {self._name}")

    async def read(self, model: str) -> PodReading:
        """See ``Pod.read``."""
        answer = await self._ask("GET", f"/v2/models/{quote(model, safe='')}", self._timeouts.read)
        headers = answer.headers
        if (said := headers.get("modelcast-ready")) is not None:
            ready = said == "true"
        else:
            health = await self._ask("GET", "/v2/health/ready", self._timeouts.read)
            ready = health.status == 200 and not (isinstance(health.body, dict) and health.body.get("ready") is False)
        incarnation = headers.get("modelcast-incarnation", "")
        if answer.status == 200:
            version = _version(headers, answer.body)
            if version is None and "modelcast-version" not in headers:
                version = await self._indexed(model)
            return PodReading(
                pod=self._name,
                ready=ready,
                incarnation=incarnation,
                version=version,
                manifest_digest=headers.get("modelcast-digest"),
                generation=_number(headers.get("modelcast-generation")),
                epoch=_number(headers.get("modelcast-epoch")),
                registry_id=headers.get("modelcast-registry"),
            )
        # 503: the pod knows the model and can't serve it now (its worker died). 4xx: the model is not loaded
        # (Triton says 400). Any other server error says nothing about the model.
        if answer.status != 503 and answer.status >= 500:
            raise PodUnreachable(_message(answer), subject=self._name)
        return PodReading(self._name, ready and answer.status < 500, incarnation, None, None, None, None)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _indexed(self, model: str) -> int | None:
        """The highest version of a model that the repository's index calls ready."""
        answer = await self._ask("POST", "/v2/repository/index", self._timeouts.read, body={"ready": True})
        rows = answer.body if answer.status == 200 and isinstance(answer.body, list) else []
        mine = [r for r in rows if isinstance(r, dict) and r.get("name") == model and r.get("state") == "READY"]
        numbers = [_number(str(r.get("version", ""))) for r in mine]
        return max((n for n in numbers if n is not None), default=None)

    async def _order(self, model: str, verb: str, parameters: dict[str, object], *, subject: str) -> None:
        path = f"/v2/repository/models/{quote(model, safe='')}/{verb}"
        answer = await self._ask("POST", path, self._timeouts.load, body={"parameters": parameters})
        if answer.status < 300:
            return
        code = answer.body.get("code") if isinstance(answer.body, dict) else None
        code = code if isinstance(code, str) else ""
        message = _message(answer)
        if code in {"draining", "busy"} or (not code and answer.status in {429, 502, 503, 504}):
            raise PodUnreachable(message, subject=subject)
        if answer.status in _REFUSED:
            raise PodRefused(message, code=code or _REFUSED[answer.status], subject=subject)
        raise LoadFailed(message, code=code or "load_failed", subject=subject)

    async def _ask(self, method: str, path: str, seconds: float, *, body: object = None) -> _Answer:
        if self._session is None:
            # A pod that restarted has closed the connections that we keep; aiohttp retries idempotent requests.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=30.0),
                headers={"Authorization": f"Bearer {self._token}"},
                json_serialize=lambda value: orjson.dumps(value).decode(),
            )
        timeout = aiohttp.ClientTimeout(total=seconds, connect=self._timeouts.connect)
        try:
            async with self._session.request(
                method, self._url + path, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await _bounded(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return _Answer(response.status, headers, _parsed(raw))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise PodUnreachable(f"{method} {path}: {said}", subject=self._name) from None


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


def _message(answer: _Answer) -> str:
    said = answer.body.get("error") if isinstance(answer.body, dict) else None
    return f"{said}" if isinstance(said, str) and said else f"HTTP {answer.status}"


def _number(text: str | None) -> int | None:
    """A count; None also for one that no record or order can hold: a strange server must not silence its region."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= DIGITS_MAX else None


def _version(headers: dict[str, str], body: Any) -> int | None:
    """The version served: our header, or the highest number in V2's ``versions``."""
    if "modelcast-version" in headers:
        return _number(headers["modelcast-version"])
    versions = body.get("versions") if isinstance(body, dict) else None
    numbers = [_number(str(v)) for v in versions] if isinstance(versions, list) else []
    return max((n for n in numbers if n is not None), default=None)
