"""Which old file became which new one, where the name does not say. Pure."""

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from posixpath import commonprefix

ALIKE_MAX = 2.0
"""A file that was renamed is at most this many times larger or smaller than before."""
RENAMED_MAX = 1000
"""Renamed files that are compared, the largest."""
NEAR_MAX = 16
"""Old files that one is compared with in one round: those next in size, and among equal sizes those next in name."""
ROUNDS_MAX = 8


@dataclass(frozen=True, slots=True)
class _Named:
    path: str
    size: int
    kind: str


def renamed(new: Mapping[str, int], old: Mapping[str, int]) -> dict[str, str]:
    """For each new file the old one that it most likely was: of its kind, nearest in size, then in name.

    Args:
        new: the sizes in bytes of files that came, by path.
        old: of those that vanished. Each is named at most once. Empty files resemble nothing.
    """
    came, gone = _largest(new), _largest(old)
    found: dict[str, str] = {}
    for _ in range(ROUNDS_MAX):
        round_found = _round(came, gone)
        if not round_found:
            break
        found |= round_found
        taken = set(round_found.values())
        came = [n for n in came if n.path not in found]
        gone = [o for o in gone if o.path not in taken]
    return found


def _round(new: Collection[_Named], old: Collection[_Named]) -> dict[str, str]:
    """Pairs among the nearest; who finds all of them taken has another round."""
    by_kind: defaultdict[str, list[_Named]] = defaultdict(list)
    for each in old:
        by_kind[each.kind].append(each)
    near = {kind: _Near(files) for kind, files in by_kind.items()}
    pairs = sorted(
        ((abs(n.size - o.size), n, o) for n in new if n.kind in near for o in near[n.kind].to(n)),
        key=lambda pair: pair[0],
    )
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, equal in groupby(pairs, key=lambda pair: pair[0]):
        left = {(n.path, o.path) for _, n, o in equal if n.path not in found and o.path not in taken}
        for path, before in sorted(left, key=_unlike):
            if path not in found and before not in taken:
                found[path] = before
                taken.add(before)
    return found


class _Near:
    """Old files of one kind, by size and name."""

    def __init__(self, files: Collection[_Named]) -> None:
        by_size: defaultdict[int, list[_Named]] = defaultdict(list)
        for file in files:
            by_size[file.size].append(file)
        self._sizes = sorted(by_size)
        self._groups = [_SameSize(by_size[size]) for size in self._sizes]

    def to(self, file: _Named) -> list[_Named]:
        """About ``NEAR_MAX`` that are alike in size, the nearest."""
        found: list[_Named] = []
        for at in self._outwards(file.size):
            if len(found) >= NEAR_MAX:
                break
            found += self._groups[at].to(file.path)
        return found

    def _outwards(self, size: int) -> Iterator[int]:
        """The places of all sizes that are alike, the nearest first."""
        first, end = bisect_left(self._sizes, size / ALIKE_MAX), bisect_right(self._sizes, size * ALIKE_MAX)
        after = bisect_left(self._sizes, size)
        before = after - 1
        while before >= first or after < end:
            is_after = before < first or (after < end and self._sizes[after] - size <= size - self._sizes[before])
            yield after if is_after else before
            before, after = (before, after + 1) if is_after else (before - 1, after)


class _SameSize:
    """Old files of one kind and size, by name from either end."""

    def __init__(self, files: Collection[_Named]) -> None:
        self._forwards = sorted((file.path, file) for file in files)
        self._backwards = sorted((file.path[::-1], file) for file in files)

    def to(self, path: str) -> list[_Named]:
        """Those whose names begin or end most like ``path``."""
        ends = ((self._forwards, path), (self._backwards, path[::-1]))
        places = ((ordered, bisect_left(ordered, name, key=lambda item: item[0])) for ordered, name in ends)
        return [file for ordered, at in places for _, file in ordered[max(0, at - NEAR_MAX // 4) : at + NEAR_MAX // 4]]


def _unlike(names: tuple[str, str]) -> tuple[int, str, str]:
    """The fewer characters two names begin and end with together, the more."""
    one, other = names
    return -len(commonprefix(names)) - len(commonprefix([one[::-1], other[::-1]])), one, other


def _largest(sizes: Mapping[str, int]) -> list[_Named]:
    kept = heapq.nlargest(RENAMED_MAX, ((size, path) for path, size in sizes.items() if size))
    return [_Named(path, size, PurePosixPath(path).suffix.lower()) for size, path in kept]
