"""Which kernels do the grouping: compiled ones where they are installed and the work is worth loading them."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelcast.infra.delta import kernels_numpy
from modelcast.schemas.errors import UsageError

VARIABLE = "MODELCAST_DELTA_KERNELS"
WORTH_LOADING_BYTES = 64 * 1024 * 1024  # loading compiled kernels takes as long as numpy takes for this much


class Kernels(Protocol):
    """The three loops over values. All implementations make the same bytes."""

    NAME: str
    histogram: Callable[[NDArray[Any], int, int], NDArray[np.int64]]
    split: Callable[
        [NDArray[Any], NDArray[Any], int, int, NDArray[np.uint8], NDArray[np.int64], NDArray[Any]],
        None,
    ]
    join: Callable[
        [NDArray[Any], NDArray[Any], int, int, NDArray[np.uint8], NDArray[np.int64], int, NDArray[Any]],
        bool,
    ]


def choose(size_bytes: int, name: str | None = None) -> Kernels:
    """The kernels for ``size_bytes`` of work: ``numpy``, ``numba`` or (by default) ``auto``.

    Raises:
        UsageError: no kernels of that name.
        ImportError: ``numba`` was asked for and is not installed.
    """
    wanted = name or os.environ.get(VARIABLE) or "auto"
    if wanted not in {"auto", "numpy", "numba"}:
        raise UsageError(f"no delta kernels called {wanted!r}", hint=f"{VARIABLE} is auto, numpy or numba")
    if wanted == "numba" or (wanted == "auto" and size_bytes >= WORTH_LOADING_BYTES):
        try:
            from modelcast.infra.delta import kernels_numba
        except ImportError:
            if wanted == "numba":
                raise
        else:
            return kernels_numba
    return kernels_numpy
