"""boto3 clients, made once per endpoint and shared: making one costs about 100 ms, and any thread may call it."""

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from modelcast.infra.forks import renew_in_children
from modelcast.infra.stores.s3.answers import check_headers
from modelcast.infra.stores.s3.credentials import RereadCredentials, RetryWithReplaced

if TYPE_CHECKING:
    from botocore.credentials import Credentials
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
    """Three clients of one endpoint, with the same credentials.

    ``plain`` retries; ``once`` never does, because a retried conditional put could lose against itself (it does send
    again what was refused for its keys); ``bulk`` retries and waits longer.

    Raises:
        NoCredentialsError: the standard chain finds none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        core = botocore.session.Session()
        core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
        if endpoint.access_key_id is None:
            found = RereadCredentials.read()
            if found is None:
                raise NoCredentialsError
            core.register_component("credential_provider", _Found(found))
            retry = RetryWithReplaced(found)
            core.register("before-sign.s3", retry.before_sign)
            core.register("needs-retry.s3", retry.needs_retry)
        core.register("before-parse.s3", check_headers)
        session = boto3.session.Session(
            aws_access_key_id=endpoint.access_key_id,
            aws_secret_access_key=endpoint.secret_access_key,
            botocore_session=core,
        )
        region = endpoint.region or session.region_name or "us-east-1"

        def client(attempts: int, read_timeout: int) -> "S3Client":
            config = _config(attempts, read_timeout)
            return session.client("s3", config=config, endpoint_url=endpoint.url, region_name=region)

        self.credentials: Credentials | None = session.get_credentials()
        self.plain = client(ATTEMPTS, READ_TIMEOUT_SECONDS)
        self.once = client(1, READ_TIMEOUT_SECONDS)
        self.bulk = client(ATTEMPTS, BULK_READ_TIMEOUT_SECONDS)


@lru_cache
def _loader(data_path: str | None) -> botocore.loaders.Loader:
    """Reads and keeps the description of S3's interface, which takes longer than all else about a client."""
    return botocore.loaders.create_loader(data_path)


@dataclass(frozen=True, slots=True)
class _Found:
    """Stands for botocore's chain of credential providers."""

    credentials: RereadCredentials

    def load_credentials(self) -> RereadCredentials:
        return self.credentials


def _config(attempts: int, read_timeout: int) -> Config:
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
    )


_OTHER_VARIABLES = ("REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HOME")


class _Shared:
    def __init__(self) -> None:
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: clients hold connections."""
        self._clients: dict[tuple[Endpoint, tuple[tuple[str, str], ...]], Clients] = {}
        self._lock = threading.Lock()

    def of(self, endpoint: Endpoint) -> Clients:
        key = (endpoint, tuple(sorted(filter(_matters, os.environ.items()))))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = Clients(endpoint)
            return self._clients[key]


_shared = _Shared()


def clients_of(endpoint: Endpoint) -> Clients:
    """The shared clients of an endpoint, made on first use and when a variable that boto3 reads has changed.

    Raises:
        NoCredentialsError: there are none; they may come later.
    """
    return _shared.of(endpoint)


def _matters(variable: tuple[str, str]) -> bool:
    name = variable[0].upper()
    return name.startswith("AWS_") or name in _OTHER_VARIABLES
