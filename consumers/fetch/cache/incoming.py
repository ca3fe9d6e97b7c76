"""An artifact on its way into the cache. What a crash left there is kept, checked block by block, and completed."""

import errno
import os
from collections.abc import Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

from modelcast.consumers.fetch.cache.names import check_names_apart
from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.planning.blocks import block_bytes
from modelcast.infra.files import copy, folders_of, sha256_of_file, sync_all
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest

_CANT_LINK = {errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
"""The file system has no links, a file has as many as it can have, or it is another user's."""


class Incoming:
    """A folder that only the holder of the fetch lock touches, until one rename makes it an artifact.

    Args:
        folder: where it is put together.
        target: what it becomes.
        shares: files with the same bytes are links to one; else each is a file of its own.

    Attributes:
        folder: see above.
        shares: likewise.
    """

    def __init__(self, folder: Path, target: Path, *, shares: bool = True) -> None:
        self.folder = folder
        self._target = target
        self.shares = shares
        self._files = folder / "files"

    def path(self, file: FileEntry) -> Path:
        """Where a file is put together."""
        return self._files / file.path

    @property
    def aside(self) -> Path:
        """The folder of what is needed on the way only: deltas, bases, resume journals."""
        return self.folder / "aside"

    def journal(self, file: FileEntry) -> ResumeJournal:
        """How much of each block of a file is written that is not whole yet."""
        return ResumeJournal(self.aside / f"{hex_of(file.digest)}.begun", file.size_bytes)

    def written_blocks(self, file: FileEntry, missing: Set[int]) -> dict[int, int]:
        """Bytes of ``missing`` blocks that an earlier attempt wrote, by block."""
        mark, counts = self.journal(file).read()
        written = {n: counts[n] for n in missing & counts.keys() if counts[n] < block_bytes(file.size_bytes, n)}
        return written if mark == file.digest else {}

    def begin(self, manifest: Manifest) -> None:
        """Make the folders.

        Raises:
            NamesCollide: the file system takes two of the names for one.
        """
        self._files.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)
        for parent in sorted({self.path(file).parent for file in manifest.files}):
            parent.mkdir(parents=True, exist_ok=True)
        check_names_apart(self._files, manifest)

    def bytes_lacking(self, files: Iterable[FileEntry]) -> int:
        """Bytes of disk that ``files`` will take beyond what they have already."""
        return sum(max(0, file.size_bytes - self._allocated(file)) for file in files)

    def allocate(self, files: Iterable[FileEntry]) -> None:
        """Take the disk space of every file now.

        Raises:
            OSError: the disk is full.
        """
        for file in files:
            if self._allocated(file) >= file.size_bytes and self.path(file).exists():
                continue
            fd = os.open(self.path(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if file.size_bytes:
                    os.posix_fallocate(fd, 0, file.size_bytes)
                os.ftruncate(fd, file.size_bytes)
            finally:
                os.close(fd)

    def missing_blocks(self, file: FileEntry) -> set[int]:
        """The blocks whose bytes on disk are not (yet) what the manifest says."""
        missing: set[int] = set()
        buffer = memoryview(bytearray(min(BLOCK_SIZE_BYTES, max(1, file.size_bytes))))
        with self.path(file).open("rb", buffering=0) as opened:
            for number, block in enumerate(file.blocks):
                count = opened.readinto(buffer) or 0
                if sha256(buffer[:count]).hexdigest() != block:
                    missing.add(number)
        return missing

    def link(self, source: Path, file: FileEntry) -> bool:
        """Take a file's bytes from ``source`` on the same disk; False if they are gone or damaged."""
        beside = self.folder / "link"
        beside.unlink(missing_ok=True)
        if not self.shares:
            self.path(file).unlink(missing_ok=True)  # its room was taken: the copy has it
        try:
            self._take(source, beside)
        except FileNotFoundError:
            return False
        if sha256_of_file(beside) != file.digest:
            beside.unlink()
            return False
        beside.replace(self.path(file))
        return True

    @contextmanager
    def syncing(self, manifest: Manifest) -> Iterator[None]:
        """Write the manifest; after the block everything is on the disk. Disks are waited for beside the block."""
        (self.folder / "manifest.json").write_bytes(manifest.encode())
        files = [self.folder / "manifest.json", *map(self.path, manifest.files)]
        with ThreadPoolExecutor(1, "sync") as pool:
            synced = pool.submit(sync_all, self.folder, [*files, *folders_of(self.folder, files)])
            yield
            synced.result()

    def tidy(self) -> None:
        """Drop what was needed on the way."""
        rmtree(self.aside, ignore_errors=True)

    def publish(self) -> None:
        """Make it an artifact. All of it was synced before; if the power fails now it is found here or there, whole."""
        self.folder.rename(self._target)

    def _take(self, source: Path, beside: Path) -> None:
        if self.shares:
            try:
                os.link(source, beside)
            except OSError as error:
                if error.errno not in _CANT_LINK:
                    raise
            else:
                return
        copy(source, beside)

    def _allocated(self, file: FileEntry) -> int:
        try:
            there = self.path(file).stat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return min(there.st_blocks * 512, there.st_size) if there.st_size == file.size_bytes else 0
