"""What botocore and S3 say when something is wrong, in Modelcast's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from modelcast.infra.stores.s3.answers import ForeignAnswer
from modelcast.infra.stores.s3.credentials import REFUSED_KEYS
from modelcast.schemas.errors import ContentError, ModelcastError, NotFound, Refused, StoreUnavailable
from modelcast.schemas.ports import PreconditionFailed

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role that may use the bucket"
_NO_KEYS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    ConfigParseError,
)
_NEW_KEYS = "put new keys where the old ones came from; a credentials file or profile is read again at the next request"
CERTIFICATES_HINT = "name the file of your company's CA in AWS_CA_BUNDLE, or as ca_bundle in the AWS profile"
_BETWEEN = "a proxy, cache or login page answers in the store's stead: log in, or name the store's host in NO_PROXY"
_TRANSIENT = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "BadDigest"}


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn what botocore raises inside into a ``ModelcastError`` about ``subject``."""
    try:
        yield
    except ClientError as error:
        raise of_client_error(error, subject) from error
    except ForeignAnswer as error:
        raise foreign(error, subject) from error
    except _NO_KEYS as error:
        raise Refused(str(error), subject=subject, hint=_CREDENTIALS) from error
    except SSLError as error:
        raise StoreUnavailable(f"store unreachable: {error}", subject=subject, hint=CERTIFICATES_HINT) from error
    except (HTTPClientError, BotoConnectionError, IncompleteReadError, ResponseParserError) as error:
        raise s3_unavailable(error, subject) from error
    except BotoCoreError as error:
        raise Refused(str(error), subject=subject, hint="check the store's url, endpoint_url and region") from error
    except OSError as error:
        raise s3_unavailable(error, subject) from error


def s3_unavailable(error: BaseException | str, subject: str) -> StoreUnavailable:
    """The store could not be reached, or the link broke."""
    return StoreUnavailable(f"store unreachable: {error}", subject=subject, hint="is the endpoint right and up?")


def foreign(error: ForeignAnswer, subject: str) -> StoreUnavailable:
    """Something between here and the store answered, or changed what it answered."""
    return StoreUnavailable(f"the store did not answer itself: {error}", subject=subject, hint=_BETWEEN)


def of_client_error(error: ClientError, subject: str) -> ModelcastError:
    """The meaning of an S3 error answer."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    answer = error.response.get("Error", {})
    return of_status(status, str(answer.get("Code", "")), str(answer.get("Message", "")), subject)


def of_status(status: int, code: str, message: str, subject: str) -> ModelcastError:
    """The meaning of an HTTP status with S3's error code."""
    text = f"{status} {code}: {message}".rstrip(": ")
    if status == 412:
        return PreconditionFailed("a conditional request lost", subject=subject)
    if status in {409, 429} or status >= 500 or code in _TRANSIENT:
        if code == "NotImplemented":
            return Refused(f"the store lacks something that is needed: {text}", subject=subject)
        return StoreUnavailable(f"the store answered {text}", subject=subject, hint="try again")
    if code == "NoSuchBucket":
        return StoreUnavailable("no such bucket", subject=subject, hint="create it, or correct the store's url")
    if status == 404:
        return NotFound("no such object", subject=subject)
    if status == 416 and code != "InvalidRange":
        return foreign(ForeignAnswer(f"it ignores or misreads Range: {text}"), subject)
    if status == 416:
        return ContentError("the object ends before the range that was asked for", subject=subject)
    if code == "RequestTimeTooSkewed":
        return Refused(text, subject=subject, hint="this machine's clock is wrong: run an NTP client")
    if code in REFUSED_KEYS:
        return Refused(f"the store denied access: {text}", subject=subject, hint=_NEW_KEYS)
    if status in {401, 403}:
        return Refused(f"the store denied access: {text}", subject=subject, hint=_CREDENTIALS)
    return Refused(f"the store answered {text}", subject=subject, hint="check the store's url, endpoint_url and region")
