"""A training job's files as they are when deltas are made of them: copies, as nobody else shortens those.

The codec maps what it reads, and whoever reads a mapped file that becomes shorter dies of a signal.
"""

from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from modelcast.producers.deltas.base_cache import BaseCache
from modelcast.schemas.digests import hex_of


class Copies:
    """Made when they are first asked for, in scratch: no base has to go for them. Thread-safe; closed once."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        self._made: dict[str, Path] = {}
        self._scratch = ExitStack()
        self._folder: Path | None = None
        self._lock = Lock()

    def of(self, path: Path, digest: str) -> Path:
        """The copy of a file that is said to have that digest.

        Raises:
            OSError: it can't be read, or the disk has no room.
        """
        with self._lock:
            if digest not in self._made:
                if self._folder is None:
                    self._folder = self._scratch.enter_context(self._cache.scratch())
                copy = self._folder / hex_of(digest)
                self._cache.copy(path, copy)
                self._made[digest] = copy
            return self._made[digest]

    def drop(self, digest: str) -> None:
        """A copy turned out to be of something else."""
        with self._lock:
            if (copy := self._made.pop(digest, None)) is not None:
                copy.unlink(missing_ok=True)

    def keep(self, digest: str) -> bool:
        """Make a base of a copy; False if there is none, or no room for it."""
        with self._lock:
            copy = self._made.get(digest)
            if copy is None or self._cache.take(copy, digest) is None:
                return False
            del self._made[digest]
            return True

    def close(self) -> None:
        """Remove what was not kept."""
        with self._lock:
            self._scratch.close()
            self._made.clear()
            self._folder = None
