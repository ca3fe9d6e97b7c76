"""The compiled kernels and numpy's make the same bytes, and read each other's."""

from pathlib import Path

import numpy as np
import pytest

from modelcast.infra import delta
from modelcast.infra.delta import pco
from modelcast.infra.delta.grouped import GROUP_VALUES_MIN, groups_of
from modelcast.infra.delta.kernels import choose
from modelcast.schemas.errors import UsageError
from tests.infra.delta.pairs import adam_step, bf16, safetensors_bytes, weights, write

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


def test_small_work_does_not_wait_for_compiled_kernels() -> None:
    assert choose(1000).name == "numpy"
    assert choose(1 << 30).name == "numba"


def test_unknown_kernels_are_named() -> None:
    with pytest.raises(UsageError, match="fortran"):
        choose(0, "fortran")


def test_groups_are_never_too_small_for_statistics() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(0, 5000, 256) * (rng.random(256) < 0.2)
        group_of, starts = groups_of(counts)
        sizes = np.diff(starts)
        assert starts[0] == 0
        assert sizes.sum() == counts.sum()
        assert (sizes >= GROUP_VALUES_MIN).all() or len(sizes) == 1
        assert (np.bincount(group_of, counts, minlength=len(sizes)) == sizes).all()


def test_pcodec_still_writes_what_the_format_fixes() -> None:
    from pcodec import wrapped

    assert wrapped.FileCompressor().write_header() == b"\x04\x01"
    for dtype in ("<i1", "<i2", "<i4", "<i8", "<u4"):
        assert pco.compress(np.arange(5000).astype(dtype))[0][0] == 0
