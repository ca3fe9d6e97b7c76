"""The header of a safetensors file, read with limits: eight bytes of length, then JSON."""

import json
from collections.abc import Mapping

from modelcast.deltas.codec.layouts.dtypes import BYTES, SAFETENSORS
from modelcast.deltas.codec.layouts.tensors import TENSORS_MAX, Layout, Tensor, layout
from modelcast.deltas.codec.pieces import Bytes

HEADER_SIZE_MAX = 100_000_000  # what the format itself allows


def safetensors_layout(data: Bytes) -> Layout | None:
    """Read the layout of a file, or None if it is not sound safetensors: then it is a file like any other."""
    if len(data) < 8:
        return None
    length = int.from_bytes(data[:8], "little")
    start = 8 + length
    if length < 2 or length > HEADER_SIZE_MAX or start > len(data) or data[8] != ord("{"):
        return None
    try:
        header = json.loads(bytes(data[8:start]))
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or len(header) > TENSORS_MAX:
        return None
    tensors = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensor = _tensor(name, entry, start, len(data))
        if tensor is None:
            return None
        tensors.append(tensor)
    return layout(tensors, len(data))


def _tensor(name: str, entry: object, start: int, size: int) -> Tensor | None:
    if not isinstance(entry, Mapping):
        return None
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or not _counts(shape) or not _counts(offsets):
        return None
    assert isinstance(shape, list)
    assert isinstance(offsets, list)
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= size - start:
        return None
    return Tensor(name, SAFETENSORS.get(kind, BYTES), kind, tuple(shape), start + offsets[0], start + offsets[1])


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
