"""Asking a server on this machine by HTTP, with bounded answers."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from modelcast.consumers.pod_clients.port import PodUnreachable

ANSWER_BYTES_MAX = 4 * 1024 * 1024
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """``body`` is parsed JSON, or None; ``message`` is what the server said, for people."""

    status: int
    body: Any
    message: str


class ServerClient:
    """Asks one server. Call ``aclose`` at the end."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = headers or {}
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, *, body: object = None, seconds: float = READ_SECONDS) -> ServerAnswer:
        """One request. ``path`` begins with a slash, or is a whole URL. Raises ``PodUnreachable``."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, json_serialize=lambda value: orjson.dumps(value).decode()
            )
        url = path if "://" in path else self.url + path
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        try:
            async with self._session.request(
                method, url, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await response.content.read(ANSWER_BYTES_MAX)
                return _answer(response.status, raw)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise PodUnreachable(f"{method} {url}: {str(error) or type(error).__name__}", subject=self.url) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _answer(status: int, raw: bytes) -> ServerAnswer:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    said = (body.get("error") or body.get("detail")) if isinstance(body, dict) else None
    return ServerAnswer(status, body, str(said)[:1000] if said else f"HTTP {status}")
