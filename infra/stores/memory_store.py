"""An object store in memory: the same semantics as S3, for simulation and unit tests."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, NotFound, VerificationFailed
from modelcast.schemas.ports import ByteStream, ObjectInfo, PreconditionFailed, Progress, Ready, StoredObject


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """An ``ObjectStore`` that lives and dies with the process. Thread-safe.

    Args:
        name: for messages.
        now_us: the store's own clock, in UTC microseconds; it gives ``last_modified_us``.
    """

    def __init__(self, name: str = "memory", *, now_us: Callable[[], int] = _wall_clock_us) -> None:
        self._name = name
        self._now_us = now_us
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """For messages."""
        return self._name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """Read a whole small object; None if absent."""
        found = self._objects.get(key)
        if found is not None and len(found.body) > size_max:
            raise ContentError(f"object of {len(found.body)} bytes, expected at most {size_max}", subject=self._at(key))
        return found

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        """Read ``length`` bytes from ``start``."""
        found = self._objects.get(key)
        if found is None:
            raise NotFound("no such object", subject=self._at(key))
        if etag is not None and etag != found.info.etag:
            raise PreconditionFailed("the object changed meanwhile", subject=self._at(key))
        if start > len(found.body):
            raise ContentError(f"the object ends before byte {start}", subject=self._at(key))
        end = len(found.body) if length is None else min(start + length, len(found.body))
        yield _MemoryStream(found.info, memoryview(found.body)[start:end])

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object; None if absent."""
        found = self._objects.get(key)
        return found.info if found else None

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """Write a small object, conditionally if asked."""
        with self._lock:
            found = self._objects.get(key)
            if if_absent and found is not None:
                raise PreconditionFailed("the object exists", subject=self._at(key))
            if if_match is not None and (found is None or found.info.etag != if_match):
                raise PreconditionFailed("the object changed meanwhile", subject=self._at(key))
            etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'  # as S3 does
            info = ObjectInfo(key, len(body), etag, self._now_us())
            self._objects[key] = StoredObject(bytes(body), info)
            return info

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
        """Write a file, if its bytes are those that ``digest`` names."""
        if ready:
            ready(size_bytes)
        try:
            body = path.read_bytes()
        except OSError:
            body = b""
        if not path.exists() or len(body) != size_bytes or sha256_of(body) != digest:
            raise VerificationFailed(
                "the file changed while it was being uploaded", subject=str(path), hint="publish again"
            )
        self.put(key, body)
        if progress:
            progress(size_bytes)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects below ``prefix`` in key order, after ``start_after``."""
        with self._lock:
            found = [o.info for key, o in self._objects.items() if key.startswith(prefix) and key > start_after]
        return iter(sorted(found, key=lambda info: info.key.encode()))

    def folders(self, prefix: str) -> Iterator[str]:
        """The names directly below ``prefix`` that have objects under them."""
        below = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        with self._lock:
            rests = [key[len(below) :] for key in self._objects if key.startswith(below)]
        return iter(sorted({rest.split("/", 1)[0] for rest in rests if "/" in rest}))

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        with self._lock:
            self._objects.pop(key, None)

    def _at(self, key: str) -> str:
        return f"{self._name}/{key}"


class _MemoryStream:
    def __init__(self, info: ObjectInfo, rest: memoryview) -> None:
        self.info = info
        self._rest = rest

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
