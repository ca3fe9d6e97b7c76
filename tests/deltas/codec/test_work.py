"""Which blocks a new file is cut into."""

import itertools

import pytest

from modelcast.deltas.codec.layouts.dtypes import DTYPES, DType
from modelcast.deltas.codec.layouts.tensors import Layout, Tensor
from modelcast.deltas.codec.work import BLOCK_BYTES_MAX, TAIL_BYTES, TAIL_FROM_BYTES, Work, plan_tensors

FP16 = next(d for d in DTYPES if d.name == "fp16")
FP32 = next(d for d in DTYPES if d.name == "fp32")
MIB = 1 << 20


def layout_of(sizes: list[int], dtype: DType = FP32) -> Layout:
    tensors, at = [], 4096
    for number, size in enumerate(sizes):
        tensors.append(Tensor(f"t{number}", dtype, "F32", (size // dtype.width,), at, at + size))
        at += size
    return Layout(tuple(tensors))


def planned(sizes: list[int], row: int = 0) -> list[Work]:
    there = layout_of(sizes)
    end = there.tensors[-1].end
    return plan_tensors(there, there, end, old_size=end, rows=lambda _a, _b: row)


def size_of(work: Work) -> int:
    return sum(s.new_size for s in work.segments)


@pytest.mark.parametrize("sizes", [[80 * MIB], [4 * MIB] * 20, [3 * MIB + 8] * 30, [72 * MIB, 4]])
@pytest.mark.parametrize("row", [0, 300])
def test_a_large_file_ends_in_small_blocks_so_that_little_is_left_when_its_delta_has_come(
    sizes: list[int], row: int
) -> None:
    numbers = [w for w in planned(sizes, row) if w.numbers]
    sizes_found = [size_of(w) for w in numbers]
    assert sizes_found[-1] <= TAIL_BYTES
    assert max(sizes_found) <= BLOCK_BYTES_MAX
    covered = sorted((s.new, s.new + s.new_size) for w in numbers for s in w.segments)
    assert covered[0][0] == 4096
    assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))
    assert sum(sizes_found) == sum(sizes)
    assert all(s.old == s.new and s.old_size == s.new_size for w in numbers for s in w.segments)
    if row:
        borders = {s.new for w in numbers[:-1] for s in w.segments}
        starts = {t.start for t in layout_of(sizes).tensors}
        assert all(any((b - t) % (row * 4) == 0 for t in starts if t <= b) for b in borders)


def test_of_several_types_no_large_block_comes_near_the_end() -> None:
    tensors, at = [], 4096
    for number in range(40):
        dtype = FP32 if number % 8 else FP16
        tensors.append(Tensor(f"t{number}", dtype, dtype.name, (), at, at + 2 * MIB))
        at += 2 * MIB
    there = Layout(tuple(tensors))
    numbers = [w for w in plan_tensors(there, there, at, old_size=at) if w.numbers]
    left = 0
    for work in reversed(numbers):
        assert left >= BLOCK_BYTES_MAX or size_of(work) <= TAIL_BYTES
        left += size_of(work)
    assert left == 80 * MIB


def test_a_small_file_is_not_cut_further() -> None:
    sizes = [size_of(w) for w in planned([20 * MIB]) if w.numbers]
    assert 20 * MIB < TAIL_FROM_BYTES
    assert sizes == [16 * MIB, 4 * MIB]
