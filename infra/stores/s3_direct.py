"""Requests past boto3: its signature, but ``http.client`` moves the bytes over kept-alive connections.

Less than half the CPU of a boto3 call for a small object, and ``readinto`` for large ones. It serves the plain cases
only; the caller asks boto3 (retries, redirects, proxies) about everything else.
"""

import http.client
import os
import select
import ssl
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.httpsession import get_cert_path

from modelcast.infra.forks import renew_in_children
from modelcast.infra.stores.s3_clients import (
    BULK_READ_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    POOL_CONNECTIONS,
    READ_TIMEOUT_SECONDS,
)
from modelcast.infra.threads import is_ending

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_ERRORS = (OSError, http.client.HTTPException)


class DirectRequests:
    """Signed requests about the objects of one bucket."""

    def __init__(self, base_url: str, region: str, credentials: Credentials) -> None:
        self._base_url = base_url
        self._region = region
        self._credentials = credentials

    @classmethod
    def learned_from(cls, client: "S3Client", credentials: Credentials | None, bucket: str) -> "DirectRequests | None":
        """Ask boto3 where the bucket is and how its requests are signed; None where only boto3 knows how."""
        url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "x"})
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        scope = query.get("X-Amz-Credential", [""])[0].split("/")
        plain = query.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"] and scope[3:] == ["s3", "aws4_request"]
        if not plain or credentials is None or _behind_proxy(parts.scheme, parts.hostname or ""):
            return None
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('x')}", scope[2], credentials)

    def send(
        self, method: str, key: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Send one request.

        Raises:
            OSError, http.client.HTTPException: the link failed; whether the store acted is unknown.
        """
        request = AWSRequest(method=method, url=self._url(key), headers=dict(headers or {}), data=body)
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        return _pool.request(method, self._url(key), dict(request.headers.items()), body)

    def put_stream(
        self, key: str, body: Iterable[bytes], *, size_bytes: int, sha256: str
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Put what ``body`` yields. What it raises ends the connection: a body that is not whole makes no object.

        Args:
            size_bytes: of all of it.
            sha256: of all of it, in hex. It is signed, so that a store that looks at it takes no other bytes.

        Raises:
            OSError, http.client.HTTPException: the link failed; whether the store acted is unknown.
        """
        request = AWSRequest(method="PUT", url=self._url(key), headers={"Content-Length": str(size_bytes)})
        _KnownPayload(self._credentials.get_frozen_credentials(), self._region, sha256).add_auth(request)
        headers = dict(request.headers.items())
        return _pool.request("PUT", self._url(key), headers, body, patience_seconds=BULK_READ_TIMEOUT_SECONDS)

    def warm(self, connections: int) -> None:
        """Have so many connections soon; nobody waits for them."""
        _pool.warm(self._base_url, connections)

    def _url(self, key: str) -> str:
        return self._base_url + quote(key, safe="/-_.~")


class _KnownPayload(S3SigV4Auth):
    """Signs for a body whose digest is known before its bytes are."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, sha256: str) -> None:
        super().__init__(credentials, "s3", region)
        self._sha256 = sha256

    def payload(self, request: AWSRequest) -> str:
        return self._sha256


class ConnectionPool:
    """Kept-alive connections, by scheme and host. Thread-safe; the newest idle one is used first."""

    def __init__(self) -> None:
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: closing a descriptor here leaves the parent's connection as it is."""
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._coming: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes],
        *,
        patience_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the connection is kept if the answer was read to its end.

        Args:
            patience_seconds: for each word of the store, and each that it takes.

        Raises:
            OSError, http.client.HTTPException: the link failed.
        """
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        connection = self._alive(where) or self._connect(where)
        try:
            connection.sock.settimeout(patience_seconds)
            connection.request(method, parts.path, body=body or None, headers=dict(headers))
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        try:
            yield response
        finally:
            if response.length == 0:
                response.read()  # an empty body counts as read
            if response.isclosed() and connection.sock is not None:
                self._keep(where, connection)
            else:
                response.close()
                connection.close()

    def warm(self, url: str, count: int) -> None:
        """Open connections, beside the caller, until so many are idle: to connect costs at least a round trip."""
        if is_ending():
            return
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        with self._lock:
            idle = self._idle.pop(where, [])
            self._idle[where] = [connection for connection in idle if _is_alive(connection)]
            for connection in idle:
                if connection not in self._idle[where]:
                    connection.close()
            lacking = min(count, POOL_CONNECTIONS) - len(self._idle.get(where, ())) - self._coming[where]
            self._coming[where] += max(lacking, 0)
        for _ in range(lacking):
            threading.Thread(target=self._open_idle, args=(where,), name="connect", daemon=True).start()

    def _open_idle(self, where: tuple[str, str]) -> None:
        try:
            with suppress(*LINK_ERRORS):  # whoever needs it connects anew, and hears of the error then
                self._keep(where, self._connect(where))
        finally:
            with self._lock:
                self._coming[where] -= 1

    def _alive(self, where: tuple[str, str]) -> http.client.HTTPConnection | None:
        """An idle connection that the store has not hung up on."""
        while True:
            with self._lock:
                idle = self._idle.get(where)
                if not idle:
                    return None
                connection = idle.pop()
            if _is_alive(connection):
                return connection
            connection.close()

    def _connect(self, where: tuple[str, str]) -> http.client.HTTPConnection:
        scheme, netloc = where
        connection: http.client.HTTPConnection
        if scheme == "https":
            connection = http.client.HTTPSConnection(netloc, timeout=CONNECT_TIMEOUT_SECONDS, context=self._context())
        else:
            connection = http.client.HTTPConnection(netloc, timeout=CONNECT_TIMEOUT_SECONDS)
        connection.connect()
        return connection

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                cafile = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)
                self._tls = ssl.create_default_context(cafile=cafile)
            return self._tls

    def _keep(self, where: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(where, [])
            if len(idle) < POOL_CONNECTIONS:
                idle.append(connection)
                return
        connection.close()


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    """Whether the store has not hung up. TLS 1.3 sends tickets that nobody has read yet: they are no sign of an end."""
    poll = select.poll()  # select() knows no descriptors above 1023
    poll.register(connection.sock, select.POLLIN)
    if not poll.poll(0):
        return True
    if not isinstance(connection.sock, ssl.SSLSocket):
        return False
    connection.sock.settimeout(0)
    try:
        connection.sock.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        pass
    return False


_pool = ConnectionPool()


def _behind_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def last_modified_us(header: str | None) -> int:
    """UTC microseconds of an HTTP date (whole seconds); 0 if there is none or it is not one."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) * 1_000_000 if header else 0
    except ValueError:
        return 0
