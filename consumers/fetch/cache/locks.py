"""The locks of one cache. A cache that one process has for itself takes none: its file system need not have any."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.infra.files import acquire, held, held_if_free

POLL_SECONDS = 0.01
POLL_SECONDS_MAX = 0.25


class CacheLocks:
    """Locks on files, which are made where they are not there. All raise ``NoLocks`` where the file system has none.

    Args:
        alone: no other process uses this cache.
    """

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone

    @contextmanager
    def shared(self, path: Path) -> Iterator[None]:
        """Hold ``path`` together with others. Waits for an exclusive holder, who is expected to be quick."""
        with self._unlocked(path) if self._alone else held(path, shared=True):
            yield

    @contextmanager
    def exclusive(self, path: Path, *, context: Context | None = None) -> Iterator[None]:
        """Hold ``path`` alone; waits for its turn.

        Raises:
            FetchCancelled: the lock is not wanted any more.
        """
        if self._alone:
            with self._unlocked(path):
                yield
            return
        pause_seconds = POLL_SECONDS
        while (descriptor := acquire(path, wait=False)) is None:
            if context is not None and context.cancelled():
                raise FetchCancelled("cancelled while another process fetched the same artifact", subject=str(path))
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, POLL_SECONDS_MAX)
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def if_free(self, path: Path) -> Iterator[bool]:
        """Whether ``path`` could be held alone at once; if so it is, inside."""
        with nullcontext(True) if self._alone else held_if_free(path) as free:
            yield free

    @contextmanager
    def _unlocked(self, path: Path) -> Iterator[None]:
        path.touch()
        yield
