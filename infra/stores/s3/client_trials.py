"""The ways to a store, tried one by one: boto3's, our own past it, and the other way to name a bucket in URLs."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from botocore.config import Config

from modelcast.infra.stores.s3.clients import Clients
from modelcast.infra.stores.s3.direct import LINK_ERRORS, DirectRequests
from modelcast.infra.stores.s3.errors import CERTIFICATES_HINT, s3_unavailable, translated
from modelcast.infra.stores.s3.store import S3Store
from modelcast.schemas.errors import ModelcastError, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BOTO3, OWN = "boto3", "our own client"
NOTHING = "checks/nothing"


@dataclass(frozen=True, slots=True)
class ClientAnswers:
    """What came of trying.

    Attributes:
        answers: by client; None: the store answered.
        host: which the URLs of the bucket name.
        other_style: "path" or "virtual", if the store answered only when the bucket was named that way; else "".
    """

    answers: Mapping[str, ModelcastError | None]
    host: str
    other_style: str = ""


def try_clients(store: S3Store) -> ClientAnswers:
    """Ask the store for what changes nothing, by every client.

    Raises:
        ModelcastError: there are no credentials, or the CA bundle can't be read.
    """
    clients, direct, bucket = store.both_clients()
    url = clients.plain.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "x"})
    host = urlsplit(url).netloc
    answers: dict[str, ModelcastError | None] = {BOTO3: _listed(clients.plain, bucket, store.name)}
    if direct is not None:
        answers[OWN] = _sent(direct, store.name)
    style: Literal["path", "virtual"] = "path" if host.startswith(f"{bucket}.") else "virtual"
    other = any(answers.values()) and _listed(_styled(clients, style), bucket, store.name) is None
    return ClientAnswers(answers, host, style if other else "")


def _listed(client: "S3Client", bucket: str, subject: str) -> ModelcastError | None:
    try:
        with translated(subject):
            client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ModelcastError as error:
        return error
    return None


def _sent(direct: DirectRequests, subject: str) -> ModelcastError | None:
    try:
        with direct.send("HEAD", NOTHING) as response:
            response.read()
    except ssl.SSLCertVerificationError as error:
        return StoreUnavailable(f"store unreachable: {error}", subject=subject, hint=CERTIFICATES_HINT)
    except LINK_ERRORS as error:
        return s3_unavailable(error, subject)
    return None


def _styled(clients: Clients, style: Literal["path", "virtual"]) -> "S3Client":
    """A client like ``clients.plain`` that names the bucket in the other way, and gives up soon."""
    import boto3

    plain: Any = clients.plain
    keys = clients.credentials.get_frozen_credentials() if clients.credentials else None
    config = plain.meta.config.merge(
        Config(s3={"addressing_style": style}, connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 1})
    )
    return boto3.session.Session().client(
        "s3",
        config=config,
        endpoint_url=plain.meta.endpoint_url,
        region_name=plain.meta.region_name,
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        aws_session_token=keys.token if keys else None,
    )
