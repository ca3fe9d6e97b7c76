"""boto3 clients, made once per endpoint and shared: making one costs about 100 ms, and any thread may call it."""

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from modelcast.infra.forks import renew_in_children

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 6  # × 3 attempts and what lies between: an unreachable store is known in under 30 s
BULK_READ_TIMEOUT_SECONDS = 60  # completing a large multipart upload is slow on some stores
ATTEMPTS = 3
POOL_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store is reached and with what credentials; None: boto3's standard chain (``AWS_*``, profiles, roles)."""

    url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, region={self.region!r})"


class Clients:
    """Three clients of one endpoint.

    ``plain`` retries; ``once`` never does, because a retried conditional put could lose against itself; ``bulk``
    retries and is patient.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        session = boto3.session.Session(
            aws_access_key_id=endpoint.access_key_id, aws_secret_access_key=endpoint.secret_access_key
        )
        kwargs: dict[str, Any] = {"endpoint_url": endpoint.url, "region_name": endpoint.region or session.region_name}
        if kwargs["region_name"] is None:
            kwargs["region_name"] = "us-east-1"

        def client(attempts: int, read_timeout: int) -> "S3Client":
            config = _config(attempts, read_timeout, path_style=bool(endpoint.url))
            made: S3Client = session.client("s3", config=config, **kwargs)
            return made

        self.credentials = session.get_credentials()
        self.plain = client(ATTEMPTS, READ_TIMEOUT_SECONDS)
        self.once = client(1, READ_TIMEOUT_SECONDS)
        self.bulk = client(ATTEMPTS, BULK_READ_TIMEOUT_SECONDS)


def _config(attempts: int, read_timeout: int, *, path_style: bool) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=POOL_CONNECTIONS,
        tcp_keepalive=True,
        parameter_validation=False,
        # Newer checksum trailers are unknown to many stores, and every byte is checked against the manifest anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "auto"},
    )


_ENVIRONMENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION")


class _Shared:
    def __init__(self) -> None:
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: clients hold connections."""
        self._clients: dict[tuple[Endpoint, tuple[str | None, ...]], Clients] = {}
        self._lock = threading.Lock()

    def of(self, endpoint: Endpoint) -> Clients:
        key = (endpoint, tuple(map(os.environ.get, _ENVIRONMENT)))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = Clients(endpoint)
            return self._clients[key]


_shared = _Shared()


def clients_of(endpoint: Endpoint) -> Clients:
    """The shared clients of an endpoint (and of the credentials that the environment has now), made on first use."""
    return _shared.of(endpoint)
