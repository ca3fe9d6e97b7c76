"""Tensors that changed their name: found by what they hold, from a sample of it.

A tensor that changed little keeps sign and exponent of most values. The samples are cut into bands (locality-sensitive
hashing: Indyk and Motwani, 1998): tensors that share the bits of a whole band vote for each other, and only those with
most votes are compared. So the work grows with the number of tensors, not with its square.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.layouts.tensors import Tensor
from modelcast.deltas.codec.pieces import Bytes
from modelcast.deltas.codec.work import Pair

SAMPLE_VALUES = 512
APART_BYTES = 4096  # values further apart are read one by one
LIKENESS_MIN = 0.6  # of sampled values, sign and exponent equal; unrelated weights agree in a quarter or less
UNRELATED = 0.25
ALL_COMPARED_MAX = 64
"""Of so few, each is compared with each."""
SAME_BAND = 4  # unrelated tensors that share a band by chance: the width of bands is chosen for it
BANDS_MAX = 64
ENTRIES_MAX = 512 * 1024  # rows times bands, of all tensors of one form
SAMPLED_MAX = 8 * 1024 * 1024  # values, likewise
VOTERS_MAX = 16  # old tensors of one band that are heard
COMPARED_MAX = 8  # of those with most votes
STRANGE_FROM_BYTES = 4096  # smaller tensors of one name are not compared

Samples = NDArray[Any]
"""One row a tensor."""


def matched_by_content(
    old_data: Bytes, new_data: Bytes, old: Sequence[Tensor], new: Sequence[Tensor], pairs: Sequence[Pair] = ()
) -> dict[str, Tensor]:
    """For each new tensor without a partner, the old one of its type and size that it resembles most.

    Several may come of one: experts that begin as copies of one layer. A pair by name whose sides have nothing in
    common is treated like tensors without partners: experts change places, and their names stay.
    """
    strange = [pair for pair in pairs if not _alike(old_data, new_data, pair)]
    by_form = _by_form([*old, *(before for before, _ in strange)])
    found: dict[str, Tensor] = {}
    for form, tensors in _by_form([*new, *(after for _, after in strange)]).items():
        if held := by_form.get(form):
            values = SAMPLED_MAX // max(len(held), len(tensors))
            samples = (_samples(old_data, held, values), _samples(new_data, tensors, values))
            matches = zip(tensors, _matches(*samples), strict=True)
            found.update({tensor.name: held[at] for tensor, at in matches if at is not None})
    return found


def _alike(old_data: Bytes, new_data: Bytes, pair: Pair) -> bool:
    before, after = pair
    if before.size_bytes != after.size_bytes or after.size_bytes < STRANGE_FROM_BYTES:
        return True  # grown or shrunk along its first axis, or not worth a look
    return any(
        float(np.mean(look(old_data, before) == look(new_data, after))) >= LIKENESS_MIN for look in (_middle, _sample)
    )


def _by_form(tensors: Sequence[Tensor]) -> dict[tuple[str, int], list[Tensor]]:
    by_form: defaultdict[tuple[str, int], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        by_form[tensor.kind, tensor.size_bytes].append(tensor)
    return by_form


def _matches(old: Samples, new: Samples) -> list[int | None]:
    """For each row of ``new``, the row of ``old`` that is most like it; None: none is like it enough."""
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for at, row in enumerate(old):
        same[row.tobytes()].append(at)
    found: list[int | None] = []
    used: defaultdict[bytes, int] = defaultdict(int)
    voting = _Bands(old) if len(old) > ALL_COMPARED_MAX else None
    for row in new:
        if equal := same.get(row.tobytes()):
            found.append(equal[used[row.tobytes()] % len(equal)])  # in order: neighbours stay neighbours
            used[row.tobytes()] += 1
            continue
        among = voting.candidates(row) if voting else np.arange(len(old))
        alike = (old[among] == row).mean(axis=1)
        best = int(alike.argmax()) if len(among) else 0
        found.append(int(among[best]) if len(among) and alike[best] >= LIKENESS_MIN else None)
    return found


class _Bands:
    """Old samples by the bits of each of their bands."""

    def __init__(self, old: Samples) -> None:
        values = old.shape[1]
        width = min(values, math.ceil(math.log(len(old) / SAME_BAND, 1 / UNRELATED)))
        bands = max(1, min(BANDS_MAX, ENTRIES_MAX // len(old), values // width))
        self._taken = np.arange(bands * width) * values // (bands * width)
        self._band_bytes = width * old.dtype.itemsize
        self._holders: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        for at, row in enumerate(old):
            for band in self._bands(row):
                if len(self._holders[band]) < VOTERS_MAX:
                    self._holders[band].append(at)

    def candidates(self, row: Samples) -> NDArray[np.int64]:
        """The rows that share most bands with ``row``."""
        voters = [at for band in self._bands(row) for at in self._holders.get(band, ())]
        rows, votes = np.unique(np.array(voters, np.int64), return_counts=True)
        most: NDArray[np.int64] = rows[np.argsort(-votes, kind="stable")[:COMPARED_MAX]]
        return most

    def _bands(self, row: Samples) -> Iterator[tuple[int, bytes]]:
        values, size = row[self._taken].tobytes(), self._band_bytes
        return enumerate(values[at : at + size] for at in range(0, len(values), size))


def _samples(data: Bytes, tensors: Sequence[Tensor], values_max: int) -> Samples:
    rows = []
    for tensor in tensors:
        row = _sample(data, tensor)
        rows.append(row[:: -(-len(row) // values_max)] if len(row) > values_max else row)
    samples: Samples = np.stack(rows)
    return samples


def _middle(data: Bytes, tensor: Tensor) -> NDArray[Any]:
    """Some values in a row: one read tells most pairs that belong together."""
    width = tensor.dtype.width
    count = tensor.size_bytes // width
    taken = min(count, SAMPLE_VALUES)
    start = tensor.start + (count - taken) // 2 * width
    values = np.frombuffer(data[start : start + taken * width], tensor.dtype.unsigned)
    middle: NDArray[Any] = values >> values.dtype.type(tensor.dtype.shift)
    return middle


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
    return sample.astype(np.uint16) if 8 * dtype.width - dtype.shift <= 16 else sample
