"""The compiled kernels and numpy's make the same bytes, and read each other's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.codec.grouped import GROUP_VALUES_MIN, group_borders
from modelcast.deltas.codec.kernels import pco
from modelcast.deltas.codec.kernels.selection import choose
from modelcast.schemas.errors import UsageError
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights, write

VALUES = weights(400_000)
PAIRS = {
    "BF16": (bf16(VALUES), bf16(adam_step(VALUES, 1e-5))),
    "F32": (VALUES, adam_step(VALUES, 1e-5)),
    "F16": (VALUES.astype(np.float16), adam_step(VALUES, 1e-4).astype(np.float16)),
    "F64": (VALUES.astype(np.float64), adam_step(VALUES, 1e-5).astype(np.float64)),
    "F8_E4M3": ((bf16(VALUES) >> 8).astype(np.uint8), (bf16(adam_step(VALUES, 1e-3)) >> 8).astype(np.uint8)),
    "I8": ((VALUES * 100).astype(np.int8), (adam_step(VALUES, 1e-3) * 100).astype(np.int8)),
    "I64": ((VALUES * 1e6).astype(np.int64), (adam_step(VALUES, 1e-3) * 1e6).astype(np.int64)),
}


@pytest.mark.parametrize("dtype", sorted(PAIRS))
def test_both_make_the_same_container_and_read_it(dtype: str, tmp_path: Path) -> None:
    old, new = (
        write(tmp_path / n, safetensors_bytes({"t": (dtype, v)})) for n, v in zip("ab", PAIRS[dtype], strict=True)
    )
    for kernels in ("numpy", "numba"):
        assert "grouped" in {m.method for m in delta.make(old, new, tmp_path / kernels, kernels=kernels).methods}
        delta.apply(old, tmp_path / kernels, tmp_path / "out", kernels=kernels)
        assert (tmp_path / "out").read_bytes() == new.read_bytes()
    assert (tmp_path / "numpy").read_bytes() == (tmp_path / "numba").read_bytes()


def test_small_work_does_not_wait_for_compiled_kernels_but_uses_those_that_are_there() -> None:
    script = """
from modelcast.deltas.codec.kernels.selection import choose
print(choose(1000).name, choose(1 << 30).name, choose(1000).name, choose(1 << 30, "numpy").name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=170, check=True)
    assert done.stdout.split() == ["numpy", "numba", "numba", "numpy"]


def test_whoever_works_on_and_on_has_them_compiled_in_the_end() -> None:
    script = """
from modelcast.deltas.codec.kernels.selection import WORTH_LOADING_BYTES, choose
third = WORTH_LOADING_BYTES // 3 + 1
print(choose(third).name, choose(1 << 40, "numpy").name, choose(third).name, choose(third).name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=170, check=True)
    assert done.stdout.split() == ["numpy", "numpy", "numpy", "numba"]


def test_unknown_kernels_are_named() -> None:
    with pytest.raises(UsageError, match="fortran"):
        choose(0, "fortran")


def test_groups_are_never_too_small_for_statistics() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(0, 5000, 256) * (rng.random(256) < 0.2)
        borders = group_borders(counts)
        sizes = np.diff(borders)
        assert borders[0] == 0
        assert sizes.sum() == counts.sum()
        assert (sizes >= GROUP_VALUES_MIN).all() or len(sizes) == 1
        assert set(borders) <= {0, *np.cumsum(counts).tolist()}


@pytest.mark.parametrize("kind", ["<u1", "<u2", "<u4", "<u8"])
@pytest.mark.parametrize("size", [1, 63, 64, 1000, 70_001])
def test_each_kernel_does_the_same_in_both(kind: str, size: int) -> None:
    rng = np.random.default_rng(size)
    compiled, plain = choose(0, "numba"), choose(0, "numpy")
    old = rng.integers(0, 200, size).astype(kind)
    new = old + (rng.random(size) < 0.3).astype(kind)
    for row in (1, 8, 64, 100):
        rows = [k.changed_rows(old, new, row) for k in (compiled, plain)]
        assert (rows[0][0] == rows[1][0]).all()
        assert rows[0][1] == rows[1][1] == np.count_nonzero(old != new)
        assert rows[0][0].tolist() == [bool((old[a : a + row] != new[a : a + row]).any()) for a in range(0, size, row)]
    for shift, mask in ((3, 15), (0, 0), (5, 7)):
        counts = [k.histogram(old, shift, mask) for k in (compiled, plain)]
        assert (counts[0] == counts[1]).all()
        ordered = [np.empty_like(old) for _ in range(2)]
        for kernels, out in zip((compiled, plain), ordered, strict=True):
            kernels.split(old, new, shift, mask, counts[0], out)
        assert (ordered[0] == ordered[1]).all()
        for kernels in (compiled, plain):
            out = np.empty_like(old)
            assert kernels.join(old, ordered[0], shift, mask, counts[0], 0, out)
            assert (out == new).all()
            moved = counts[0].copy()
            moved[[0, 1]] += [1, -1]
            assert not kernels.join(old, ordered[0], shift, mask, moved, 0, out)
    count = int(np.count_nonzero(new))
    gaps, found = plain.changes(new, count)
    for kernels in (compiled, plain):
        assert [a.tolist() for a in kernels.changes(new, count)] == [gaps.tolist(), found.tolist()]
        out = np.zeros_like(new)
        assert kernels.place(gaps, found, out)
        assert (out == new).all()
        assert not kernels.place(gaps, found, np.zeros(max(0, np.flatnonzero(new)[-1]), kind))


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("size", [0, 1, 70_001])
def test_planes_are_the_rotated_bytes_in_both(width: int, size: int) -> None:
    values = np.random.default_rng(1).integers(0, 256, size * width, dtype=np.uint8).view(f"<u{width}")
    turned = ((values << values.dtype.type(1)) | (values >> values.dtype.type(8 * width - 1))).view(np.uint8)
    for name in ("numba", "numpy"):
        kernels = choose(0, name)
        high, middle = np.empty(size, np.uint8), np.empty(size if width == 4 else 0, np.uint8)
        low, out = np.empty(size, f"<u{width // 2}"), np.empty_like(values)
        kernels.apart(values, high, middle, low)
        assert high.tolist() == turned[width - 1 :: width].tolist()
        assert middle.tolist() == (turned[2::4].tolist() if width == 4 else [])
        kernels.together(high, middle, low, out)
        assert (out == values).all()


def test_pcodec_still_writes_what_the_format_fixes() -> None:
    from pcodec import wrapped

    assert wrapped.FileCompressor().write_header() == b"\x04\x01"
    for dtype in ("<i1", "<i2", "<i4", "<i8", "<u4"):
        assert pco.compress(np.arange(5000).astype(dtype))[0][0] == 0
