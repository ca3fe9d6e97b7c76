"""Files that need not be hashed again: they were since this machine started, and have not changed since.

The kernel sets a file's change time at every write, rename, link or change of its rights, and no program can set it.
As long as inode, size and both times of each file are what they were before it was hashed, the bytes are those that
were hashed. What it does not see is a disk that loses bits; a boot later everything is hashed anew.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import orjson

from modelcast.infra.files import written_aside
from modelcast.schemas.digests import sha256_of_stream
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest

SETTLED_NS = 100_000_000
"""A change so soon after the last one may get the same time: file systems count in ticks of up to 10 ms."""
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"})
"""File systems whose times are this kernel's own; on others, another machine may write."""

Stamps = Mapping[str, list[int]]
"""Inode, size in bytes, modified and changed in nanoseconds, by the file's path."""


def verify_once(folder: Path, manifest: Manifest, record: Path) -> None:
    """Prove that ``folder`` holds the manifest's files and nothing else; hash them only if ``record`` is not of now.

    Raises:
        VerificationFailed: a file is missing, other than listed, or not listed; it is named.
        OSError: a file that is there can't be read.
    """
    boot, now_ns, stamps = _boot(), time.time_ns(), stamps_of(folder, manifest)
    known = {"boot": boot, "manifest": manifest.digest, "files": stamps}
    if stamps and boot and _read(record) == known and _is_local(folder):
        check_nothing_else(folder, manifest)
        return
    verify_folder(folder, manifest)
    if stamps and boot and is_settled(stamps, now_ns) and _is_local(folder):
        _record(record, known)


def note_verified(folder: Path, manifest: Manifest, record: Path) -> None:
    """Record that ``folder`` holds the manifest's bytes, for a caller that hashed them as it wrote them.

    Nothing is recorded where ``verify_once`` would record nothing; then they are hashed once more.
    """
    boot, now_ns, stamps = _boot(), time.time_ns(), stamps_of(folder, manifest)
    if stamps and boot and is_settled(stamps, now_ns) and _is_local(folder):
        _record(record, {"boot": boot, "manifest": manifest.digest, "files": stamps})


def _record(record: Path, known: Mapping[str, object]) -> None:
    with suppress(OSError), written_aside(record, durable=False) as file:  # else it is hashed again
        file.write(orjson.dumps(known))


def verify_folder(folder: Path, manifest: Manifest) -> None:
    """Prove that ``folder`` holds the manifest's files and nothing else.

    A file that the manifest does not name is refused too: a model could read it.

    Raises:
        VerificationFailed: a file is missing, other than listed, or not listed; it is named.
        OSError: a file that is there can't be read: no fault of its bytes.
    """
    check_nothing_else(folder, manifest)
    for entry in manifest.files:
        _verify_file(folder / entry.path, entry)


def check_nothing_else(folder: Path, manifest: Manifest) -> None:
    """Prove that ``folder`` holds no file that the manifest does not name. Raises ``VerificationFailed``."""
    listed = {entry.path for entry in manifest.files}
    for parent, folders, names in os.walk(folder):
        for name in [*names, *(f for f in folders if (Path(parent) / f).is_symlink())]:
            path = (Path(parent) / name).relative_to(folder).as_posix()
            if path not in listed:
                raise VerificationFailed("a file that the manifest does not name", subject=path)


def _verify_file(path: Path, entry: FileEntry) -> None:
    try:
        with path.open("rb", buffering=0) as file:
            digest = sha256_of_stream(file, entry.size_bytes)
            longer = bool(file.read(1))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise VerificationFailed(f"can't be read: {error.strerror}", subject=entry.path) from None
    if digest != entry.digest or longer:
        raise VerificationFailed("bytes differ from the manifest", subject=entry.path)


def is_settled(stamps: Stamps, now_ns: int) -> bool:
    """Whether any change after ``now_ns`` changes the stamps that were taken then."""
    return all(now_ns - changed_ns > SETTLED_NS for *_, changed_ns in stamps.values())


def stamps_of(folder: Path, manifest: Manifest) -> Stamps | None:
    """The stamps of the manifest's files; None: one can't be read."""
    stamps = {}
    for entry in manifest.files:
        try:
            found = (folder / entry.path).stat()
        except OSError:
            return None
        stamps[entry.path] = [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    return stamps


def _read(record: Path) -> object:
    try:
        return orjson.loads(record.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_local(folder: Path) -> bool:
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return False
    place = folder.resolve()
    around = [(len(at), kind) for _, at, kind, *_ in mounts if place.is_relative_to(at.replace("\\040", " "))]
    return bool(around) and max(around, key=lambda found: found[0])[1] in LOCAL
