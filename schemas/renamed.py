"""Which old file became which new one, where the name does not say. Pure."""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from posixpath import commonprefix

ALIKE_MAX = 2.0
"""A file that was renamed is at most this many times larger or smaller than before."""
RENAMED_MAX = 1000
"""Renamed files that are compared, the largest: each with each."""


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
    gone: defaultdict[str, list[_Named]] = defaultdict(list)
    for each in _largest(old):
        gone[each.kind].append(each)
    pairs = sorted(
        ((abs(n.size - o.size), n, o) for n in _largest(new) for o in gone[n.kind] if _alike(n.size, o.size)),
        key=lambda pair: pair[0],
    )
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, equal in groupby(pairs, key=lambda pair: pair[0]):
        left = [(n.path, o.path) for _, n, o in equal if n.path not in found and o.path not in taken]
        for path, before in sorted(left, key=_unlike):
            if path not in found and before not in taken:
                found[path] = before
                taken.add(before)
    return found


def _alike(one: int, other: int) -> bool:
    return max(one, other) <= ALIKE_MAX * min(one, other)


def _unlike(names: tuple[str, str]) -> tuple[int, str, str]:
    """The fewer characters two names begin and end with together, the more."""
    one, other = names
    return -len(commonprefix(names)) - len(commonprefix([one[::-1], other[::-1]])), one, other


def _largest(sizes: Mapping[str, int]) -> list[_Named]:
    kept = heapq.nlargest(RENAMED_MAX, ((size, path) for path, size in sizes.items() if size))
    return [_Named(path, size, PurePosixPath(path).suffix.lower()) for size, path in kept]
