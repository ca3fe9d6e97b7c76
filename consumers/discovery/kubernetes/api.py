"""Talking to a Kubernetes API server: one kind of object, listed and watched, as its API conventions describe."""

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from modelcast.consumers.discovery.port import DiscoveryFailed

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
WATCH_SECONDS = 60
"""After so long the server ends a watch, which shows that it still has us."""
PAGE = 500
LINE_BYTES_MAX = 32 * 1024 * 1024
PAGE_BYTES_MAX = 64 * 1024 * 1024
"""Twice what 500 slices of 100 endpoints each take."""
_RBAC_HINT = "its account needs get, list and watch of endpointslices (discovery.k8s.io): infra/deploy/kubernetes"


class VersionGone(Exception):
    """The version that a watch should begin with is too old: list again."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How the API server is reached. Token and CA are read anew when they are replaced.

    Attributes:
        url: its base URL.
        token_file: the bearer token; where the file is absent, none is sent.
        ca_file: the CA that signed the server's certificate; None: the machine's.
    """

    url: str
    token_file: Path = ACCOUNT / "token"
    ca_file: Path | None = None


def in_cluster() -> ApiAccess:
    """The access that every pod of the cluster has.

    Raises:
        DiscoveryFailed: this is no pod of a cluster.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise DiscoveryFailed(
            "this process does not run in a Kubernetes cluster", hint="set api_url, token_file and ca_file of the fleet"
        )
    place = f"[{host}]" if ":" in host else host
    return ApiAccess(f"https://{place}:{port}", ACCOUNT / "token", ACCOUNT / "ca.crt")


def own_namespace() -> str:
    """The namespace of the pod that this process runs in.

    Raises:
        DiscoveryFailed: it is not known.
    """
    try:
        return (ACCOUNT / "namespace").read_text().strip()
    except OSError:
        raise DiscoveryFailed("the namespace is not known here", hint="set namespace of the fleet") from None


class ApiServer:
    """One API server. Close it with ``aclose``."""

    def __init__(self, access: ApiAccess) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self._context: tuple[object, ssl.SSLContext] | None = None

    async def list(self, path: str, selector: str) -> tuple[list[Mapping[str, Any]], str]:
        """All objects at ``path`` with the label ``selector``, as they are now, and the version to watch from.

        Raises:
            DiscoveryFailed: the server did not say.
        """
        items: list[Mapping[str, Any]] = []
        parameters = {"labelSelector": selector, "limit": str(PAGE)}
        for _ in range(2):
            items.clear()
            following = ""
            while True:
                page = parameters | ({"continue": following} if following else {})
                try:
                    answer = await self._get(path, page)
                except VersionGone:
                    break  # the list expired between two pages: once more from the start
                listed, meta = answer.get("items") or [], answer.get("metadata") or {}
                items += listed
                following = meta.get("continue") or ""
                if not following:
                    return items, str(meta.get("resourceVersion") or "")
        raise DiscoveryFailed("the list changes faster than it can be read", subject=self._access.url)

    async def watch(self, path: str, selector: str, version: str) -> AsyncIterator[Mapping[str, Any]]:
        """Events after ``version``, until the server ends the watch, which it may do at any time. First comes ``{}``:
        the server has accepted the watch.

        Raises:
            VersionGone: the version is too old.
            DiscoveryFailed: the server does not let us watch, or the connection broke.
        """
        parameters = {
            "labelSelector": selector,
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SECONDS + ANSWER_SECONDS
        )
        try:
            async with self._request(path, parameters, timeout) as response:
                if response.status != 200:
                    _refused(response.status, await self._bounded(response), self._access.url)
                yield {}
                line = bytearray()
                async for chunk in response.content.iter_any():  # readline() has a limit that a slice may pass
                    *whole, rest = (bytes(line) + chunk).split(b"\n") if b"\n" in chunk else (line + chunk,)
                    line = bytearray(rest)
                    if len(line) > LINE_BYTES_MAX:
                        raise DiscoveryFailed("an event is larger than 32 MiB", subject=self._access.url)
                    for each in whole:
                        if each.strip():
                            yield _parsed(each, self._access.url)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            async with self._request(path, parameters, timeout) as response:
                raw = await self._bounded(response)
                if response.status != 200:
                    _refused(response.status, raw, self._access.url)
                return _parsed(raw, self._access.url)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        raw = bytearray()
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > PAGE_BYTES_MAX:
                raise DiscoveryFailed("an answer is larger than 64 MiB", subject=self._access.url)
        return bytes(raw)

    def _request(self, path: str, parameters: Mapping[str, str], timeout: aiohttp.ClientTimeout) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)  # a few bytes may stand for gigabytes
        return self._session.get(
            self._access.url.rstrip("/") + path,
            params=parameters,
            headers=self._headers(),
            timeout=timeout,
            ssl=self._tls(),
            allow_redirects=False,  # the token is for this server alone
        )

    def _headers(self) -> dict[str, str]:
        try:
            token = self._access.token_file.read_text().strip()  # the kubelet replaces it every hour or so
        except FileNotFoundError:
            token = ""
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return plain | ({"Authorization": f"Bearer {token}"} if token else {})

    def _tls(self) -> ssl.SSLContext | bool:
        file = self._access.ca_file
        if file is None or not self._access.url.startswith("https:"):
            return True
        found = file.stat()
        stamp = (found.st_ino, found.st_mtime_ns)
        if self._context is None or self._context[0] != stamp:
            self._context = (stamp, ssl.create_default_context(cafile=str(file)))
        return self._context[1]

    def _unreachable(self, error: BaseException) -> DiscoveryFailed:
        return DiscoveryFailed(str(error) or type(error).__name__, subject=self._access.url)


def _refused(status: int, raw: bytes, url: str) -> None:
    """Raise ``VersionGone`` or ``DiscoveryFailed`` for an answer that is no success."""
    if status == 410:
        raise VersionGone
    try:
        message = orjson.loads(raw).get("message") or ""
    except (orjson.JSONDecodeError, AttributeError):
        message = ""
    hint = _RBAC_HINT if status in {401, 403} else ""
    raise DiscoveryFailed(f"HTTP {status}: {message}" if message else f"HTTP {status}", subject=url, hint=hint)


def _parsed(raw: bytes, url: str) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DiscoveryFailed(f"what answers is no API server: {error}", subject=url) from None
    if not isinstance(parsed, dict):
        raise DiscoveryFailed("what answers is no API server", subject=url)
    return parsed
