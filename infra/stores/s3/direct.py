"""Requests past boto3: its signature, but ``http.client`` moves the bytes over kept-alive connections.

Less than half the CPU of a boto3 call for a small object, and ``readinto`` for large ones. It serves the plain cases
only; the caller asks boto3 (retries, redirects, proxies) about everything else.
"""

import http.client
import select
import ssl
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.httpsession import create_urllib3_context, get_cert_path

from modelcast.infra.forks import renew_in_children
from modelcast.infra.stores.s3.clients import (
    BULK_READ_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    POOL_CONNECTIONS,
    READ_TIMEOUT_SECONDS,
)
from modelcast.infra.stores.s3.errors import CERTIFICATES_HINT
from modelcast.infra.threads import is_ending
from modelcast.schemas.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_ERRORS = (OSError, http.client.HTTPException)


class DirectRequests:
    """Signed requests about the objects of one bucket.

    Args:
        base_url: what the URLs of the bucket's objects begin with.
        region: the signing region.
        pool: whose connections are used.
    """

    def __init__(self, base_url: str, region: str, credentials: Credentials, pool: "ConnectionPool") -> None:
        self._base_url = base_url
        self._region = region
        self._credentials = credentials
        self._pool = pool

    @classmethod
    def learned_from(cls, client: "S3Client", credentials: Credentials | None, bucket: str) -> "DirectRequests | None":
        """Ask boto3 where the bucket is, how its requests are signed and whose certificates are trusted.

        None: only boto3 knows how (a proxy, client certificates, signatures of another kind).

        Raises:
            StoreUnavailable: the file of trusted certificates can't be read.
        """
        url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "x"})
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        scope = query.get("X-Amz-Credential", [""])[0].split("/")
        plain = query.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"] and scope[3:] == ["s3", "aws4_request"]
        if not plain or credentials is None or (verify := _verify_of(client, url)) is None:
            return None
        try:
            pool = _pools.of(verify if parts.scheme == "https" else False)
        except OSError as error:  # boto3 could not read it either, and would not name it
            reason = f"the CA bundle {verify} can't be read: {error.strerror or error}"
            raise StoreUnavailable(reason, subject=f"s3://{bucket}", hint=CERTIFICATES_HINT) from error
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('x')}", scope[2], credentials, pool)

    def send(
        self, method: str, key: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Send one request.

        Raises:
            OSError, http.client.HTTPException: the link failed; whether the store acted is unknown.
        """
        request = AWSRequest(method=method, url=self._url(key), headers=dict(headers or {}), data=body)
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        return self._pool.request(method, self._url(key), dict(request.headers.items()), body)

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
        return self._pool.request("PUT", self._url(key), headers, body, patience_seconds=BULK_READ_TIMEOUT_SECONDS)

    def warm(self, connections: int) -> None:
        """Open connections beside the caller, until ``connections`` are idle."""
        self._pool.warm(self._base_url, connections)

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
    """Kept-alive connections, by scheme and host. Thread-safe; the newest idle one is used first.

    Args:
        verify: as botocore has it: a file of trusted certificates, True for its own, False to trust everyone.

    Raises:
        OSError: that file can't be read.
    """

    def __init__(self, verify: bool | str = True) -> None:
        self._verify = verify
        self._tls = _tls_context(verify)
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: closing a descriptor here leaves the parent's connection as it is."""
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._coming: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

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
            patience_seconds: for each read and each write.

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
            with suppress(*LINK_ERRORS):  # the next request connects anew, and raises the error
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
            connection = http.client.HTTPSConnection(netloc, timeout=CONNECT_TIMEOUT_SECONDS, context=self._tls)
        else:
            connection = http.client.HTTPConnection(netloc, timeout=CONNECT_TIMEOUT_SECONDS)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError:
            with suppress(OSError):
                self._tls = _tls_context(self._verify)  # the file may have been replaced
            raise
        return connection

    def _keep(self, where: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(where, [])
            if len(idle) < POOL_CONNECTIONS:
                idle.append(connection)
                return
        connection.close()


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    """Whether the store has not hung up. TLS 1.3 sends tickets that are not read yet: they are no sign of an end."""
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


class _Pools:
    """The pools of this process, one for each way to trust."""

    def __init__(self) -> None:
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``."""
        self._pools: dict[bool | str, ConnectionPool] = {}
        self._lock = threading.Lock()

    def of(self, verify: bool | str) -> ConnectionPool:
        with self._lock:
            if verify not in self._pools:
                self._pools[verify] = ConnectionPool(verify)
            return self._pools[verify]


_pools = _Pools()


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    """Of botocore's own making, so that both trust the same certificates."""
    context: ssl.SSLContext = create_urllib3_context()
    if verify:
        context.check_hostname = True
        context.load_verify_locations(cafile=get_cert_path(True) if verify is True else verify)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def _verify_of(client: "S3Client", url: str) -> bool | str | None:
    """What ``client`` trusts; None if it does not go to ``url`` by itself, or does not tell."""
    try:
        session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
        if session._proxy_config.proxy_url_for(url) or session._cert_file:
            return None
        verify = session._verify
    except AttributeError:
        return None
    return verify if isinstance(verify, bool | str) else True


def last_modified_us(header: str | None) -> int:
    """UTC microseconds of an HTTP date (whole seconds); 0 if there is none or it is not one."""
    try:
        return int(parsedate_to_datetime(header).timestamp()) * 1_000_000 if header else 0
    except ValueError:
        return 0
