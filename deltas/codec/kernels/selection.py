"""Which kernels do the grouping: compiled ones where they are installed and the work is worth loading them."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.ablation import DELTAS, NUMBA
from modelcast.deltas.codec.kernels import plain
from modelcast.schemas.errors import UsageError

VARIABLE = "MODELCAST_DELTA_KERNELS"
WORTH_LOADING_BYTES = 128 * 1024 * 1024  # loading compiled kernels takes as long as they save on about this much
_COMPILED = "modelcast.deltas.codec.kernels.compiled"


Histogram = Callable[[NDArray[Any], int, int], NDArray[np.int64]]
Split = Callable[[NDArray[Any], NDArray[Any], int, int, NDArray[np.int64], NDArray[Any]], None]
Join = Callable[[NDArray[Any], NDArray[Any], int, int, NDArray[np.int64], int, NDArray[Any]], bool]
Changes = Callable[[NDArray[Any], int], tuple[NDArray[np.uint32], NDArray[Any]]]
Place = Callable[[NDArray[np.uint32], NDArray[Any], NDArray[Any]], bool]
ChangedRows = Callable[[NDArray[Any], NDArray[Any], int], tuple[NDArray[np.bool_], int]]

Apart = Callable[[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], NDArray[Any]], None]
Together = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[Any], NDArray[Any]], None]


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loops over values. All implementations make the same bytes."""

    name: str
    histogram: Histogram
    split: Split
    join: Join
    changes: Changes
    place: Place
    changed_rows: ChangedRows
    apart: Apart
    together: Together


_met: Counter[str] = Counter()
"""Bytes of work that this process has met: one that works on and on has them compiled sooner or later."""


def choose(size_bytes: int, name: str | None = None) -> Kernels:
    """The kernels for ``size_bytes`` of work: ``numpy``, ``numba`` or (by default) ``auto``.

    Raises:
        UsageError: no kernels of that name.
        ImportError: ``numba`` was asked for and is not installed.
    """
    wanted = name or os.environ.get(VARIABLE) or "auto"
    if wanted not in {"auto", "numpy", "numba"}:
        raise UsageError(f"no delta kernels called {wanted!r}", hint=f"{VARIABLE} is auto, numpy or numba")
    if wanted == "auto" and DELTAS.without(NUMBA):
        wanted = "numpy"
    if wanted == "auto":
        _met["bytes"] += size_bytes
    worth_it = _met["bytes"] >= WORTH_LOADING_BYTES or _COMPILED in sys.modules
    if wanted == "numba" or (wanted == "auto" and worth_it):
        try:
            from modelcast.deltas.codec.kernels import compiled
        except ImportError:
            if wanted == "numba":
                raise
        else:
            return _of("numba", compiled)
    return _of("numpy", plain)


def _of(name: str, module: ModuleType) -> Kernels:
    names = [f.name for f in fields(Kernels)][1:]
    return Kernels(name, *(getattr(module, n) for n in names))
