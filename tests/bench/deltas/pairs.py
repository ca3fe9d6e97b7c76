"""Pairs of models to make deltas of, and the bound that their deltas are compared with."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.layouts.dtypes import SAFETENSORS
from tests.bench.deltas.trained import KEPT, Weights, trained
from tests.support.records.pairs import Tensors, adam_step, bf16, safetensors_bytes, weights

Values = NDArray[Any]
LAYERS = 16


def fp8(values: Values) -> NDArray[np.uint8]:
    """Floats as e4m3 bits, scaled to use its range; halves round up."""
    bits = (np.clip(np.abs(values) * 256, 2.0**-6, 440).astype(np.float32).view(np.uint32) + (1 << 19)) >> 20
    return ((bits - (120 << 3)).astype(np.uint8) & 0x7F) | (np.signbit(values).astype(np.uint8) << 7)


def lora(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A rank-8 update merged into the last tenth."""
    rng = np.random.default_rng(2)
    rows = len(values) // 10 // 1024
    update = (rng.standard_normal((rows, 8)) @ rng.standard_normal((8, 1024)) * 3e-4).astype(np.float32)
    return np.concatenate(
        [values[: len(values) - rows * 1024], values[len(values) - rows * 1024 :] + update.reshape(-1)]
    )


def some_rows(values: NDArray[np.float32], row: int) -> NDArray[np.float32]:
    """2 % of the rows of an embedding table, by a step."""
    table = values[: len(values) // row * row].reshape(-1, row).copy()
    rows = np.random.default_rng(3).choice(len(table), len(table) // 50, replace=False)
    table[rows] += (np.random.default_rng(4).standard_normal((len(rows), row)) * 1e-3).astype(np.float32)
    return table


def heavy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step with tails far heavier than an optimiser's."""
    return values + (np.random.default_rng(5).standard_t(1.5, len(values)) * 1e-5).astype(np.float32)


def int8(values: NDArray[np.float32]) -> NDArray[np.int8]:
    """Quantised to 127 steps of four deviations."""
    return np.clip(np.round(values * 800), -127, 127).astype(np.int8)


def _layers(dtype: str, old: Values, new: Values) -> tuple[Tensors, Tensors]:
    parts = ({f"layers.{i}.weight": (dtype, p) for i, p in enumerate(np.array_split(v, LAYERS))} for v in (old, new))
    return next(parts), next(parts)


def _table(size: int, row: int) -> tuple[Tensors, Tensors]:
    values = weights(size // 2)
    later = some_rows(values, row)
    return {"embedding": ("BF16", bf16(values[: later.size].reshape(-1, row)))}, {"embedding": ("BF16", bf16(later))}


def _trained(size: int, dtype: str, steps: tuple[int, int]) -> tuple[Tensors, Tensors]:
    """The model's first tensors, up to ``size`` bytes."""
    kept = trained(lambda _: None).checkpoints

    def tensors(w: Weights) -> Tensors:
        each = {k: (dtype, bf16(v) if dtype == "BF16" else v) for k, v in w.items()}
        ends = np.cumsum([v.nbytes for _, v in each.values()])
        return {k: t for (k, t), end in zip(each.items(), ends, strict=True) if end <= size}

    return tensors(kept[steps[0]]), tensors(kept[steps[1]])


FIRST, NEXT, LAST = KEPT
# By name: what is made for a size in bytes. Trained pairs are no larger than they are.
PAIRS: dict[str, Callable[[int], tuple[Tensors, Tensors]]] = {
    "bf16 Adam step": lambda n: _layers("BF16", bf16(w := weights(n // 2)), bf16(adam_step(w, 1e-5))),
    "fp32 Adam step": lambda n: _layers("F32", w := weights(n // 4), adam_step(w, 1e-5)),
    "embedding, 2 % of rows of 256": lambda n: _table(n, 256),
    "embedding, 2 % of rows of 300": lambda n: _table(n, 300),
    "bf16 LoRA merge": lambda n: _layers("BF16", bf16(w := weights(n // 2)), bf16(lora(w))),
    "trained, bf16, one step": lambda n: _trained(n, "BF16", (NEXT, LAST)),
    "trained, fp32, one step": lambda n: _trained(n, "F32", (NEXT, LAST)),
    "trained, bf16, 20 steps": lambda n: _trained(n, "BF16", (FIRST, LAST)),
    "fp16 step": lambda n: _layers("F16", (w := weights(n // 2)).astype("f2"), adam_step(w, 1e-5).astype("f2")),
    "fp8 step": lambda n: _layers("F8_E4M3", fp8(w := weights(n)), fp8(adam_step(w, 3e-4))),
    "int8 step": lambda n: _layers("I8", int8(w := weights(n)), int8(adam_step(w, 1e-4))),
    "bf16 heavy tails": lambda n: _layers("BF16", bf16(w := weights(n // 2)), bf16(heavy(w))),
}
WANTED = dict.fromkeys(PAIRS, 0.98) | dict.fromkeys(
    ("fp16 step", "fp8 step", "int8 step", "bf16 heavy tails"), 0.95
)  # of the bound


def files_of(old: Tensors, new: Tensors) -> tuple[bytes, bytes]:
    """Both as safetensors."""
    return safetensors_bytes(old), safetensors_bytes(new)


def changed_share(old: Tensors, new: Tensors) -> float:
    """How many of the values differ."""
    before, after, _ = _joined(old, new)
    return float(np.mean(before != after))


def bound_bytes(old: Tensors, new: Tensors, *, corrected: bool = False) -> float:
    """The conditional entropy of the difference given the old exponent, of all values, in bytes.

    Where changes cluster, of the rows that changed (rows of 64 values or the tensors' own, whichever bound is lower),
    and what it takes to tell which.

    Args:
        corrected: an entropy taken from counts is too low where differences hardly repeat (of n values that are all
            different it is log2(n), however widely they are spread). So their low bits, which are noise there, are
            counted apart, and what Miller and Madow (1955) found is added: half a nat for each different value.
    """
    before, after, row = _joined(old, new)
    kind = SAFETENSORS[next(iter(old.values()))[0]]
    bounds = [_entropy_bits(before, after, kind.shift, kind.mask, corrected=corrected)]
    for length in {64, row} - {0}:
        whole = len(before) // length * length
        rows = (before != after)[:whole].reshape(-1, length).any(axis=1)
        p = float(rows.mean())
        telling = -len(rows) * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) if 0 < p < 1 else 0.0
        kept = np.append(np.repeat(rows, length), np.ones(len(before) - whole, bool))
        bits = _entropy_bits(before[kept], after[kept], kind.shift, kind.mask, corrected=corrected)
        bounds.append(telling + bits)
    return min(bounds) / 8


def _joined(old: Tensors, new: Tensors) -> tuple[Values, Values, int]:
    kind = SAFETENSORS[next(iter(old.values()))[0]]
    rows = {v.shape[-1] for _, v in old.values() if v.ndim > 1}
    sides = [np.concatenate([v.reshape(-1) for _, v in s.values()]).view(kind.unsigned) for s in (old, new)]
    return sides[0], sides[1], rows.pop() if len(rows) == 1 and len(old) == 1 else 0


def _entropy_bits(old: Values, new: Values, shift: int, mask: int, *, corrected: bool) -> float:
    keys = (old >> old.dtype.type(shift)) & old.dtype.type(mask)
    difference = new - old
    bits = 0.0
    for key in np.unique(keys):
        values = difference[keys == key]
        bits += _corrected(values) if corrected else _plain(values)
    return bits


def _plain(values: Values) -> float:
    counts = np.unique(values, return_counts=True)[1]
    total = counts.sum()
    return float(total * np.log2(total) - (counts * np.log2(counts)).sum())


def _corrected(values: Values) -> float:
    """Low bits are counted apart, as few as leave 16 values to each different rest."""
    signed = values.view(values.dtype.str.replace("u", "i"))
    for low in range(8 * values.dtype.itemsize):
        rest = signed >> low
        different = len(np.unique(rest))
        if 16 * different <= len(values) or low == 8 * values.dtype.itemsize - 1:
            break
    aside = _plain(values & values.dtype.type((1 << low) - 1)) if low else 0.0
    return _plain(rest) + (different - 1) / (2 * np.log(2)) + aside


def total_bytes(tensors: Mapping[str, tuple[str, Values]]) -> int:
    """Bytes of all values."""
    return sum(v.nbytes for _, v in tensors.values())
