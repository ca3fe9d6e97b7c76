"""Where the tensors lie in a file, whatever its format. That decides how small a delta gets, never what it makes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelcast.deltas.codec.layouts.dtypes import BYTES, DType

TENSORS_MAX = 500_000


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: where its bytes lie in the file.

    Attributes:
        kind: the type's name in the format that the file is written in.
        shape: its dimensions; ``()`` where they are not known.
    """

    name: str
    dtype: DType
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return self.end - self.start

    @property
    def row_values(self) -> int:
        """Values of one row, which is what embedding tables change by; 0 where there are no rows."""
        return self.shape[-1] if len(self.shape) > 1 else 0


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of one file by position. They never overlap."""

    tensors: tuple[Tensor, ...]


def layout(tensors: Iterable[Tensor], size_bytes: int) -> Layout | None:
    """The layout of those tensors that lie in a file of ``size_bytes``; None if there are none, or absurdly many.

    Of tensors that overlap (tied weights share their bytes), the first is kept.
    """
    kept: list[Tensor] = []
    at = 0
    for tensor in sorted(tensors, key=lambda t: (t.start, -t.end, t.name)):
        if at <= tensor.start < tensor.end <= size_bytes:
            kept.append(tensor if tensor.size_bytes % tensor.dtype.width == 0 else replace(tensor, dtype=BYTES))
            at = tensor.end
    return Layout(tuple(kept)) if 0 < len(kept) <= TENSORS_MAX else None


def sizes_of(known: Layout | None) -> dict[str, int]:
    """Bytes of each tensor, by name; of a file that holds none, nothing."""
    return {t.name: t.size_bytes for t in known.tensors} if known else {}
