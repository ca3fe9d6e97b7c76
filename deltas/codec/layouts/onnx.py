"""Where the tensors of an ONNX model lie, in the model's file and in those that hold its external data.

A walk over protobuf's wire format that looks at lengths and steps over everything else: no message is built, no byte of
a tensor is read, and every length is checked against what encloses it. What is not a sound model has no layout.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelcast.deltas.codec.layouts.dtypes import BYTES, ONNX, DType
from modelcast.deltas.codec.pieces import Bytes

DEPTH_MAX = 16  # of graphs inside graphs
FIELDS_MAX = 4_000_000  # in all: more is no model, and would take long
WORTH_A_LOOK_BYTES = 256  # nodes below hold no tensor worth finding
_NAME_MAX = 4096

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_OUTPUT, _NODE_ATTRIBUTE = 2, 5
_FUNCTION_NODE = 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class OnnxTensor:
    """One tensor of a model.

    Attributes:
        location: the file that holds its bytes, relative to the model's folder; "" is the model's own file.
        end: None: up to the end of that file.
    """

    name: str
    dtype: DType
    kind: str
    shape: tuple[int, ...]
    location: str
    start: int
    end: int | None


class _Unsound(Exception):
    """This is no ONNX model."""


def onnx_tensors(data: Bytes) -> tuple[OnnxTensor, ...] | None:
    """The tensors of an ONNX model, in the file's order; None if it is none. Names are made unique."""
    # The first field of every model written in practice is ir_version: other files are known by one byte.
    if len(data) < 2 or data[0] != _key(1, _VARINT):
        return None
    try:
        return _named_apart(_Walk(data).model())
    except _Unsound:
        return None


def _key(field: int, wire: int) -> int:
    return field << 3 | wire


def _named_apart(tensors: list[OnnxTensor]) -> tuple[OnnxTensor, ...]:
    seen: dict[str, int] = {}
    found = []
    for t in tensors:
        count = seen[t.name] = seen.get(t.name, 0) + 1
        name = t.name if count == 1 else f"{t.name}#{count}"
        found.append(OnnxTensor(name, t.dtype, t.kind, t.shape, t.location, t.start, t.end))
    return tuple(found)


class _Walk:
    """One pass over a model's bytes."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._fields_left = FIELDS_MAX
        self._found: list[OnnxTensor] = []

    def model(self) -> list[OnnxTensor]:
        graphs = 0
        for field, start, end in self._fields(0, len(self._data)):
            if field == _MODEL_GRAPH:
                graphs += 1
                self._graph(start, end, 0)
            elif field == _MODEL_FUNCTIONS:
                for inner, s, e in self._fields(start, end):
                    if inner == _FUNCTION_NODE:
                        self._node(s, e, 0)
        if graphs != 1:
            raise _Unsound
        return self._found

    def _graph(self, start: int, end: int, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise _Unsound
        for field, s, e in self._fields(start, end):
            if field == _GRAPH_INITIALIZER:
                self._tensor(s, e, "")
            elif field == _GRAPH_NODE:
                self._node(s, e, depth)

    def _node(self, start: int, end: int, depth: int) -> None:
        if end - start < WORTH_A_LOOK_BYTES:
            return
        output = ""
        for field, s, e in self._fields(start, end):
            if field == _NODE_OUTPUT and not output:
                output = self._text(s, e)
            elif field == _NODE_ATTRIBUTE:
                for inner, a, b in self._fields(s, e):
                    if inner in {_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS}:
                        self._tensor(a, b, output)
                    elif inner in {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS}:
                        self._graph(a, b, depth + 1)

    def _tensor(self, start: int, end: int, name: str) -> None:
        shape: list[int] = []
        kind, inline, outside, far = 0, None, {}, False
        for field, s, e in self._fields(start, end):
            if field == _TYPE:
                kind = s
            elif field == _NAME:
                name = self._text(s, e) or name
            elif field == _DIMS:
                shape += self._varints(s, e) if e >= 0 else [s]
            elif field in {_RAW, _FLOATS, _DOUBLES} and e > s:
                inline = (field, s, e)
            elif field == _EXTERNAL and e >= 0:
                pair = {f: self._text(a, b) for f, a, b in self._fields(s, e) if b >= 0}
                outside[pair.get(1, "")] = pair.get(2, "")
            elif field == _LOCATION:
                far = s == 1
        dtype, dims = ONNX.get(kind, BYTES), tuple(shape)
        if far or (outside and not inline):
            self._external(name, dtype, kind, dims, outside)
        elif inline:
            field, s, e = inline
            if field != _RAW:
                dtype = ONNX[1] if field == _FLOATS else ONNX[11]
            self._found.append(OnnxTensor(name, dtype, str(kind), dims, "", s, e))

    def _external(self, name: str, dtype: DType, kind: int, shape: tuple[int, ...], outside: dict[str, str]) -> None:
        location, offset, length = outside.get("location", ""), outside.get("offset", "0"), outside.get("length", "")
        if not location or not _is_count(offset) or (length and not _is_count(length)):
            raise _Unsound
        start = int(offset)
        self._found.append(
            OnnxTensor(name, dtype, str(kind), shape, location, start, start + int(length) if length else None)
        )

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Each field's number, and where its bytes start and end; of a number, its value and -1."""
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise _Unsound
            key, at = self._varint(at, end)
            wire, field = key & 7, key >> 3
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield field, value, -1
                continue
            if wire == _BYTES:
                size, at = self._varint(at, end)
            elif wire in {_FIXED64, _FIXED32}:
                size = 8 if wire == _FIXED64 else 4
            else:
                raise _Unsound
            if not field or size > end - at:
                raise _Unsound
            yield field, at, at + size
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _Unsound

    def _varints(self, at: int, end: int) -> list[int]:
        found = []
        while at < end:
            value, at = self._varint(at, end)
            found.append(value)
            if len(found) > 64:
                raise _Unsound
        return found

    def _text(self, start: int, end: int) -> str:
        if end < 0 or end - start > _NAME_MAX:
            raise _Unsound
        return bytes(self._data[start:end]).decode(errors="replace")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
