"""One frame: which method is best for a block, and how each is undone."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec import grouped
from modelcast.deltas.codec.container import DICT_BYTES_MAX, Frame, Method, Segment
from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.kernels import planes, zstd
from modelcast.deltas.codec.kernels.selection import Kernels
from modelcast.deltas.codec.layouts.dtypes import DType
from modelcast.deltas.codec.work import Work

COPY_CHUNK_BYTES = 4 * 1024 * 1024
STRONG_BELOW_BYTES = 32 * 1024 * 1024  # files up to here are worth zstd's slow levels
WHOLE_WORTH_TRYING = 0.6  # of a block's size: dearer differences are compared with the block alone

Encoded = tuple[Frame, bytes]


def encode(work: Work, old: memoryview, new: memoryview, kernels: Kernels, thorough: bool | None = None) -> Encoded:
    """The frame of one block and its payload, by the method that takes fewest bytes."""
    segments = work.segments
    same_sizes = all(s.new_size == s.old_size for s in segments)
    if same_sizes and all(_equal(old[s.old : s.old + s.old_size], new[s.new : s.new + s.new_size]) for s in segments):
        return Frame(Method.COPY, work.dtype, segments), b""
    target = _gather(new, [(s.new, s.new_size) for s in segments])
    if not work.numbers:
        if thorough is None:
            thorough = len(new) <= STRONG_BELOW_BYTES or len(target) < 1 << 20
        base = _gather(old, [(s.old, s.old_size) for s in segments])[:DICT_BYTES_MAX]
        payload = zstd.compress_against(target, base, level=19 if thorough else 4)
        return _framed(Method.ZSTD, work.dtype, segments, payload, target)
    if not segments[0].old_size:
        return _best(work, [_alone(target, work.dtype, kernels)], target)
    source = _gather(old, [(s.old, s.old_size) for s in segments])
    payload = grouped.encode(_values(source, work.dtype), _values(target, work.dtype), work.dtype, kernels, work.row)
    offers = [(Method.GROUPED, payload)]
    if len(payload) > WHOLE_WORTH_TRYING * len(target):
        offers.append(_alone(target, work.dtype, kernels))
    return _best(work, offers, target)


def _alone(target: memoryview, dtype: DType, kernels: Kernels) -> tuple[Method, bytes]:
    if dtype.rotates:
        return Method.PLANES, planes.encode(_values(target, dtype), dtype, kernels)
    return Method.ZSTD, zstd.compress_order0(target) if dtype.width == 1 else zstd.compress(target, level=3)


def _best(work: Work, offers: list[tuple[Method, bytes]], target: memoryview) -> Encoded:
    method, payload = min(offers, key=lambda o: len(o[1]))
    segments = work.segments
    if method in {Method.ZSTD, Method.PLANES}:
        segments = tuple(Segment(s.new, s.new_size) for s in segments)
    return _framed(method, work.dtype, segments, payload, target)


def _framed(method: Method, dtype: DType, segments: tuple[Segment, ...], payload: bytes, target: memoryview) -> Encoded:
    if len(payload) >= len(target):
        method, payload = Method.RAW, bytes(target)
        segments = tuple(Segment(s.new, s.new_size) for s in segments)
    return Frame(method, dtype, segments, len(payload), zlib.crc32(payload)), payload


def decode(frame: Frame, payload: memoryview, old: memoryview, kernels: Kernels) -> memoryview:
    """The new bytes of a frame that is no copy, its segments one after the other.

    Raises:
        BadDelta: the payload is damaged or does not fit.
    """
    if zlib.crc32(payload) != frame.crc:
        raise BadDelta("a part of the delta is damaged")
    if frame.method is Method.RAW:
        return payload
    if frame.method is Method.PLANES:
        return _bytes_of(planes.decode(payload, frame.new_size // frame.dtype.width, frame.dtype, kernels))
    source = _gather(old, [(s.old, s.old_size) for s in frame.segments])
    if frame.method is Method.ZSTD:
        return memoryview(zstd.decompress(payload, frame.new_size, source))
    return _bytes_of(grouped.decode(payload, _values(source, frame.dtype), frame.dtype, kernels))


def memory_of(work: Work) -> int:
    """Bytes that encoding one block takes at most: its sides gathered, differences, what the coders hold."""
    size = sum(s.new_size for s in work.segments)
    if work.numbers:
        return 3 * size if work.few_rows else 6 * size
    base = sum(s.old_size for s in work.segments)
    return 2 * base + 3 * size + (48 << 20 if base + size > 1 << 22 else 4 << 20)


def memory_of_decoding(frame: Frame, payload: memoryview | None) -> int:
    """Bytes that decoding one frame takes at most; ``payload`` is None while it is not there to tell."""
    size = frame.new_size
    if frame.method is Method.COPY or frame.method is Method.RAW:
        return 0
    if frame.method is Method.ZSTD:
        return 2 * size + 2 * sum(s.old_size for s in frame.segments)
    if frame.method is Method.PLANES:
        return 3 * size
    kept = size // frame.dtype.width
    if payload is not None:
        kept = min(grouped.kept_values(payload), kept)
    gathered = size if len(frame.segments) > 1 else 0
    return gathered + size + 4 * kept * (frame.dtype.width + 1)


def _gather(data: memoryview, ranges: list[tuple[int, int]]) -> memoryview:
    """Ranges as one piece: a view where there is one, else a copy."""
    if len(ranges) == 1:
        at, size = ranges[0]
        return data[at : at + size]
    return memoryview(b"".join(data[at : at + size] for at, size in ranges))


def _values(data: memoryview, dtype: DType) -> NDArray[Any]:
    """Bytes as unsigned numbers. Tensors need not be aligned in a file; numpy copies what is not."""
    values = np.frombuffer(data, dtype.unsigned)
    return values if values.flags.aligned else values.copy()


def _bytes_of(values: NDArray[Any]) -> memoryview:
    return values.data.cast("B")


def _equal(a: memoryview, b: memoryview) -> bool:
    for at in range(0, len(a), COPY_CHUNK_BYTES):
        x = np.frombuffer(a[at : at + COPY_CHUNK_BYTES], np.uint8)
        if not np.array_equal(x, np.frombuffer(b[at : at + COPY_CHUNK_BYTES], np.uint8)):
            return False
    return True
