"""Deltas of folders: an archive of the files' deltas. A file that did not change is a line in its index."""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelcast.infra.delta import zstd
from modelcast.infra.delta.apply_file import apply_file
from modelcast.infra.delta.container import (
    KIND_FOLDER,
    MAGIC,
    VERSION,
    Frame,
    Index,
    decode_index,
    digest_text,
    kind_of,
    sha256_of_view,
)
from modelcast.infra.delta.errors import BadDelta, WrongBase, WrongResult
from modelcast.infra.delta.files import mapped, odd_kind, written_aside
from modelcast.infra.delta.info import DeltaInfo, shares_of
from modelcast.infra.delta.layouts import layouts_of
from modelcast.infra.delta.make_file import Layouts, make_file
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.manifest import FILES_MAX, check_paths

INDEX_SIZE_MAX = 64 * 1024 * 1024
_FIXED = struct.Struct("<8sHHIII")  # magic, version, kind, index packed, index, checksum of packed


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the new folder. Without ``delta_size`` it is the base's file ``base``, unchanged."""

    path: str
    size: int
    digest: str
    base: str
    base_size: int
    base_digest: str
    delta_size: int


@dataclass(frozen=True, slots=True)
class _Known:
    path: str
    size: int
    digest: str


def tree_digest(files: Mapping[str, str]) -> str:
    """Names a folder: the SHA-256 of lines ``<digest> <path>``, sorted by path."""
    lines = (f"{files[p]} {p}\n" for p in sorted(files, key=str.encode))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def make_folder(old: Path | None, new: Path, out: BinaryIO, *, threads: int | None, kernels: str | None) -> DeltaInfo:
    """Write the delta of a folder.

    Raises:
        UsageError: it holds links or devices, or names that a manifest does not allow.
    """
    listed = (_listed(old) if old is not None else {}, _listed(new))  # both, before anything is read
    before = {path: _known(path, at) for path, at in listed[0].items()}
    layouts = (layouts_of(old) if old is not None else {}, layouts_of(new))
    by_digest = {f.digest: f for f in reversed(before.values())}
    entries: list[Entry] = []
    frames: list[Frame] = []
    with tempfile.TemporaryFile(prefix="modelcast-delta-") as deltas:
        for file in (_known(path, at) for path, at in listed[1].items()):
            same, base = before.get(file.path), by_digest.get(file.digest)
            base = same if same and same.digest == file.digest else base or same
            at = deltas.tell()
            if base is None or base.digest != file.digest:
                known = (layouts[0].get(base.path) if base else None, layouts[1].get(file.path))
                index = _add(old, new, file, base, deltas, known, threads, kernels)
                frames += index.frames
            entries.append(
                Entry(
                    file.path,
                    file.size,
                    file.digest,
                    base.path if base else "",
                    base.size if base else 0,
                    base.digest if base else "",
                    deltas.tell() - at,
                )
            )
        start = _encode(entries)
        out.write(start)
        total = len(start) + deltas.tell()
        deltas.seek(0)
        shutil.copyfileobj(deltas, out, 1 << 20)
    return _info(entries, frames, total)


def _add(
    old: Path | None,
    new: Path,
    file: _Known,
    base: _Known | None,
    deltas: BinaryIO,
    layouts: Layouts,
    threads: int | None,
    kernels: str | None,
) -> Index:
    against = old / base.path if old is not None and base is not None else None
    known = (bytes.fromhex(base.digest[7:]) if base else None, bytes.fromhex(file.digest[7:]))
    return make_file(against, new / file.path, deltas, threads=threads, kernels=kernels, digests=known, layouts=layouts)


def apply_folder(
    old: Path | None,
    delta: memoryview,
    out: Path,
    *,
    expected_digest: str | None,
    expected_files: Mapping[str, str] | None,
    size_bytes_max: int | None,
    threads: int | None,
    kernels: str | None,
    subject: str = "",
) -> None:
    """Rebuild a folder beside ``out`` and rename it into place; see ``api.apply``."""
    try:
        entries, start = _decode(delta)
        files = {e.path: e.digest for e in entries}
        if expected_digest is not None and tree_digest(files) != expected_digest:
            raise WrongResult("this delta makes another folder than expected")
        if expected_files is not None and files != dict(expected_files):
            raise WrongResult("this delta makes other files than expected")
        if size_bytes_max is not None and sum(e.size for e in entries) > size_bytes_max:
            raise BadDelta(f"this delta makes more than the {size_bytes_max} bytes expected")
        if out.exists():
            raise UsageError("the folder to write is there already", subject=str(out), hint="name a new one")
        _check_bases(old, entries)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name[:200]}.", suffix=".partial", dir=out.parent))
        try:
            for entry in entries:
                target = aside / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _restore(old, entry, delta[start : start + entry.delta_size], target, threads, kernels)
                start += entry.delta_size
            aside.chmod(0o755)
            aside.rename(out)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except (BadDelta, WrongBase, WrongResult) as error:
        error.subject = error.subject or subject
        raise


def _check_bases(old: Path | None, entries: list[Entry]) -> None:
    """The digest of every base, before anything is made."""
    for name, digest in {e.base: e.base_digest for e in entries if e.base}.items():
        path = old / name if old is not None else None
        if path is None or path.is_symlink() or not path.is_file():
            raise WrongBase(f"the base has no file {name!r}", hint="this delta was made against another folder")
        with mapped(path) as data:
            if digest_text(sha256_of_view(data)) != digest:
                raise WrongBase(
                    f"the base has another file {name!r}", hint="this delta was made against another folder"
                )


def _restore(
    old: Path | None, entry: Entry, delta: memoryview, target: Path, threads: int | None, kernels: str | None
) -> None:
    base = old / entry.base if old is not None and entry.base else None
    if entry.delta_size:
        apply_file(
            base,
            delta,
            target,
            expected_digest=entry.digest,
            size_bytes_max=entry.size,
            base_digest=entry.base_digest or None,
            threads=threads,
            kernels=kernels,
            subject=entry.path,
        )
        return
    assert base is not None
    with mapped(base) as data, written_aside(target) as file:
        found = hashlib.sha256()
        for at in range(0, len(data), 1 << 22):
            found.update(data[at : at + (1 << 22)])
            file.write(data[at : at + (1 << 22)])
    if "sha256:" + found.hexdigest() != entry.digest:
        raise WrongResult("a file of the base changed while it was copied", subject=entry.path)


def folder_info(delta: memoryview, *, subject: str = "") -> DeltaInfo:
    """What a folder's delta is.

    Raises:
        BadDelta: it is damaged.
    """
    try:
        entries, start = _decode(delta)
        frames: list[Frame] = []
        for entry in entries:
            if entry.delta_size:
                frames += decode_index(delta[start : start + entry.delta_size]).frames
            start += entry.delta_size
    except BadDelta as error:
        error.subject = error.subject or subject
        raise
    return _info(entries, frames, len(delta))


def _info(entries: list[Entry], frames: list[Frame], total: int) -> DeltaInfo:
    bases = {e.base: e for e in entries if e.base}
    return DeltaInfo(
        kind="folder",
        base_digest=tree_digest({p: e.base_digest for p, e in bases.items()}) if bases else "",
        base_size_bytes=sum(e.base_size for e in bases.values()),
        new_digest=tree_digest({e.path: e.digest for e in entries}),
        new_size_bytes=sum(e.size for e in entries),
        delta_size_bytes=total,
        files=len(entries),
        files_unchanged=sum(not e.delta_size for e in entries),
        methods=shares_of(frames),
    )


def _encode(entries: list[Entry]) -> bytes:
    rows = [[e.path, e.size, e.digest, e.base, e.base_size, e.base_digest, e.delta_size] for e in entries]
    raw = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    packed = zstd.compress(raw, level=19)
    return _FIXED.pack(MAGIC, VERSION, KIND_FOLDER, len(packed), len(raw), zlib.crc32(packed)) + packed


def _decode(delta: memoryview) -> tuple[list[Entry], int]:
    if kind_of(delta) != KIND_FOLDER or len(delta) < _FIXED.size:
        raise BadDelta("this is not the delta of a folder")
    _, _, _, packed_size, size, crc = _FIXED.unpack_from(delta)
    start = _FIXED.size + packed_size
    packed = delta[_FIXED.size : start]
    if size > INDEX_SIZE_MAX or len(packed) != packed_size or zlib.crc32(packed) != crc:
        raise BadDelta("the folder's index is damaged")
    try:
        rows = json.loads(zstd.decompress(packed, size))
    except (ValueError, RecursionError):
        raise BadDelta("the folder's index is not JSON") from None
    if not isinstance(rows, list) or not len(rows) <= FILES_MAX:
        raise BadDelta("the folder's index is no list of files")
    entries = [_entry(row) for row in rows]
    try:
        check_paths([e.path for e in entries])
        for base in {e.base for e in entries if e.base}:
            check_paths([base])
    except ContentError as error:
        raise BadDelta(f"the folder's index is hostile: {error.message}") from None
    if start + sum(e.delta_size for e in entries) != len(delta):
        raise BadDelta("the folder's delta is cut off")
    return entries, start


def _entry(row: object) -> Entry:
    if not isinstance(row, list) or len(row) != 7:
        raise BadDelta("the folder's index has a line that is no file")
    path, size, digest, base, base_size, base_digest, delta_size = row
    texts = all(isinstance(t, str) for t in (path, digest, base, base_digest))
    counts = all(type(n) is int and 0 <= n < 1 << 50 for n in (size, base_size, delta_size))
    if not texts or not counts or not DIGEST_PATTERN.fullmatch(digest) or bool(base) != bool(base_digest):
        raise BadDelta("the folder's index has a line that is no file")
    if (base and not DIGEST_PATTERN.fullmatch(base_digest)) or (not delta_size and base_digest != digest):
        raise BadDelta("the folder's index contradicts itself")
    return Entry(path, size, digest, base, base_size, base_digest, delta_size)


def _listed(folder: Path) -> dict[str, Path]:
    """Where the files lie, by their path in the folder, in order.

    Raises:
        UsageError: something is no plain file, or has a name that no manifest allows.
    """
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root) / name
            if path.is_symlink():
                raise UsageError(
                    "this is a link, not a file", subject=str(path), hint="links are not followed: put the file there"
                )
            if kind := odd_kind(path):
                raise UsageError(f"this is {kind}, not a file", subject=str(path), hint="take it out of the folder")
        found += [Path(root) / name for name in files]
    names = {p.relative_to(folder).as_posix(): p for p in found}
    try:
        check_paths(list(names))
    except ContentError as error:
        raise UsageError(error.message, subject=str(folder), hint="rename it") from None
    return {name: names[name] for name in sorted(names, key=str.encode)}


def _known(name: str, at: Path) -> _Known:
    with mapped(at) as data:
        return _Known(name, len(data), digest_text(sha256_of_view(data)))
