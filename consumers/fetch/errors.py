"""What can go wrong between a store and a disk."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from modelcast.schemas.digests import short
from modelcast.schemas.errors import ModelcastError, NotFound, TransportError, VerificationFailed

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NAMELESS = {errno.EIO, errno.EROFS, errno.ESTALE}
"""What a disk answers to writing into an open file: such an error names none."""


class DiskFull(ModelcastError):
    """The disk or the cache's size limit has no room for the artifact, whatever may be evicted."""

    retryable = True


class NamesCollide(ModelcastError):
    """Two files of the artifact would be one on this file system."""


class FetchCancelled(ModelcastError):
    """The caller no longer wants the artifact."""

    retryable = True


class FetchTooSlow(TransportError):
    """A transfer passed its deadline. What came is kept, and the next attempt goes on from there."""


class BlobMissing(NotFound):
    """A file or manifest that the log names is not in the store. It may be on its way back, so asking again is fair."""

    retryable = True


class DamagedBytes(VerificationFailed):
    """Bytes differ from what the manifest says. Fetching them again may help; what is damaged may be the link.

    Attributes:
        path: the file within the artifact ("" for the manifest).
        expected: the digest or size that was promised.
        got: what came instead.
        store: the name of the store that they came from.
    """

    retryable = True

    def __init__(self, path: str, *, expected: str, got: str, store: str) -> None:
        what = path or "manifest"
        super().__init__(
            f"{what}: expected {_shown(expected)}, got {_shown(got)}",
            subject=store,
            hint="the bytes in the store differ from what was published: put them right, or publish a new version",
        )
        self.path = path
        self.expected = expected
        self.got = got
        self.store = store

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.path, self.expected, self.got, self.store))


def _shown(text: str) -> str:
    return short(text) if len(text) >= 64 and " " not in text else text


def _rebuild(path: str, expected: str, got: str, store: str) -> DamagedBytes:
    return DamagedBytes(path, expected=expected, got=got, store=store)


@contextmanager
def full_disk_named(subject: str) -> Iterator[None]:
    """Turn "no space left" into ``DiskFull``; other errors of the disk name ``subject`` where they name nothing."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full("the disk is full", subject) from error
        if error.errno == errno.EFBIG:
            message = "a file is larger than the file system, or this process's limit (ulimit -f), allows"
            raise disk_full(message, error.filename or subject) from error
        if error.filename is None and error.errno in _NAMELESS:
            raise OSError(error.errno, error.strerror, subject) from error
        raise


def disk_full(message: str, subject: str) -> DiskFull:
    """The error, with its hint."""
    return DiskFull(
        message, subject=subject, hint="free disk space, raise the cache's size limit, or serve fewer models"
    )
