"""A file or a folder on disk, read once into a manifest.

Nothing is left out: what can't be carried is refused by name. Symbolic links are followed as long as they stay
inside the folder.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelcast.infra.threads import Threads
from modelcast.producers.pickles import pickle_reason
from modelcast.schemas.errors import ContentError, Refused, UsageError
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FILES_MAX, FileEntry, Manifest, check_paths

KEPT_SIZE_MAX = 256 * 1024
"""Files up to this size stay in memory between hashing and upload: no second read, no chance to change."""
KEPT_TOTAL_MAX = 4 * 1024 * 1024
HASH_THREADS = 4


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A scanned file: its manifest entry, where its bytes are, and the bytes themselves if they are few."""

    entry: FileEntry
    path: Path
    pickled: str | None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was found on disk. ``notes`` names what a manifest can't hold (folders without files)."""

    manifest: Manifest
    encoded: bytes
    digest: str
    files: tuple[LocalFile, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    path: Path
    size_bytes: int


def scan(path: Path, *, allow_pickle: bool = False, threads: int = HASH_THREADS) -> Artifact:
    """Read what is to be published.

    Args:
        path: a file, or a folder with all that is in it.
        allow_pickle: pickles run code when they are loaded; they are refused unless this is set.
        threads: files hashed at once.

    Raises:
        UsageError: there is nothing at ``path``.
        Refused: empty; a link that leaves the folder; unreadable, or changing while it is read; a socket, pipe or
            device; a pickle; a name that can't be carried.
    """
    try:
        root = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        told = "no such file or folder" if missing else f"can't be read: {_said(error)}"
        raise UsageError(told, subject=str(path), hint="check its path") from None
    notes: list[str] = []
    if root.is_dir():
        found = sorted(_walk(root, root, "", (), notes), key=lambda f: f.name.encode("utf-8", "surrogateescape"))
    else:
        found = [_regular(path.name, root, root.stat())]
    if not found:
        raise Refused("no files in it", subject=str(path), hint="publish a file, or a folder that holds some")
    if len(found) > FILES_MAX:
        raise Refused(f"{len(found)} files", subject=str(path), hint=f"at most {FILES_MAX}; pack them")
    try:
        check_paths([f.name for f in found])
    except ContentError as error:
        raise Refused(error.message, subject=str(path), hint="rename it") from None
    files = _read_all(found, threads)
    if not allow_pickle and (pickled := next((f for f in files if f.pickled), None)):
        raise Refused(
            pickled.pickled or "",
            subject=str(pickled.path),
            hint="whoever loads it runs its author's code; export to ONNX or safetensors, or --allow-pickle",
        )
    manifest = Manifest(tuple(f.entry for f in files), framework_of(files))
    encoded = manifest.encode()
    return Artifact(manifest, encoded, "sha256:" + hashlib.sha256(encoded).hexdigest(), tuple(files), tuple(notes))


def framework_of(files: Sequence[LocalFile]) -> str:
    """What made the files: onnx, safetensors, tensorflow, torch, pickle or unknown."""
    names = [f.entry.path.lower() for f in files]
    for ending, framework in ((".onnx", "onnx"), (".safetensors", "safetensors"), ("saved_model.pb", "tensorflow")):
        if any(name.endswith(ending) for name in names):
            return framework
    if any(f.pickled for f in files):
        torch = any(name.endswith((".pt", ".pth")) for name in names)
        return "torch" if torch else "pickle"
    return "unknown"


def _walk(root: Path, folder: Path, prefix: str, above: tuple[Path, ...], notes: list[str]) -> Iterator[_Found]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda e: e.name)
    except OSError as error:
        raise Refused(f"can't be read: {_said(error)}", subject=str(folder), hint="mend its permissions") from None
    if not entries:
        notes.append(f"{prefix or './'} is an empty folder and is not carried")
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            path = _inside(root, path)
        try:
            status = path.stat()
        except OSError as error:
            raise Refused(f"can't be read: {_said(error)}", subject=entry.path, hint="mend its permissions") from None
        name = prefix + entry.name
        if stat.S_ISDIR(status.st_mode):
            if path in above or path == folder:
                raise Refused("a link that leads back to a folder around it", subject=entry.path, hint="take it out")
            yield from _walk(root, path, name + "/", (*above, folder), notes)
        else:
            yield _regular(name, path, status)


def _inside(root: Path, link: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Refused(f"a link to nowhere: {_said(error)}", subject=str(link), hint="take it out, or mend it") from None
    if not target.is_relative_to(root):
        raise Refused(f"a link that leaves the folder, to {target}", subject=str(link), hint="copy the file in")
    return target


def _regular(name: str, path: Path, status: os.stat_result) -> _Found:
    if not stat.S_ISREG(status.st_mode):
        raise Refused("neither a file nor a folder", subject=str(path), hint="sockets, pipes and devices have no bytes")
    return _Found(name, path, status.st_size)


def _read_all(found: list[_Found], threads: int) -> list[LocalFile]:
    keep, room = [], KEPT_TOTAL_MAX
    for file in found:
        keep.append(file.size_bytes <= min(KEPT_SIZE_MAX, room))
        room -= file.size_bytes if keep[-1] else 0
    if len(found) == 1:
        return [_read(found[0], keep[0])]
    with Threads(threads, "hash") as pool:
        return list(pool.map(_read, found, keep))


def _read(found: _Found, keep: bool) -> LocalFile:
    """Hash one file, whole and by block, in one pass."""
    whole, blocks, kept, total = hashlib.sha256(), [], bytearray(), 0
    try:
        with found.path.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            pickled = pickle_reason(found.name, stream)
            stream.seek(0)
            buffer = memoryview(bytearray(min(BLOCK_SIZE_BYTES, found.size_bytes + 1)))
            while block := _fill(stream, buffer):
                whole.update(block)
                blocks.append(hashlib.sha256(block).hexdigest())
                total += len(block)
                if keep:
                    kept += block
                if total > before.st_size:
                    break
            after = os.fstat(stream.fileno())
    except OSError as error:
        raise Refused(f"can't be read: {_said(error)}", subject=str(found.path), hint="mend its permissions") from None
    if total != found.size_bytes or _identity(before) != _identity(after) or before.st_size != total:
        raise changed(found.path)
    entry = FileEntry(found.name, total, "sha256:" + whole.hexdigest(), tuple(blocks))
    return LocalFile(entry, found.path, pickled, bytes(kept) if keep else None)


def changed(path: Path) -> Refused:
    """The error of a file that changes while it is published."""
    return Refused("it changes while it is being published", subject=str(path), hint="finish writing it first")


def _fill(stream: object, buffer: memoryview) -> memoryview:
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return buffer[:done]


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
