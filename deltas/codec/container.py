"""The container: a fixed header, an index of frames, their payloads. FORMAT.md is the specification.

Everything is little-endian. Reading checks every count, offset and length against the file's true size and against
the limits here before memory is taken for it; what is accepted covers the new file exactly once.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.cancelling import CancelCheck, never_cancelled
from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.kernels import zstd
from modelcast.deltas.codec.layouts.dtypes import DTYPES, DType

MAGIC = b"\x89MCDELTA"
VERSION = 1
FOLDER_VERSION = 2
"""What folders' deltas are written with; those of version 1 are read."""
KIND_FILE = 1
KIND_FOLDER = 2
FRAME_BYTES_MAX = 32 * 1024 * 1024  # of the new file, but for copies, which take no memory
DICT_BYTES_MAX = 32 * 1024 * 1024
PIECES_MAX = 1 << 20
"""Frames, or segments, of any file."""
PIECES_FREE = 4096
PIECE_BYTES = 32
"""Beyond those that are free, so many bytes of the new file stand behind each: a tensor's entry takes more."""
SIZE_MAX = 1 << 50

_HEADER = struct.Struct("<8sHHIQ32sQ32sIIII")
HEADER_SIZE = _HEADER.size + 4
_HAS_BASE = 1
_FRAME = np.dtype(
    [("method", "u1"), ("dtype", "u1"), ("zero", "<u2"), ("segments", "<u4"), ("size", "<u4"), ("crc", "<u4")]
)
_SEGMENT = np.dtype([("new", "<u8"), ("new_size", "<u8"), ("old", "<u8"), ("old_size", "<u8")])
_NO_DIGEST = bytes(32)


class Method(IntEnum):
    """How a frame's part of the new file comes from its part of the old one and its payload."""

    COPY = 0
    GROUPED = 1
    ZSTD = 2
    PLANES = 3
    RAW = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of the new file and the range of the old one that it comes from (size 0: from nothing)."""

    new: int
    new_size: int
    old: int = 0
    old_size: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One independent piece of work."""

    method: Method
    dtype: DType
    segments: tuple[Segment, ...]
    size: int = 0
    crc: int = 0

    @property
    def new_size(self) -> int:
        """Bytes of the new file that it makes."""
        return sum(s.new_size for s in self.segments)


@dataclass(frozen=True, slots=True)
class Header:
    """What a delta says of itself. ``base_digest`` is None where no base is needed."""

    base_size: int
    base_digest: bytes | None
    new_size: int
    new_digest: bytes


@dataclass(frozen=True, slots=True)
class Index:
    """The header, the frames, and where the first payload starts."""

    header: Header
    frames: tuple[Frame, ...]
    payloads_start: int


def encode_index(header: Header, frames: Sequence[Frame]) -> bytes:
    """The bytes that stand before the payloads."""
    table = np.zeros(len(frames), _FRAME)
    for row, frame in zip(table, frames, strict=True):
        row["method"], row["dtype"] = frame.method, frame.dtype.code
        row["segments"], row["size"], row["crc"] = len(frame.segments), frame.size, frame.crc
    segments = np.array([(s.new, s.new_size, s.old, s.old_size) for f in frames for s in f.segments], dtype=_SEGMENT)
    # Field by field: columns of like numbers compress far better than rows.
    columns = [table[n].tobytes() for n in _FRAME.names or ()] + [segments[n].tobytes() for n in _SEGMENT.names or ()]
    packed = zstd.compress(b"".join(columns), level=9)
    fixed = _HEADER.pack(
        MAGIC,
        VERSION,
        KIND_FILE,
        _HAS_BASE if header.base_digest is not None else 0,
        header.base_size,
        header.base_digest or _NO_DIGEST,
        header.new_size,
        header.new_digest,
        len(frames),
        len(segments),
        len(packed),
        zlib.crc32(packed),
    )
    return fixed + struct.pack("<I", zlib.crc32(fixed)) + packed


def pieces_max(new_size: int) -> int:
    """How many segments (and so frames) an index may name: reading it costs in proportion to the file."""
    return min(new_size, PIECES_FREE + new_size // PIECE_BYTES, PIECES_MAX)


def kind_of(data: memoryview) -> int:
    """Whether this is a file's delta or a folder's.

    Raises:
        BadDelta: neither, or of a newer format.
    """
    if len(data) < 12 or data[:8] != MAGIC:
        raise BadDelta("this is not a delta", hint="deltas are made by: modelcast delta make OLD NEW OUT")
    version, kind = struct.unpack_from("<HH", data, 8)
    newest = {KIND_FILE: VERSION, KIND_FOLDER: FOLDER_VERSION}.get(kind, 0)
    if not 1 <= version <= newest:
        raise BadDelta(f"delta of an unknown format ({version}, {kind})", hint="a newer modelcast may have written it")
    return int(kind)


def decode_header(data: memoryview) -> tuple[Header, tuple[int, int, int, int]]:
    """Read the fixed header, and the counts of frames and segments, the index's size and checksum.

    Raises:
        BadDelta: it is damaged or claims too much.
    """
    if kind_of(data) != KIND_FILE:
        raise BadDelta("this is the delta of a folder, not of a file")
    if len(data) < HEADER_SIZE:
        raise BadDelta("delta is cut off in its header")
    fields = _HEADER.unpack_from(data)
    if struct.unpack_from("<I", data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
        raise BadDelta("delta header is damaged")
    _, _, _, flags, base_size, base_digest, new_size, new_digest, frames, segments, packed, crc = fields
    if flags not in {0, _HAS_BASE} or (not flags and (base_size or base_digest != _NO_DIGEST)):
        raise BadDelta("delta header contradicts itself")
    if base_size > SIZE_MAX or new_size > SIZE_MAX:
        raise BadDelta("delta declares impossible sizes")
    if not frames <= segments <= pieces_max(new_size) or packed > len(data) - HEADER_SIZE:
        raise BadDelta("delta declares impossible sizes")
    header = Header(base_size, base_digest if flags else None, new_size, new_digest)
    return header, (frames, segments, packed, crc)


def decode_index(data: memoryview) -> Index:
    """Read header and index of a whole delta.

    Raises:
        BadDelta: damaged, cut off, or claiming what it may not.
    """
    header, (frame_count, segment_count, packed_size, crc) = decode_header(data)
    start = HEADER_SIZE + packed_size
    packed = data[HEADER_SIZE:start]
    if zlib.crc32(packed) != crc:
        raise BadDelta("delta index is damaged")
    raw = zstd.decompress(packed, frame_count * _FRAME.itemsize + segment_count * _SEGMENT.itemsize)
    at = 0

    def columns(dtype: "np.dtype[Any]", count: int) -> dict[str, NDArray[np.int64]]:
        nonlocal at
        found = {}
        for name in dtype.names or ():
            column = np.frombuffer(raw, dtype[name], count, at)
            if count and int(column.max()) > SIZE_MAX:
                raise BadDelta("delta index declares impossible offsets")
            found[name], at = column.astype(np.int64), at + column.nbytes
        return found

    frames, segments = columns(_FRAME, frame_count), columns(_SEGMENT, segment_count)
    _check_cover(header, segments)
    if int(frames["segments"].sum()) != segment_count or int(frames["size"].sum()) != len(data) - start:
        raise BadDelta("delta is cut off, or its index does not fit it")
    return Index(header, _frames(frames, segments), start)


def _check_cover(header: Header, segments: dict[str, NDArray[np.int64]]) -> None:
    """Each byte of the new file is made exactly once, from bytes that the old one has."""
    order = np.argsort(segments["new"], kind="stable")
    starts, ends = segments["new"][order], (segments["new"] + segments["new_size"])[order]
    sound = (not len(starts) and header.new_size == 0) or (
        len(starts) and starts[0] == 0 and ends[-1] == header.new_size and bool((starts[1:] == ends[:-1]).all())
    )
    if not sound or (segments["new_size"] == 0).any():
        raise BadDelta("delta index does not cover the new file exactly once")
    if (segments["old"] + segments["old_size"] > header.base_size).any():
        raise BadDelta("delta index reaches past the end of the base")


def _frames(frames: dict[str, NDArray[np.int64]], segments: dict[str, NDArray[np.int64]]) -> tuple[Frame, ...]:
    rows = list(zip(*(segments[n].tolist() for n in ("new", "new_size", "old", "old_size")), strict=True))
    found, at = [], 0
    columns = (frames[n].tolist() for n in ("method", "dtype", "zero", "segments", "size", "crc"))
    for method, code, zero, count, size, crc in zip(*columns, strict=True):
        if method not in set(Method) or code >= len(DTYPES) or zero or not count:
            raise BadDelta("delta index names an unknown method or type", hint="a newer modelcast may have written it")
        frame = Frame(Method(method), DTYPES[code], tuple(Segment(*row) for row in rows[at : at + count]), size, crc)
        _check_frame(frame)
        found.append(frame)
        at += count
    return tuple(found)


def _check_frame(frame: Frame) -> None:
    same = all(s.new_size == s.old_size for s in frame.segments)
    aligned = all(s.new_size % frame.dtype.width == 0 for s in frame.segments)
    if frame.method is not Method.COPY and frame.new_size > FRAME_BYTES_MAX:
        raise BadDelta("delta frame is larger than allowed")
    sound = {
        Method.COPY: same and not frame.size,
        Method.GROUPED: same and aligned,
        Method.ZSTD: sum(s.old_size for s in frame.segments) <= DICT_BYTES_MAX,
        Method.PLANES: aligned and frame.dtype.rotates,
        Method.RAW: frame.size == frame.new_size,
    }[frame.method]
    if not sound:
        raise BadDelta(f"delta frame of method {frame.method.name} has ranges that do not fit")


def digest_text(digest: bytes) -> str:
    """A raw SHA-256 as the rest of the project writes it."""
    return "sha256:" + digest.hex()


def sha256_of_view(data: memoryview, check: CancelCheck = never_cancelled) -> bytes:
    """The raw SHA-256 of a mapped file, in pieces, so that other threads run between them; ``check`` may end it."""
    found = hashlib.sha256()
    for at in range(0, len(data), 1 << 24):
        check()
        found.update(data[at : at + (1 << 24)])
    return found.digest()
