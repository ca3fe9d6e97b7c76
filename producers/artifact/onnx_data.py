"""Which other files hold the weights of an ONNX model, and how long these must be.

A walk over protobuf's wire format (field numbers of onnx.proto) that steps over everything but initializers' external
data: no message is built, and no weight is read.
"""

import io
import posixpath
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from modelcast.schemas.errors import Refused

FIELDS_MAX = 1_000_000
TEXT_MAX = 4096
DEPTH_MAX = 16
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER, _NODE_ATTRIBUTE = 7, 1, 5, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _TENSOR_EXTERNAL = 5, 6, 13
_ATTRIBUTE_NODES_MIN_BYTES = 64
"""Nodes below hold neither a graph nor a tensor with external data."""


class _Unsound(Exception):
    """This is no ONNX model, or a damaged one: pods find out."""


def check_external_data(name: str, stream: BinaryIO, sizes: Mapping[str, int]) -> None:
    """Refuse an ONNX model whose weights lie in files that are not published with it, or are cut off.

    Args:
        name: its path.
        stream: its bytes, seekable.
        sizes: of all files that are published, by path.

    Raises:
        Refused: one is missing or too short.
        OSError: the disk.
    """
    for location, end in sorted(_external(stream).items()):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), location))
        if path not in sizes:
            raise Refused(
                f"its weights lie in {location[:200]!r}, which is not there",
                subject=name,
                hint="publish the folder that holds both, or save the model as one file",
            )
        if sizes[path] < end:
            raise Refused(
                f"its weights in {location[:200]!r} are cut off: {sizes[path]} bytes of at least {end}",
                subject=name,
                hint="save or copy them again, to the end",
            )


def _external(stream: BinaryIO) -> dict[str, int]:
    """Locations, and where the bytes that the model wants of each end."""
    size = stream.seek(0, io.SEEK_END)
    walk = _Walk(stream)
    try:
        for field, start, end in walk.fields(0, size):
            if field == _MODEL_GRAPH:
                walk.graph(start, end, 0)
    except _Unsound:
        return {}
    return walk.found


class _Walk:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = FIELDS_MAX
        self._block, self._block_at = b"", 0
        self.found: dict[str, int] = {}

    def graph(self, start: int, end: int, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise _Unsound
        for field, s, e in self.fields(start, end):
            if field == _GRAPH_INITIALIZER:
                self._tensor(s, e)
            elif field == _GRAPH_NODE and e - s >= _ATTRIBUTE_NODES_MIN_BYTES:
                for inner, a, b in self.fields(s, e):
                    if inner == _NODE_ATTRIBUTE:
                        self._attribute(a, b, depth)

    def _attribute(self, start: int, end: int, depth: int) -> None:
        for field, s, e in self.fields(start, end):
            if field == _ATTRIBUTE_TENSOR:
                self._tensor(s, e)
            elif field == _ATTRIBUTE_GRAPH:
                self.graph(s, e, depth + 1)

    def _tensor(self, start: int, end: int) -> None:
        parsed: dict[str, str] = {}
        for field, s, e in self.fields(start, end):
            if field == _TENSOR_EXTERNAL:
                pair = {f: self._text(a, b) for f, a, b in self.fields(s, e)}
                parsed[pair.get(1, "")] = pair.get(2, "")
        location = parsed.get("location")
        if location:
            try:
                ends = int(parsed.get("offset") or 0) + int(parsed.get("length") or 0)
            except ValueError:
                raise _Unsound from None
            self.found[location] = max(self.found.get(location, 0), ends)

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Fields of length-delimited type between two positions: number, start, end. Others are stepped over."""
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _Unsound
            key, at = self._varint(at, end)
            match key & 7:
                case 0:
                    _, at = self._varint(at, end)
                case 1:
                    at += 8
                case 2:
                    length, at = self._varint(at, end)
                    if at + length > end:
                        raise _Unsound
                    yield key >> 3, at, at + length
                    at += length
                case 5:
                    at += 4
                case _:
                    raise _Unsound

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _Unsound
            byte = self._bytes(at, 1)[0]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _Unsound

    def _text(self, start: int, end: int) -> str:
        if end - start > TEXT_MAX:
            raise _Unsound
        try:
            return self._bytes(start, end - start).decode()
        except UnicodeDecodeError:
            raise _Unsound from None

    def _bytes(self, at: int, count: int) -> bytes:
        begin = at - self._block_at
        if begin < 0 or begin + count > len(self._block):
            self._stream.seek(at)
            self._block, self._block_at, begin = self._stream.read(max(4096, count)), at, 0
        found = self._block[begin : begin + count]
        if len(found) < count:
            raise _Unsound
        return found
