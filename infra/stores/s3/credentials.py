"""Credentials that are read again when a store refuses them: files with keys are replaced while a daemon runs."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

REFUSED_KEYS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""S3's error codes for keys that are no longer (or not yet) good."""
REFUSALS = frozenset({400, 401, 403})
"""Statuses under which stores report them; an answer to HEAD has nothing else."""
READ_AGAIN_SECONDS = 5.0
"""Between two readings while no file has changed: a reading may ask a metadata service or start a program."""

_FILES = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
Stamp = tuple[tuple[int, int, int], ...]


class RereadCredentials:
    """What boto3's standard chain finds, and finds again after a refusal. Thread-safe.

    Stands for a botocore ``Credentials`` in a session; refreshing before expiry (roles, SSO, metadata services) stays
    with the object that the chain made.
    """

    def __init__(self, found: Credentials, stamp: Stamp) -> None:
        self._found, self._stamp, self._read_at = found, stamp, time.monotonic()
        self._lock = threading.Lock()

    @classmethod
    def read(cls) -> "RereadCredentials | None":
        """What the chain finds now; None if nothing."""
        stamp = _stamp()
        found = Session().get_credentials()
        return cls(found, stamp) if found else None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys to sign with now."""
        return self._found.get_frozen_credentials()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def replaced(self, refused: ReadOnlyCredentials, code: str) -> bool:
        """Whether there are other keys than those that were ``refused``; looks for new ones if need be.

        Args:
            code: S3's error code. "AccessDenied" and the like are about rights, so only a changed file is read again.
        """
        with self._lock:
            if self._found.get_frozen_credentials() != refused:
                return True  # another thread found them
            stamp, now = _stamp(), time.monotonic()
            waited = code in REFUSED_KEYS and now - self._read_at >= READ_AGAIN_SECONDS
            if stamp == self._stamp and not waited:
                return False
            self._stamp, self._read_at = stamp, now
            try:
                found = Session().get_credentials()
                if found is None or found.get_frozen_credentials() == refused:
                    return False
            except BotoCoreError:  # a file that is half written: the refusal stands, and the next one looks again
                return False
            self._found = found
            return True


class RetryWithReplaced:
    """Handlers of botocore's events: a request whose keys were refused is sent once more if there are others."""

    _SIGNED_WITH, _RETRIED = "modelcast_signed_with", "modelcast_retried"

    def __init__(self, credentials: RereadCredentials) -> None:
        self._credentials = credentials

    def before_sign(self, **event: Any) -> None:
        """Note with what the request is about to be signed (``before-sign.s3``)."""
        event["request"].context[self._SIGNED_WITH] = self._credentials.get_frozen_credentials()

    def needs_retry(self, **event: Any) -> Any:
        """Seconds until the request is sent again, or None (``needs-retry.s3``)."""
        context, response = event["request_dict"]["context"], event["response"]
        if response is None or response[0].status_code not in REFUSALS or self._RETRIED in context:
            return None
        code = response[1].get("Error", {}).get("Code", "")
        signed_with = context.get(self._SIGNED_WITH)
        if signed_with is None or not self._credentials.replaced(signed_with, code):
            return None
        context[self._RETRIED] = True
        return 0.0


def _stamp() -> Stamp:
    """Changes when a file of AWS's configuration does."""
    found: list[tuple[int, int, int]] = []
    for variable, usual in _FILES:
        try:
            state = Path(os.environ.get(variable, usual)).expanduser().stat()
        except (OSError, RuntimeError):  # not there, or no home
            found.append((0, 0, 0))
        else:
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)
