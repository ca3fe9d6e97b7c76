"""What the outputs of a version are like, without knowing what they should be."""

import math
import zlib
from collections.abc import Mapping

import numpy as np

from modelcast.consumers.pod.worker.frames import EMPTY, NOT_FINITE, REPEATED, SCORE_SHIFT
from modelcast.consumers.pod.worker.tensors import Array
from modelcast.schemas.evidence.predictions import score_bin

LOOKED_BYTES_MAX = 64 * 1024
"""Of each output, and of each request: no answer should wait for a look at the rest."""
_FEW = 32


def _finite(numbers: Array) -> bool:
    """Whether all are; a few are looked at in less time than numpy takes to begin."""
    if numbers.size <= _FEW:
        return all(map(math.isfinite, numbers.tolist()))
    return bool(np.isfinite(numbers).all())


class OutputLook:
    """Looks at one answer after another. Of threads that answer at once, one's answer may count for the other's."""

    def __init__(self) -> None:
        self._last = (-1, -1)  # checksums of the request and its outputs

    def at(self, request: bytes, outputs: Mapping[str, Array]) -> int:
        """``NOT_FINITE``, ``REPEATED`` and ``EMPTY``, as far as they are true, and the score's bin.

        Of texts, only whether there are any is looked at.
        """
        seen, checksum, empty, scored = 0, 0, True, None
        for array in outputs.values():
            if not array.size:
                continue
            empty = False
            if array.dtype.kind == "O":
                continue
            if scored is None or (array.dtype.kind == "f" and scored.dtype.kind != "f"):
                scored = array
            head = array.ravel()
            if array.nbytes > LOOKED_BYTES_MAX:
                head = head[: LOOKED_BYTES_MAX // array.dtype.itemsize]
            if array.dtype.kind == "f" and not _finite(head):
                seen |= NOT_FINITE
            checksum = zlib.crc32(head.tobytes(), checksum)
        before = self._last
        self._last = zlib.crc32(request[:LOOKED_BYTES_MAX]), checksum
        if checksum and checksum == before[1] and self._last[0] != before[0]:
            seen |= REPEATED
        if scored is not None:
            score = float(scored[0].flat[-1] if scored.ndim > 1 else scored.flat[0])
            if math.isfinite(score):
                seen |= (score_bin(score) + 1) << SCORE_SHIFT
        return seen | EMPTY if empty and outputs else seen
