"""Tensors that changed their name: found by what they hold, from a sample of it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.layouts.tensors import Tensor
from modelcast.deltas.codec.pieces import Bytes

SAMPLE_VALUES = 512
CANDIDATES_MAX = 64
APART_BYTES = 4096  # values further apart are read one by one
LIKENESS_MIN = 0.6  # of sampled values, sign and exponent equal; unrelated weights agree in a quarter or less


def matched_by_content(
    old_data: Bytes, new_data: Bytes, old: Sequence[Tensor], new: Sequence[Tensor]
) -> dict[str, Tensor]:
    """For each unmatched new tensor, the unmatched old one of its type and size that it resembles most.

    At most ``CANDIDATES_MAX`` samples are compared a tensor, so that files with very many stay cheap.
    """
    by_form: defaultdict[tuple[str, int], list[Tensor]] = defaultdict(list)
    for tensor in old:
        by_form[tensor.kind, tensor.size_bytes].append(tensor)
    found: dict[str, Tensor] = {}
    samples: dict[str, NDArray[Any]] = {}
    for tensor in new:
        candidates = by_form[tensor.kind, tensor.size_bytes]
        mine = _sample(new_data, tensor)
        best, likeness = None, LIKENESS_MIN
        for candidate in candidates[:CANDIDATES_MAX]:
            if candidate.name not in samples:
                samples[candidate.name] = _sample(old_data, candidate)
            alike = float(np.mean(samples[candidate.name] == mine))
            if alike > likeness or (best is None and alike == likeness):
                best, likeness = candidate, alike
        if best is not None:
            candidates.remove(best)
            found[tensor.name] = best
    return found


def _sample(data: Bytes, tensor: Tensor) -> NDArray[Any]:
    dtype = tensor.dtype
    count = tensor.size_bytes // dtype.width
    step = max(1, count // SAMPLE_VALUES)
    if step * dtype.width <= APART_BYTES:
        every = np.frombuffer(data[tensor.start : tensor.end], dtype.unsigned)
        values = every[::step][: 2 * SAMPLE_VALUES]
    else:
        width = dtype.width
        starts = (tensor.start + at * width for at in range(0, count, step)[: 2 * SAMPLE_VALUES])
        values = np.frombuffer(b"".join(data[at : at + width] for at in starts), dtype.unsigned)
    sample: NDArray[Any] = values >> values.dtype.type(dtype.shift)
    return sample
