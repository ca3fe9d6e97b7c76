"""A training job's files as they are when deltas are made of them: copies, which no other process shortens.

The codec maps what it reads, and a process that reads a mapped file that becomes shorter dies of a signal.
"""

import contextlib
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from modelcast.deltas.publish.bases.cache import BaseCache
from modelcast.schemas.digests import hex_of


class Copies:
    """Made when they are first asked for, in scratch: no base has to go for them. Thread-safe; closed once.

    As many are held as could become bases, the others one at a time.
    """

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        self._made: dict[str, Path] = {}  # the longest unused first
        self._scratch = ExitStack()
        self._folder: Path | None = None
        self._lock = Lock()

    def of(self, path: Path, digest: str) -> Path:
        """The copy of a file that is said to have that digest, until the next is asked for.

        Raises:
            OSError: it can't be read, or the disk has no room.
        """
        with self._lock:
            if digest not in self._made:
                if self._folder is None:
                    self._folder = self._scratch.enter_context(self._cache.scratch())
                size_bytes = path.stat().st_size
                while self._made and not self._cache.has_room_beside(self._folder, self._held_bytes() + size_bytes):
                    self._drop(next(iter(self._made)))
                copy = self._folder / hex_of(digest)
                self._cache.copy(path, copy)
                self._made[digest] = copy
            self._made[digest] = self._made.pop(digest)
            return self._made[digest]

    def drop(self, digest: str) -> None:
        """A copy turned out to be of something else."""
        with self._lock:
            self._drop(digest)

    def keep(self, digest: str, size_bytes: int) -> bool:
        """Make a base of a copy, unless it is one; False if there is none, or no room for it. The copy is gone then."""
        with self._lock:
            copy = self._made.get(digest)
            if copy is None:
                return False
            kept = self._cache.find(digest, size_bytes) or self._cache.take(copy, digest)
            self._drop(digest)
            return kept is not None

    def close(self) -> None:
        """Remove what was not kept."""
        with self._lock:
            self._scratch.close()
            self._made.clear()
            self._folder = None

    def _drop(self, digest: str) -> None:
        copy = self._made.pop(digest, None)
        if copy is not None:
            with contextlib.suppress(OSError):
                copy.unlink(missing_ok=True)

    def _held_bytes(self) -> int:
        found = 0
        for copy in self._made.values():
            with contextlib.suppress(OSError):
                found += copy.stat().st_size
        return found
