"""Does a file hold a pickle? Loading one runs whatever its author wrote, so publishing one must be asked for.

Told by name, and by content: opcodes of any protocol, and numpy arrays of objects, also in archives and compressed
files, whatever these are called. Nothing is unpickled. What can't be looked into may hold one, and counts as one.
"""

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from modelcast.producers.artifact.archives import (
    BLOCK,
    DecompressionLimit,
    NotLookedInto,
    compression_of,
    decompressed,
    may_be_tar,
    spooled,
    tar_members,
    zip_members,
)
from modelcast.producers.artifact.forward import CHUNK_BYTES, Forward
from modelcast.producers.artifact.opcodes import OPCODES_MAX, calls_imported, holds_pickle

DEPTH_MAX = 4
"""Levels of archives in archives that are looked into."""
BEHIND_MAX_BYTES = 1024**2
"""Of a file, how much may stand before a pickle that is found nevertheless; of what lies in an archive, a chunk."""
PLACES_MAX = 2_000
"""Where a pickle may begin behind something else, how many places are tried: a list of words has many such lines."""
_NAMES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})
_PACKED = frozenset({".gz", ".bz2", ".xz", ".lzma", ".z", ".zst", ".lz4", ".zip"})
_ZIP = b"PK\x03\x04"
_NPY = b"\x93NUMPY"
_NPY_HEADER_MAX = 1024**2
_PLAIN_TYPE = re.compile(r"[<>=|]?[?bBhHiIlLqQefdgFDGSUVcumM]\d*(\[\w+\])?")
_PYTHON_2_LONG = re.compile(r"(\d)L\b")
_HEXADECIMAL = re.compile(rb"(0x)?[0-9a-fA-F]+L?\s*")
"""The size of what they hold, in 19 characters behind ``ZF``: how files begin that joblib compressed before 0.10."""
_BEGINNING = re.compile(rb"\x80[\x01-\x05]|(?<=\n)\(|c[^\W\d][\w.]{0,120}\n[^\W\d][\w.]{0,120}\n")
"""Where a pickle may begin, or where one without a header imports something."""


def pickle_reason(name: str, stream: BinaryIO) -> str | None:
    """Why the file is refused as a pickle, in a few words; None if it holds none.

    Args:
        name: its path, for the extension.
        stream: its bytes, seekable, at the start.

    Raises:
        OSError: the disk.
    """
    if named := _named(name):
        return f"a pickle: its name ends in {named}"
    try:
        found = _of_file(stream, DecompressionLimit())
    except NotLookedInto as error:
        return f"perhaps a pickle: it {error}"
    return f"a pickle: {found}" if found else None


def _named(name: str) -> str | None:
    suffixes = [s.lower() for s in PurePosixPath(name).suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in _NAMES else None


def _of_file(file: BinaryIO, limit: DecompressionLimit) -> str | None:
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    stream = Forward(file.read, lambda count: _leap(file, count, end))
    if stream.peek(len(_ZIP)) == _ZIP:
        return _of_members(zip_members(file, limit, certain=True), limit, 0)
    if found := _of_stream(stream, limit, 0):
        return found
    if zipfile.is_zipfile(file):  # behind something else: zips are read from their ends
        return _of_members(zip_members(file, limit, certain=False), limit, 0)
    return _behind(file, BEHIND_MAX_BYTES)


def _behind(file: BinaryIO, bytes_max: int) -> str | None:
    """Looks for a pickle behind something else: a line of text, or a header of someone's own."""
    file.seek(0)
    window = file.read(bytes_max)
    end = file.seek(0, io.SEEK_END)
    left = OPCODES_MAX
    for found in islice(_BEGINNING.finditer(window), PLACES_MAX):
        file.seek(found.start())
        named, count = calls_imported(Forward(file.read, lambda count: _leap(file, count, end)), left)
        if named:
            return f"it holds pickle opcodes behind {found.start()} other bytes"
        left -= count
    return None


def _leap(file: BinaryIO, count: int, end: int) -> None:
    file.seek(min(file.tell() + count, end))  # what looks like a length may be one that no file has


def _of_stream(stream: Forward, limit: DecompressionLimit, depth: int) -> str | None:
    if depth > DEPTH_MAX:
        raise NotLookedInto("holds archives in archives in archives")
    head = stream.peek(BLOCK)
    if head.startswith(_ZIP):
        with closing(spooled(stream)) as file:
            return _of_members(zip_members(file, limit, certain=True), limit, depth)
    if head.startswith(_NPY):
        return None if _is_plain_array(stream) else "it holds a numpy array of objects"
    if _is_joblib_zlib(head):
        return "it is what joblib wrote before 0.10, compressed"
    if compression := compression_of(head):
        found = _of_stream(decompressed(stream, limit), limit, depth + 1)
        return f"in {compression}, {found}" if found else None
    if may_be_tar(head) and (found := _of_members(tar_members(stream), limit, depth)):
        return found
    window = stream.peek(CHUNK_BYTES) if depth else b""
    return "it holds pickle opcodes" if holds_pickle(stream) else _behind(io.BytesIO(window), CHUNK_BYTES)


def _is_joblib_zlib(head: bytes) -> bool:
    size = head[2:21]
    return head.startswith(b"ZF") and len(size) == 19 and _HEXADECIMAL.fullmatch(size) is not None


def _of_members(members: Iterator[tuple[str, Forward]], limit: DecompressionLimit, depth: int) -> str | None:
    for name, stream in members:
        if _named(name):
            return f"an archive with {name[:80]} in it"
        if found := _of_stream(stream, limit, depth + 1):
            return f"an archive with {name[:80]} in it: {found}"
    return None


def _is_plain_array(stream: Forward) -> bool:
    """Whether an ``npy`` header names a type that can't hold objects."""
    stream.skip(len(_NPY))
    version = stream.read(2)
    size = int.from_bytes(stream.read(2 if version[:1] == b"\x01" else 4), "little")
    if size > _NPY_HEADER_MAX:
        return False
    text = stream.read(size).decode("utf-8" if version[:1] == b"\x03" else "latin-1", "replace")
    try:
        header = ast.literal_eval(_PYTHON_2_LONG.sub(r"\1", text).strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return isinstance(header, dict) and _is_plain_type(header.get("descr"))


def _is_plain_type(named: object) -> bool:
    if isinstance(named, str):
        return _PLAIN_TYPE.fullmatch(named) is not None
    if isinstance(named, tuple):  # a type and its shape
        return len(named) == 2 and _is_plain_type(named[0])
    if isinstance(named, list):
        return all(isinstance(field, tuple) and len(field) in {2, 3} and _is_plain_type(field[1]) for field in named)
    return False
