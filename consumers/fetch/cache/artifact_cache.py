"""The local cache: verified artifacts, shared by the agent's workers and the pods of a machine.

    artifacts/<hex>/manifest.json, files/…   whole and verified; <hex> is the manifest digest's
    incoming/<hex>/…                         on its way here; left behind by a crash, it is resumed
    locks/<hex>.use     held shared by who reads, alone by who evicts
    locks/<hex>.fetch   held by who fetches
    locks/room          held while room is made
    id                  names this cache
    trash/…             on its way out

Artifacts appear and vanish by one rename, so a crash leaves nothing half-done in sight. A file that two artifacts
share is one file with two links, unless the cache is one process's own.
"""

import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.artifacts.verified import note_verified, verify_folder, verify_once
from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.cache.locks import CacheLocks
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import disk_full, full_disk_named
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest

MANY_FILES = 5000
"""What is known of the files of larger artifacts takes many megabytes."""
REMEMBERED_FILES_MAX = 100_000
"""Of such artifacts together: their manifests take half a kilobyte a file."""
ABANDONED_AFTER_SECONDS = 7 * 24 * 3600
DISK_FREE_MIN_BYTES = 16 * 1024 * 1024
"""Of a disk that others use, too: what stays free."""
NOTHING: frozenset[str] = frozenset()


class ArtifactCache:
    """Artifacts on this machine's disk. Safe to use from many threads and processes at once.

    Args:
        folder: where; made if it is not there. On one filesystem.
        size_max_bytes: evict to stay below; None: only the disk is the limit.
        alone: it is one process's own, its files go to the caller: no locks are taken, and no file has two links.

    Raises:
        NoLocks: the folder's file system can't lock files, and others may use the cache.
    """

    def __init__(self, folder: Path, size_max_bytes: int | None = None, *, alone: bool = False) -> None:
        self.folder = folder
        self.size_max_bytes = size_max_bytes
        self._artifacts, self._incoming = folder / "artifacts", folder / "incoming"
        self._locks, self._trash = folder / "locks", folder / "trash"
        self._alone = alone
        self._held = CacheLocks(alone=alone)
        self._inodes: dict[tuple[str, int], dict[int, int]] = {}
        self._manifests: dict[str, Manifest] = {}
        self._files: dict[str, dict[str, Path]] = {}  # by artifact, then by digest
        self._make_folders()
        with full_disk_named(str(folder)), self._held.exclusive(self._locks / "room"):
            self._sweep()

    def _make_folders(self) -> None:
        with full_disk_named(str(self.folder)):
            for each in (self._artifacts, self._incoming, self._locks, self._trash):
                if not each.is_dir():
                    each.mkdir(parents=True, exist_ok=True)

    @property
    def identity(self) -> str:
        """Names this folder among all caches of a region, also after a restart."""
        place, mine = self.folder / "id", self._trash / uuid.uuid4().hex
        try:
            if not place.exists():
                mine.write_text(uuid.uuid4().hex)
                with suppress(FileExistsError):
                    os.link(mine, place)  # whole, or not at all
            name = place.read_text()
        except OSError:  # the disk is full, or the folder was removed: a name for as long as we live
            name = uuid.uuid4().hex
        finally:
            with suppress(OSError):
                mine.unlink(missing_ok=True)
        return f"{socket.gethostname()}/{name}"

    # --- reading

    def has(self, manifest_digest: str) -> bool:
        """Whether the artifact is here, whole; it was verified when it came."""
        return (self._artifacts / hex_of(manifest_digest)).is_dir()

    def digests(self) -> list[str]:
        """The manifest digests of what is here, least recently used first."""
        return ["sha256:" + name for name in self._oldest_first()]

    @contextmanager
    def open(self, manifest_digest: str, *, verify: bool = True, once: bool = False) -> Iterator[Path]:
        """The folder of the artifact's files; it is not evicted while the context is open.

        Args:
            manifest_digest: which one.
            verify: hash every file again. Bytes on a disk rot; what fails is thrown away, so that it is fetched again.
            once: since the machine has started, unless a file was touched; see ``consumers.artifacts.verified``.

        Raises:
            ArtifactMissing: it is not here.
            VerificationFailed: a file differs from the manifest.
        """
        name = hex_of(manifest_digest)
        folder = self._artifacts / name
        if not folder.is_dir():
            raise ArtifactMissing("not in the cache", subject=manifest_digest)
        with self._held.shared(self._use_lock(name)):
            try:
                inode = folder.stat().st_ino
                os.utime(self._use_lock(name))
            except FileNotFoundError:
                raise ArtifactMissing("not in the cache", subject=manifest_digest) from None
            if verify:
                try:
                    manifest = self.manifest(manifest_digest)
                    if once:
                        verify_once(folder / "files", manifest, self._locks / f"{name}.verified")
                    else:
                        verify_folder(folder / "files", manifest)
                except VerificationFailed:
                    self._discard(name, inode)
                    raise
            yield folder / "files"

    def manifest(self, manifest_digest: str) -> Manifest:
        """The manifest of an artifact that is here.

        Raises:
            ArtifactMissing: it is not here.
            VerificationFailed: it was damaged.
        """
        name = hex_of(manifest_digest)
        manifest = self._manifests.get(name)
        if manifest is None:
            try:
                encoded = (self._artifacts / name / "manifest.json").read_bytes()
                manifest = Manifest.decode(encoded, expected_digest=manifest_digest)
            except FileNotFoundError:
                raise ArtifactMissing("not in the cache", subject=manifest_digest) from None
            except ContentError as error:
                raise VerificationFailed(error.message, subject=manifest_digest) from None
            self._manifests[name] = manifest
        return manifest

    def files_by_digest(self) -> dict[str, Path]:
        """Where the files of all artifacts lie, by their digests. They may vanish at any moment."""
        found: dict[str, Path] = {}
        for name in self._names():
            with suppress(ArtifactMissing, VerificationFailed):
                found.update(self._files_of(name))
        return found

    def _files_of(self, name: str) -> dict[str, Path]:
        files = self._files.get(name)
        if files is None:
            folder = self._artifacts / name / "files"
            files = self._files[name] = {f.digest: folder / f.path for f in self.manifest("sha256:" + name).files}
        return files

    def forget_large(self) -> None:
        """Bound what is remembered of artifacts of very many files; it is read again when it is needed."""
        large = {name: len(m.files) for name, m in [*self._manifests.items()] if len(m.files) > MANY_FILES}
        files = sum(large.values())
        for name, count in large.items():
            manifest = self._manifests.get(name)
            self._forget(name)
            if files > REMEMBERED_FILES_MAX or manifest is None:
                files -= count
            else:
                self._manifests[name] = manifest

    def _forget(self, name: str) -> None:
        self._manifests.pop(name, None)
        self._files.pop(name, None)
        for key in [key for key in [*self._inodes] if key[0] == name]:
            self._inodes.pop(key, None)

    # --- writing

    @contextmanager
    def fetching(self, manifest_digest: str, *, context: Context | None = None) -> Iterator[Incoming]:
        """The place where the artifact is put together. One process at a time, the others wait here.

        Ask ``has`` again inside: another process may have brought it meanwhile.
        """
        name = hex_of(manifest_digest)
        self._make_folders()  # the cache may have been removed while this process runs
        with self._held.exclusive(self._fetch_lock(name), context=context), full_disk_named(str(self.folder)):
            yield Incoming(self._incoming / name, self._artifacts / name, shares=not self._alone)

    def note_verified(self, manifest: Manifest) -> None:
        """An artifact has just come, every byte hashed on its way: its first load need not hash it again."""
        name = hex_of(manifest.digest)
        if not self._alone:
            note_verified(self._artifacts / name / "files", manifest, self._locks / f"{name}.verified")

    def reserve(self, incoming: Incoming, files: Sequence[FileEntry], *, keep: Set[str] = NOTHING) -> None:
        """Make room for what ``files`` of ``incoming`` still lack and reserve it.

        Evicts the least recently used, never what is open somewhere or stands in ``keep`` (manifest digests).

        Raises:
            DiskFull: that was not enough. What could be evicted is not evicted in vain.
        """
        kept = {hex_of(digest) for digest in keep} | {incoming.folder.name}
        with self._held.exclusive(self._locks / "room"):
            self._make_room(incoming.bytes_lacking(files), kept)
            incoming.allocate(files)

    def used_bytes(self) -> int:
        """Bytes of all files here; shared ones count once."""
        return sum(self._sizes(self._all_folders()).values())

    def disk_free_bytes(self) -> int:
        """Bytes that the filesystem has left for us."""
        there = os.statvfs(self.folder)
        return there.f_bavail * there.f_frsize

    def evict(self, manifest_digest: str) -> bool:
        """Remove an artifact unless it is being read; whether it is gone."""
        return self._evict(hex_of(manifest_digest))

    # --- inside

    def _make_room(self, need_bytes: int, kept: Set[str]) -> None:
        spare_bytes = 0 if self._alone else DISK_FREE_MIN_BYTES

        def lacking() -> int:
            """Bytes still to be freed; 0 or less: enough."""
            disk = need_bytes + spare_bytes - self.disk_free_bytes()
            if self.size_max_bytes is None:
                return disk
            return max(disk, need_bytes + self.used_bytes() - self.size_max_bytes)

        if need_bytes == 0 or lacking() <= 0:
            return
        candidates = [self._incoming / name for name in self._left_behind() if name not in kept]
        candidates += [self._artifacts / name for name in self._oldest_first() if name not in kept]
        all_folders = self._all_folders()
        stay = [folder for folder in all_folders if Path(folder) not in set(candidates)]
        freeable = sum(self._sizes(all_folders).values()) - sum(self._sizes(stay).values())
        if lacking() <= freeable:
            for folder in candidates:
                if folder.parent == self._incoming:
                    self._drop_incoming(folder.name)
                else:
                    self._evict(folder.name)
                if lacking() <= 0:
                    return
        stays = f", of which {spare_bytes} stay free" if spare_bytes else ""
        limit = "" if self.size_max_bytes is None else f", the cache may hold {self.size_max_bytes}"
        raise disk_full(
            f"no room for {need_bytes} bytes: {lacking()} too many "
            f"({self.disk_free_bytes()} free on disk{stays}, {self.used_bytes()} in the cache{limit})",
            str(self.folder),
        )

    def _evict(self, name: str) -> bool:
        with self._held.if_free(self._use_lock(name)) as alone:
            if not alone:
                return False
            gone = self._throw_away(self._artifacts / name)
            self._use_lock(name).unlink(missing_ok=True)
        if gone:
            shutil.rmtree(gone, ignore_errors=True)
        return True

    def _discard(self, name: str, inode: int) -> None:
        """Throw away a damaged artifact, also if others have it open: what they have opened stays theirs."""
        with self._held.exclusive(self._fetch_lock(name)):
            folder = self._artifacts / name
            with suppress(FileNotFoundError):
                if folder.stat().st_ino == inode and (gone := self._throw_away(folder)):
                    shutil.rmtree(gone, ignore_errors=True)

    def _drop_incoming(self, name: str) -> None:
        with self._held.if_free(self._fetch_lock(name)) as alone:
            gone = self._throw_away(self._incoming / name) if alone else None
        if gone:
            shutil.rmtree(gone, ignore_errors=True)

    def _throw_away(self, folder: Path) -> Path | None:
        gone = self._trash / uuid.uuid4().hex
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return None
        self._forget(folder.name)
        return gone

    def _sweep(self) -> None:
        """Remove what crashes left behind and no fetch will resume."""
        for gone in self._trash.iterdir():
            shutil.rmtree(gone, ignore_errors=True)
        for name in self._left_behind():
            with suppress(FileNotFoundError):
                if time.time() - (self._incoming / name).stat().st_mtime > ABANDONED_AFTER_SECONDS:
                    self._drop_incoming(name)
        in_use = {*self._names(), *self._left_behind()}
        for lock in self._locks.iterdir():
            if lock.suffix and lock.stem not in in_use:
                with self._held.if_free(lock) as alone:
                    if alone:
                        lock.unlink(missing_ok=True)

    def _names(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._artifacts)]

    def _left_behind(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._incoming))

    def _oldest_first(self) -> list[str]:
        def used_at(name: str) -> float:
            times = [0.0]
            for path in (self._use_lock(name), self._artifacts / name):  # opened, made
                with suppress(FileNotFoundError):
                    times.append(path.stat().st_mtime)
            return max(times)

        return sorted(self._names(), key=lambda name: (used_at(name), name))

    def _all_folders(self) -> list[os.DirEntry[str]]:
        return [*os.scandir(self._artifacts), *os.scandir(self._incoming)]

    def _sizes(self, folders: list[os.DirEntry[str]]) -> dict[int, int]:
        """Allocated bytes by inode."""
        sizes: dict[int, int] = {}
        for folder in folders:
            with suppress(FileNotFoundError):
                sizes.update(self._sizes_in(folder))
        return sizes

    def _sizes_in(self, folder: os.DirEntry[str]) -> dict[int, int]:
        # Asked at every fetch: an artifact that is known must not cost a system call.
        whole = Path(folder).parent == self._artifacts  # and never changed
        key = (folder.name, folder.inode())
        if whole and key in self._inodes:
            return self._inodes[key]
        sizes: dict[int, int] = {}
        for parent, _, names in os.walk(folder):
            for name in names:
                there = (Path(parent) / name).stat()
                sizes[there.st_ino] = there.st_blocks * 512
        if whole:
            self._inodes[key] = sizes
        return sizes

    def _use_lock(self, name: str) -> Path:
        return self._locks / f"{name}.use"

    def _fetch_lock(self, name: str) -> Path:
        return self._locks / f"{name}.fetch"
