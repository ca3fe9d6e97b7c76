"""The world, as small Protocols. Adapters live in ``modelcast.infra``; each passes its Protocol's conformance suite."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelcast.schemas.errors import Refused

Progress = Callable[[int], None]
"""Called with the number of further bytes done."""
Ready = Callable[[int], None]
"""Returns once so many bytes are there from the start; raises if they will not come."""


class PreconditionFailed(Refused):
    """A conditional put lost: the object exists (``if_absent``) or has changed (``if_match``)."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object. ``last_modified_us`` is the store's own clock (often whole seconds)."""

    key: str
    size_bytes: int
    etag: str
    last_modified_us: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes with what the store reports of it in the same answer."""

    body: bytes
    info: ObjectInfo


class ByteStream(Protocol):
    """An open ranged read."""

    info: ObjectInfo

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` from the front; 0 at the end. Raises ``StoreUnavailable`` when the link breaks."""
        ...


class ObjectStore(Protocol):
    """A bucket (with a prefix). Thread-safe. Every call has a deadline of its own.

    Raises (every method): ``StoreUnavailable`` when the store can't be reached, times out or answers 5xx after
    the adapter's own retries; ``Refused`` on 401/403. A conditional put is never retried blindly by the adapter:
    a time-out or 409 surfaces as ``StoreUnavailable`` and the caller asks again with the same key.
    """

    @property
    def name(self) -> str:
        """For messages: the bucket and prefix, never credentials."""
        ...

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """Read a whole small object; None if absent. Raises ``ContentError`` if larger than ``size_max`` bytes."""
        ...

    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        """Read ``length`` bytes from ``start``. Raises ``NotFound``; ``PreconditionFailed`` if ``etag`` differs."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object; None if absent."""
        ...

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """Write a small object, conditionally if asked. Raises ``PreconditionFailed``."""
        ...

    def upload(
        self,
        key: str,
        path: Path,
        *,
        size_bytes: int,
        digest: str,
        progress: Progress | None = None,
        ready: Ready | None = None,
    ) -> None:
        """Write a file (multipart when large). ``digest`` guards the transfer: raises ``VerificationFailed`` if
        the bytes sent have another one (the file changed meanwhile), and then leaves no object behind.
        A file that is still being written can be sent: ``ready`` is called before bytes of it are read."""
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects below ``prefix`` in key order, after ``start_after``."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The names directly below ``prefix`` that have objects under them (without slashes)."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        ...


class Announcer(Protocol):
    """Says something on Kafka and knows that it was heard."""

    def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        """Deliver with ``acks=all``; return when the cluster confirmed. Raises ``KafkaUnavailable``."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
