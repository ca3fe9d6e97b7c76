"""Whether a file is an ONNX model, which other files hold its weights, and how long these must be.

A walk over protobuf's wire format (field numbers of onnx.proto) that steps over everything but initializers' external
data: no message is built, and no weight is read.
"""

import io
import posixpath
from collections.abc import Mapping
from typing import BinaryIO

from modelcast.producers.artifact.formats import NotWellFormed, TooManyFields, WireReader
from modelcast.schemas.errors import Refused

FIELDS_MAX = 1_000_000
DEPTH_MAX = 16
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_FUNCTION = 1, 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _FUNCTION_NODE, _NODE_ATTRIBUTE = 1, 5, 7, 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _TENSOR_EXTERNAL = (5, 10), (6, 11), 13
_ATTRIBUTE_NODES_MIN_BYTES = 64
"""Nodes below hold neither a graph nor a tensor with external data."""
_VARINT, _BYTES = 0, 2


def external_data(stream: BinaryIO) -> Mapping[str, int] | None:
    """Where an ONNX model's external data lies, as it says, and where the bytes that it wants of each place end.

    Returns:
        None: this is no ONNX model, or a damaged one: its fields do not fill the file, or it has no graph.

    Raises:
        OSError: the disk.
    """
    size = stream.seek(0, io.SEEK_END)
    walk = _Walk(stream)
    versions = graphs = 0
    try:
        for field, wire, start, end in walk.reader.fields(0, size):
            versions += (field, wire) == (_MODEL_IR_VERSION, _VARINT)
            if (field, wire) == (_MODEL_GRAPH, _BYTES):
                graphs += 1
                walk.graph(start, end, 0)
            elif (field, wire) == (_MODEL_FUNCTION, _BYTES):
                walk.nodes(start, end, _FUNCTION_NODE, 0)
    except NotWellFormed:
        return None
    except TooManyFields:
        return walk.found
    return walk.found if versions and graphs else None


def check_external_data(name: str, external: Mapping[str, int], sizes: Mapping[str, int]) -> None:
    """Refuse an ONNX model whose weights lie in files that are not published with it, or are cut off.

    Args:
        name: its path.
        external: as ``external_data`` has found it.
        sizes: of all files that are published, by path.

    Raises:
        Refused: one is missing or too short.
    """
    for location, end in sorted(external.items()):
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


class _Walk:
    def __init__(self, stream: BinaryIO) -> None:
        self.reader = WireReader(stream, FIELDS_MAX)
        self.found: dict[str, int] = {}

    def graph(self, start: int, end: int, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise NotWellFormed
        for field, wire, s, e in self.reader.fields(start, end):
            if wire != _BYTES:
                continue
            if field == _GRAPH_INITIALIZER:
                self._tensor(s, e)
            elif field == _GRAPH_NODE:
                self._node(s, e, depth)

    def nodes(self, start: int, end: int, number: int, depth: int) -> None:
        for field, wire, s, e in self.reader.fields(start, end):
            if (field, wire) == (number, _BYTES):
                self._node(s, e, depth)

    def _node(self, start: int, end: int, depth: int) -> None:
        if end - start < _ATTRIBUTE_NODES_MIN_BYTES:
            return
        for field, wire, s, e in self.reader.fields(start, end):
            if (field, wire) == (_NODE_ATTRIBUTE, _BYTES):
                self._attribute(s, e, depth)

    def _attribute(self, start: int, end: int, depth: int) -> None:
        for field, wire, s, e in self.reader.fields(start, end):
            if wire != _BYTES:
                continue
            if field in _ATTRIBUTE_TENSORS:
                self._tensor(s, e)
            elif field in _ATTRIBUTE_GRAPHS:
                self.graph(s, e, depth + 1)

    def _tensor(self, start: int, end: int) -> None:
        parsed: dict[str, str] = {}
        for field, wire, s, e in self.reader.fields(start, end):
            if (field, wire) == (_TENSOR_EXTERNAL, _BYTES):
                pair = {f: self.reader.text(a, b) for f, w, a, b in self.reader.fields(s, e) if w == _BYTES}
                parsed[pair.get(1, "")] = pair.get(2, "")
        location = parsed.get("location")
        if location:
            try:
                ends = int(parsed.get("offset") or 0) + int(parsed.get("length") or 0)
            except ValueError:
                raise NotWellFormed from None
            self.found[location] = max(self.found.get(location, 0), ends)
