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
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import get_cert_path

from modelcast.infra.stores.s3_clients import CONNECT_TIMEOUT_SECONDS, POOL_CONNECTIONS, READ_TIMEOUT_SECONDS

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
        url = self._base_url + quote(key, safe="/-_.~")
        request = AWSRequest(method=method, url=url, headers=dict(headers or {}), data=body)
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        return _pool.request(method, url, dict(request.headers.items()), body)


class ConnectionPool:
    """Kept-alive connections, by scheme and host. Thread-safe; the newest idle one is used first."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the connection is kept if the answer was read to its end.

        Raises:
            OSError, http.client.HTTPException: the link failed.
        """
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        connection = self._alive(where) or self._connect(where)
        try:
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

    def _alive(self, where: tuple[str, str]) -> http.client.HTTPConnection | None:
        """An idle connection that the store has not hung up on."""
        while True:
            with self._lock:
                idle = self._idle.get(where)
                if not idle:
                    return None
                connection = idle.pop()
            if not select.select([connection.sock], [], [], 0)[0]:
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
        connection.sock.settimeout(READ_TIMEOUT_SECONDS)
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


_pool = ConnectionPool()


def _behind_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def last_modified_us(header: str | None) -> int:
    """UTC microseconds of an HTTP date (whole seconds); 0 if there is none or it is not one."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) * 1_000_000 if header else 0
    except ValueError:
        return 0
