"""Asking a server on this machine by HTTP, with bounded answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from modelcast.consumers.pod_clients.port import PodUnreachable
from modelcast.schemas.text.printable import bounded

ANSWER_BYTES_MAX = 4 * 1024 * 1024
CONNECT_SECONDS = 3.0
READ_SECONDS = 4.0  # less than a region waits for a reading: it learns that the server is silent, not the companion
MESSAGE_CHARS_MAX = 1000
_SAID = ("error", "detail", "message")
"""Where servers put their words."""
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """``body`` is parsed JSON, or None; ``message`` is what the server said, for people."""

    status: int
    body: Any
    message: str


class ServerClient:
    """Asks one server. Call ``aclose`` at the end."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, *, body: object = None, seconds: float = READ_SECONDS) -> ServerAnswer:
        """One request, with JSON if ``body`` is not None. ``path`` begins with a slash. Raises ``PodUnreachable``."""
        raw = orjson.dumps(body) if body is not None else b""
        return await self.send(method, self.url + path, {}, raw, seconds=seconds)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float = READ_SECONDS
    ) -> ServerAnswer:
        """One request; its body is JSON unless a header says what else. Raises ``PodUnreachable``."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={**self._headers, "Accept-Encoding": "identity"},
                auto_decompress=False,  # a few bytes may stand for gigabytes
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        given = {name.lower(): value for name, value in headers.items()}
        try:
            async with self._session.request(
                method, url, data=body or None, headers={**(_JSON if body else {}), **given}, timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                return _answer(response.status, await _bounded(response))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = bounded(_what_failed(error, seconds), MESSAGE_CHARS_MAX)
            raise PodUnreachable(f"{method} {url}: {message}", subject=self.url) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _what_failed(error: Exception, seconds: float) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection in {min(CONNECT_SECONDS, seconds):g} s"
        case TimeoutError():
            return f"no answer in {seconds:g} s"
        case aiohttp.ClientResponseError():  # its own words show the bytes
            return "what answers does not speak HTTP"
        case aiohttp.ClientConnectorError(os_error=cause) if not isinstance(error, aiohttp.ClientSSLError):
            number = cause.errno or 0  # negative: of a name that is not known
            return (os.strerror(number) if number > 0 else cause.strerror) or str(error)
        case _:
            return str(error) or type(error).__name__


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(raw)


def _answer(status: int, raw: bytes) -> ServerAnswer:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    message = next((body[name] for name in _SAID if body.get(name)), None) if isinstance(body, dict) else None
    if isinstance(message, dict):  # as OpenAI's API has it
        message = message.get("message")
    return ServerAnswer(status, body, bounded(str(message), MESSAGE_CHARS_MAX) if message else f"HTTP {status}")
