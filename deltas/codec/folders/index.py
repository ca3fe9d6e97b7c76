"""The index of a folder's delta: its files, and the folders that hold none. FORMAT.md is the specification."""

import hashlib
import json
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from modelcast.deltas.codec.container import FOLDER_VERSION, KIND_FOLDER, MAGIC, kind_of
from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.kernels import zstd
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.manifest import FILES_MAX, check_paths

INDEX_SIZE_MAX = 64 * 1024 * 1024
FOLDERS_MAX = 16 * FILES_MAX
"""Folders that paths may name, those above them included: a short index must not make millions."""
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
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """What a folder's delta makes: files, and the paths of folders in which there is nothing."""

    entries: tuple[Entry, ...]
    empty: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The tree digest."""
        return tree_digest(
            {e.path: e.digest for e in self.entries}, {e.path for e in self.entries if e.executable}, self.empty
        )


def tree_digest(files: Mapping[str, str], executable: Collection[str] = (), empty: Collection[str] = ()) -> str:
    """Names a folder: the SHA-256 of lines ``<digest> <path>``, sorted by path.

    Lines ``executable <path>`` and ``folder <path>`` follow where there are such, so that a folder of plain files
    has one name, whatever else a folder can hold.
    """
    lines = [f"{files[p]} {p}\n" for p in sorted(files, key=str.encode)]
    lines += [f"executable {p}\n" for p in sorted(executable, key=str.encode)]
    lines += [f"folder {p}\n" for p in sorted(empty, key=str.encode)]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def encode_tree(tree: Tree) -> bytes:
    """The bytes that stand before the files' deltas.

    Raises:
        UsageError: longer than a reader would take.
    """
    rows: list[list[object]] = [
        [e.path, e.size, e.digest, e.base, e.base_size, e.base_digest, e.delta_size, e.executable] for e in tree.entries
    ]
    rows += [[path] for path in tree.empty]
    raw = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    if len(raw) > INDEX_SIZE_MAX:
        raise UsageError("the names of the files take too much", hint=f"at most {INDEX_SIZE_MAX} bytes; pack them")
    packed = zstd.compress(raw, level=19)
    return _FIXED.pack(MAGIC, FOLDER_VERSION, KIND_FOLDER, len(packed), len(raw), zlib.crc32(packed)) + packed


def check_fits(paths: Collection[str], subject: str = "") -> None:
    """No more than a reader takes.

    Raises:
        UsageError: more.
    """
    if len(paths) > FILES_MAX:
        message = f"{len(paths)} files and empty folders"
        raise UsageError(message, subject=subject, hint=f"at most {FILES_MAX}; pack them")
    if _depth(paths) > FOLDERS_MAX:
        raise UsageError("the folders are too deep", subject=subject, hint="pack them")


def _depth(paths: Collection[str]) -> int:
    return sum(path.count("/") + 1 for path in paths)


def decode_tree(delta: memoryview) -> tuple[Tree, int]:
    """Read the index of a folder's delta, and where the first file's delta starts.

    Raises:
        BadDelta: damaged, cut off, or claiming what it may not.
    """
    if kind_of(delta) != KIND_FOLDER or len(delta) < _FIXED.size:
        raise BadDelta("this is not the delta of a folder")
    _, version, _, packed_size, size, crc = _FIXED.unpack_from(delta)
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
    tree = _tree(rows, version)
    paths = [*(e.path for e in tree.entries), *tree.empty]
    if _depth(paths) > FOLDERS_MAX:
        raise BadDelta("the folder's index names too many folders")
    try:
        check_paths(paths)
        for base in {e.base for e in tree.entries if e.base}:
            check_paths([base])
    except ContentError as error:
        raise BadDelta(f"the folder's index is hostile: {error.message}") from None
    if start + sum(e.delta_size for e in tree.entries) != len(delta):
        raise BadDelta("the folder's delta is cut off")
    return tree, start


def _tree(rows: list[object], version: int) -> Tree:
    entries: list[Entry] = []
    empty: list[str] = []
    for row in rows:
        if version > 1 and isinstance(row, list) and len(row) == 1 and isinstance(row[0], str):
            empty.append(row[0])
        else:
            entries.append(_entry(row, version))
    return Tree(tuple(entries), tuple(empty))


def _entry(row: object, version: int) -> Entry:
    if isinstance(row, list) and version == 1:
        row = [*row, False]
    if not isinstance(row, list) or len(row) != 8:
        raise BadDelta("the folder's index has a line that is no file")
    path, size, digest, base, base_size, base_digest, delta_size, executable = row
    texts = all(isinstance(t, str) for t in (path, digest, base, base_digest))
    counts = all(type(n) is int and 0 <= n < 1 << 50 for n in (size, base_size, delta_size))
    sound = texts and counts and type(executable) is bool
    if not sound or not DIGEST_PATTERN.fullmatch(digest) or bool(base) != bool(base_digest):
        raise BadDelta("the folder's index has a line that is no file")
    if (base and not DIGEST_PATTERN.fullmatch(base_digest)) or (not delta_size and base_digest != digest):
        raise BadDelta("the folder's index contradicts itself")
    return Entry(path, size, digest, base, base_size, base_digest, delta_size, executable)
