"""Immutable sequences and mappings of which the next one shares what the last one holds.

Adding an item to a tuple or a dict copies it, and so ten thousand times in a fold cost the square of that. Here each
value is a view of the first ``n`` items of a store that only ever grows; adding to a view that is not the newest
copies it. A view itself never changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class GrowingSequence(Sequence[T]):
    """Equal to any sequence of the same items, a tuple included."""

    __slots__ = ("_count", "_items")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = {n: [item] for n, item in enumerate(items)}
        self._count = len(self._items)

    @classmethod
    def of(cls, items: Sequence[T]) -> "GrowingSequence[T]":
        """``items`` itself if it is one already."""
        return items if isinstance(items, GrowingSequence) else cls(items)

    def plus(self, item: T) -> "GrowingSequence[T]":
        """One with ``item`` behind all others."""
        grown: GrowingSequence[T] = GrowingSequence.__new__(GrowingSequence)
        cell = [item]
        # One atomic operation: of two threads that add to the same view at once, one finds the other's cell there.
        alone = self._items.setdefault(self._count, cell) is cell
        grown._items = self._items if alone else {n: self._items[n] for n in range(self._count)} | {self._count: cell}
        grown._count = self._count + 1
        return grown

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self._items[n][0] for n in range(*index.indices(self._count)))
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._items[index % self._count][0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return (self._items[n][0] for n in range(self._count))

    def __contains__(self, item: object) -> bool:
        return any(item is own or item == own for own in self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        if isinstance(other, GrowingSequence) and other._items is self._items:
            return other._count == self._count
        return len(other) == self._count and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))


class GrowingMapping(Mapping[K, V], Generic[K, V]):
    """Equal to any mapping of the same items, a dict included."""

    __slots__ = ("_keys", "_values")

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        self._keys: GrowingSequence[K] = GrowingSequence(items or ())
        self._values: dict[K, tuple[int, V]] = {k: (n, (items or {})[k]) for n, k in enumerate(self._keys)}

    @classmethod
    def of(cls, items: Mapping[K, V]) -> "GrowingMapping[K, V]":
        """``items`` itself if it is one already."""
        return items if isinstance(items, GrowingMapping) else cls(items)

    def plus(self, key: K, value: V) -> "GrowingMapping[K, V]":
        """One that also holds ``key``, which this one must not hold."""
        if key in self:
            raise ValueError(f"holds {key!r} already")
        grown: GrowingMapping[K, V] = GrowingMapping.__new__(GrowingMapping)
        grown._keys = self._keys.plus(key)
        shared = grown._keys._items is self._keys._items
        grown._values = self._values if shared else {k: self._values[k] for k in self._keys}
        grown._values[key] = (len(self._keys), value)
        return grown

    def __getitem__(self, key: K) -> V:
        position, value = self._values[key]
        if position >= len(self._keys):
            raise KeyError(key)
        return value

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __repr__(self) -> str:
        return repr(dict(self))
