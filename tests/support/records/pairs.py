"""Files to make deltas of: safetensors written by hand, so that odd ones can be written too."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, tuple[str, NDArray[Any]]]  # name: (safetensors dtype, values)


def safetensors_bytes(tensors: Tensors, metadata: Mapping[str, str] | None = None, *, hole: int = 0) -> bytes:
    """A file with the tensors in the order given, ``hole`` unused bytes after each."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, at = [], 0
    for name, (dtype, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        parts += [values.tobytes(), b"\xaa" * hole]
        at += values.nbytes + hole
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def write(path: Path, data: bytes) -> Path:
    """Write and return the path."""
    path.write_bytes(data)
    return path


def bf16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Floats rounded to nearest even, as bf16 bits."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def weights(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Weights of layers of different scales."""
    rng = np.random.default_rng(seed)
    scales = np.geomspace(0.005, 0.1, 16)
    return np.concatenate(
        [rng.standard_normal(len(p)) * s for p, s in zip(np.array_split(np.empty(count), 16), scales, strict=True)]
    ).astype(np.float32)


def adam_step(values: NDArray[np.float32], rate: float, seed: int = 1) -> NDArray[np.float32]:
    """What one step of Adam does: a change of about ``rate`` everywhere, whatever the value."""
    step = np.random.default_rng(seed).standard_normal(len(values)).astype(np.float32)
    return values - np.float32(rate) * step
