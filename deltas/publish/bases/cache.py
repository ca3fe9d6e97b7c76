"""Files that were published from here, kept as bases of later deltas: content-addressed, bounded, never trusted."""

import errno
import os
import shutil
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from modelcast.deltas.publish.bases.scratch import Scratch
from modelcast.infra.files import copy, sha256_of_file, user_bases
from modelcast.infra.settings_publish import PublishSettings
from modelcast.schemas.digests import hex_of

FREE_SHARE_MIN = 0.1
"""Of the disk, what stays free; a full disk is worse than a missing base."""
_NOWHERE = Path(os.devnull)
"""Where no folder can be made, so that nothing is kept."""


class BaseCache:
    """A folder of bases, shared by all publishers of this user. Thread-safe; every failure only means fewer bases.

    A base is a copy, by reference where the file system can: a link would change with the file that the next
    training run writes in its place.
    """

    def __init__(self, settings: PublishSettings) -> None:
        self._folder = settings.base_cache_dir or user_bases() or _NOWHERE
        self._size_max = settings.base_cache_size_max_bytes
        self._scratch = Scratch(self._folder / "scratch")
        self._scratch.sweep()

    def find(self, digest: str, size_bytes: int) -> Path | None:
        """Where a file is kept, if it is and has that size. Its reader checks the digest."""
        path = self._path(digest)
        try:
            if path.stat().st_size != size_bytes:
                path.unlink()
                return None
            os.utime(path)  # used: the last to go
        except OSError:
            return None
        return path

    def keep(self, path: Path, digest: str, size_bytes: int) -> bool:
        """Keep a copy of a file that is said to have that digest; True if it is (or was) kept."""
        if self.find(digest, size_bytes) is not None:
            return True
        if not self._make_room(size_bytes, size_bytes):
            return False
        target = self._path(digest)
        try:
            with self.scratch() as folder:
                aside = folder / "copy"
                copy(path, aside)
                return self._take_in(aside, target)
        except OSError:
            return False

    def has_room_beside(self, folder: Path, size_bytes: int) -> bool:
        """Whether so many bytes of copies in ``folder`` could all become bases, and the disk is far from full."""
        disk = shutil.disk_usage(folder)
        return size_bytes <= self._size_max and disk.free - size_bytes >= FREE_SHARE_MIN * disk.total

    def copy(self, path: Path, target: Path) -> None:
        """Copy a file into a folder of ``scratch``, if as much room is left then for what is made of it.

        Raises:
            OSError: there is not, or it can't be read or written.
        """
        if shutil.disk_usage(target.parent).free < 2 * path.stat().st_size:
            raise OSError(errno.ENOSPC, "no room for a copy to make deltas of", str(target.parent))
        copy(path, target)

    def take(self, path: Path, digest: str) -> Path | None:
        """Move a file from ``scratch`` into the cache; where it lies then."""
        target = self._path(digest)
        with suppress(OSError):
            size = path.stat().st_size
            if self._make_room(size, 0) and self._take_in(path, target):
                return target
        return None

    def drop(self, digest: str) -> None:
        """Forget a file that turned out to be another one."""
        with suppress(OSError):
            self._path(digest).unlink()

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder on the cache's disk that is gone afterwards; elsewhere if that can't be written."""
        return self._scratch.new()

    # --------------------------------------------------------------------------------------------------------

    def _path(self, digest: str) -> Path:
        return self._folder / "sha256" / hex_of(digest)

    def _take_in(self, aside: Path, target: Path) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.utime(aside)  # it may have been copied before other bases were used: now it is the newest
        aside.replace(target)
        return True

    def _make_room(self, size_bytes: int, new_bytes: int) -> bool:
        """Whether a base of that size fits, once others are gone, the longest unused first.

        Args:
            new_bytes: of it, what is not on this disk yet.
        """
        if size_bytes > self._size_max:
            return False
        try:
            self._scratch.sweep()
            kept = [(s.st_mtime, s.st_size, p) for p in self._kept() if (s := _status(p)) is not None]
            disk = shutil.disk_usage(self._folder if self._folder.exists() else self._existing_parent())
        except OSError:
            return False
        used, free = sum(size for _, size, _ in kept), disk.free

        def fits() -> bool:
            return used + size_bytes <= self._size_max and free - new_bytes >= FREE_SHARE_MIN * disk.total

        if free + used - new_bytes < FREE_SHARE_MIN * disk.total:
            return False  # not even if all of them went
        for _, size, path in sorted(kept):
            if fits():
                break
            with suppress(OSError):
                path.unlink()
                used, free = used - size, free + size
        return fits()

    def _kept(self) -> list[Path]:
        try:
            return list((self._folder / "sha256").iterdir())
        except FileNotFoundError:
            return []

    def _existing_parent(self) -> Path:
        return next(p for p in self._folder.parents if p.exists())


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file's bytes are those that ``digest`` names."""
    try:
        return sha256_of_file(path) == digest
    except OSError:
        return False


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
