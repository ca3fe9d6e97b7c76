"""How large a delta would be, from a few MiB of both files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from modelcast.deltas.codec.api import make
from modelcast.deltas.codec.folders.renames import matched_by_content
from modelcast.deltas.codec.frames import STRONG_BELOW_BYTES
from modelcast.deltas.codec.layouts.detection import layout_of
from modelcast.deltas.codec.layouts.tensors import Layout, Tensor, layout
from modelcast.deltas.codec.make_file import Layouts
from modelcast.deltas.codec.pieces import Bytes, in_pieces
from modelcast.deltas.codec.work import Pair, Renames, no_renames, partners_of
from modelcast.schemas.errors import ModelcastError

SLICE_BYTES = 256 * 1024
SLICES = 16
RENAMED_MAX = 512
"""Tensors of other names that are looked for by what they hold: each costs up to 4 MiB of reading in either file."""
NOISE_RATIO_MIN = 0.98
"""What zstd's quick levels leave so much of is noise to the slow ones, too."""


def sampled_ratio(old: Path | None, new: Path, layouts: Layouts, scratch: Path) -> float:
    """Delta ÷ whole as far as 4 MiB spread over both files tell; at most 1.

    Args:
        old: the base; None: a compressed whole.
        new: what is made.
        layouts: where the tensors of base and new file lie, if that is known; else their own bytes may say so.
        scratch: a folder for the samples.
    """
    with suppress(ModelcastError, OSError, ValueError), ExitStack() as stack:
        mine = stack.enter_context(in_pieces(new))
        base = stack.enter_context(in_pieces(old)) if old is not None else None
        new_layout = layouts[1] or layout_of(new)
        old_layout = layouts[0] or (layout_of(old) if old is not None else None) or new_layout
        renames: Renames = no_renames
        if base is not None and old_layout is not None:
            old_layout = layout(old_layout.tensors, len(base))
            renames = partial(_few_by_content, base, mine)
        tensors: list[Tensor] = []
        parts: list[tuple[memoryview, memoryview]] = []
        at, strange = 0, 0
        for start, end, before, tensor in _slices(
            len(mine), len(base) if base is not None else 0, new_layout, old_layout, renames
        ):
            size = end - start
            if not size:
                strange += 1
                continue
            parts.append((mine[start:end], base[before : before + size] if base is not None else memoryview(b"")))
            if tensor is not None:
                tensors.append(Tensor(str(len(tensors)), tensor.dtype, tensor.kind, (), at, at + size))
            at += size
        samples = scratch / "sample.new", scratch / "sample.old"
        samples[0].write_bytes(b"".join(p[0] for p in parts))
        samples[1].write_bytes(b"".join(p[1] for p in parts))
        known = len(parts) / max(len(parts) + strange, 1)
        del parts
        sampled = Layout(tuple(tensors)) if tensors else None
        # Slow levels only where the file itself gets them, and never for what the quick ones find nothing in.
        for thorough in (False, True) if sampled is None and len(mine) <= STRONG_BELOW_BYTES else (False,):
            made = make(
                samples[1] if old is not None else None,
                samples[0],
                scratch / "sample.delta",
                old_layout=sampled,
                new_layout=sampled,
                threads=1,
                kernels="numpy",
                thorough=thorough,
            )
            ratio = made.delta_size_bytes / max(made.new_size_bytes, 1)
            if ratio > NOISE_RATIO_MIN:
                break
        return min(1.0, 1.0 - known + known * ratio)
    return 1.0


def _slices(
    new_size: int, old_size: int, new: Layout | None, old: Layout | None, renames: Renames
) -> Iterator[tuple[int, int, int, Tensor | None]]:
    """Start and end in the new file, start in the old one, and the tensor that they are of; empty: it is new."""
    if new is None or old is None:
        shared = min(new_size, old_size) if old_size else new_size
        step = max(shared // SLICES, SLICE_BYTES)
        for start in range(0, shared, step):
            yield start, min(start + SLICE_BYTES, shared), start, None
        return
    partners = partners_of(old.tensors, new.tensors, renames)
    total = sum(t.size_bytes for t in new.tensors)
    step, due, seen = max(total // SLICES, 1), 0, 0
    for tensor in new.tensors:
        partner = partners.get(tensor.name)
        shared = min(tensor.size_bytes, partner.size_bytes) if partner else 0
        while due < seen + tensor.size_bytes:
            size = min(SLICE_BYTES, shared) & ~7
            inside = min(due - seen, shared - size) & ~7
            due += step
            if partner is None:
                yield tensor.start, tensor.start, 0, tensor
            elif size and partner.end <= (old_size or new_size):
                yield tensor.start + inside, tensor.start + inside + size, partner.start + inside, tensor
        seen += tensor.size_bytes


def _few_by_content(
    old_data: Bytes, new_data: Bytes, old: Sequence[Tensor], new: Sequence[Tensor], pairs: Sequence[Pair]
) -> dict[str, Tensor]:
    return matched_by_content(old_data, new_data, old, new, pairs) if len(new) <= RENAMED_MAX else {}
