"""The bound that the benchmark compares with is an entropy, not an artefact of counting."""

import numpy as np
import pytest

from tests.bench.deltas.pairs import bound_bytes

COUNT = 300_000


def bits_a_value(differences: np.ndarray, *, corrected: bool) -> float:
    old = np.full(COUNT, 0x3F800000, np.uint32)  # one exponent: the bound is the entropy of the differences
    new = (old.astype(np.int64) + differences).astype(np.uint32)
    tensors = {"t": ("F32", old.view(np.float32))}, {"t": ("F32", new.view(np.float32))}
    return bound_bytes(*tensors, corrected=corrected) * 8 / COUNT


@pytest.mark.parametrize("deviation", [3, 300, 30_000, 200_000])
def test_the_corrected_bound_is_the_entropy_of_a_normal_step(deviation: int) -> None:
    steps = np.rint(np.random.default_rng(0).standard_normal(COUNT) * deviation).astype(np.int64)
    true = np.log2(deviation * np.sqrt(2 * np.pi * np.e))
    assert bits_a_value(steps, corrected=True) == pytest.approx(true, abs=0.02)
    assert bits_a_value(steps, corrected=False) <= np.log2(COUNT)


def test_bits_that_never_change_are_not_counted_as_noise() -> None:
    steps = np.rint(np.random.default_rng(0).standard_normal(COUNT) * 30_000).astype(np.int64)
    once = bits_a_value(steps, corrected=True)
    assert bits_a_value(steps * 8, corrected=True) == pytest.approx(once, abs=0.02)


def test_rows_that_change_cost_what_tells_them_apart() -> None:
    old = np.zeros((1000, 100), np.uint16)
    new = old.copy()
    new[:10] = 1
    bits = bound_bytes({"t": ("BF16", old)}, {"t": ("BF16", new)}) * 8
    assert bits == pytest.approx(1000 * (-0.01 * np.log2(0.01) - 0.99 * np.log2(0.99)), rel=0.01)
