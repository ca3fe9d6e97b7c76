"""The work of rebuilding one file: frames undone in parallel, what they make hashed in order as it becomes final."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import accumulate

from modelcast.deltas.codec import frames as coding
from modelcast.deltas.codec.container import (
    HEADER_SIZE,
    Frame,
    Header,
    Method,
    decode_header,
    decode_index,
    digest_text,
    sha256_of_view,
)
from modelcast.deltas.codec.errors import BadDelta, WrongBase, WrongResult
from modelcast.deltas.codec.files import write_at
from modelcast.deltas.codec.kernels.pipeline import in_order, threads_for
from modelcast.deltas.codec.kernels.selection import Kernels, choose

OnFinal = Callable[[memoryview], None]
"""Called with the bytes of the new file, piece by piece from its start, once they are final."""


def check_promises(header: Header, expected_digest: str | None, size_bytes_max: int | None) -> None:
    """Refuse what will not make the file that is wanted, before anything is done for it."""
    if expected_digest is not None and digest_text(header.new_digest) != expected_digest:
        raise WrongResult(
            f"this delta makes {digest_text(header.new_digest)[:19]}…, not {expected_digest[:19]}…",
        )
    if size_bytes_max is not None and header.new_size > size_bytes_max:
        raise BadDelta(f"this delta makes {header.new_size} bytes, more than the {size_bytes_max} expected")


def check_base(header: Header, old: memoryview, known: str | None) -> None:
    """Refuse another base than the one that the delta was made against."""
    assert header.base_digest is not None
    wanted = digest_text(header.base_digest)
    if len(old) != header.base_size or (known or digest_text(sha256_of_view(old))) != wanted:
        raise WrongBase("this delta was made against another file", hint=f"its base is {wanted}")


def rebuild(
    old: memoryview,
    delta: memoryview,
    handle: int,
    *,
    threads: int | None,
    kernels: str | None,
    ready: Callable[[int], None] | None = None,
    on_final: OnFinal | None = None,
) -> float:
    """Write the new file to ``handle``; the seconds of work that it took, without those of waiting.

    Args:
        ready: returns once so many bytes of ``delta`` are there; None: all of them are.
        on_final: see ``OnFinal``.

    Raises:
        BadDelta, WrongResult: see ``apply_file``. What is written then is worth nothing.
    """
    if ready:
        ready(HEADER_SIZE)
        ready(HEADER_SIZE + decode_header(delta)[1][2])
    index = decode_index(delta)
    size = index.header.new_size
    os.ftruncate(handle, size)
    chosen = choose(size, kernels)
    starts = list(accumulate((f.size for f in index.frames), initial=index.payloads_start))
    lock, worked = threading.Lock(), 0.0

    def build(at: int) -> None:
        nonlocal worked
        if ready:
            ready(starts[at + 1])
        began = time.perf_counter()
        _build(index.frames[at], delta[starts[at] : starts[at + 1]], old, handle, chosen)
        with lock:
            worked += time.perf_counter() - began

    needs = (
        coding.memory_of_decoding(f, None if ready else delta[at : at + f.size])
        for f, at in zip(index.frames, starts, strict=False)
    )
    count = threads_for(threads, max(needs, default=0))
    hashing = _Hashing(handle, on_final)
    final = _final_after(index.frames, size)
    with closing(in_order(build, range(len(index.frames)), count)) as built:  # no thread outlives the handle
        for at, _ in built:
            hashing.until(final[at])
    if hashing.digest() != index.header.new_digest:
        raise WrongResult("the rebuilt file does not have the digest that the delta declares")
    return max(worked / count, hashing.seconds)


class _Hashing:
    """Reads back what was written, in order."""

    def __init__(self, handle: int, on_final: OnFinal | None) -> None:
        self._handle = handle
        self._on_final = on_final
        self._found = hashlib.sha256()
        self._buffer = memoryview(bytearray(1 << 20))
        self._at = 0
        self.seconds = 0.0

    def until(self, end: int) -> None:
        began = time.perf_counter()
        while self._at < end:
            part = self._buffer[: min(len(self._buffer), end - self._at)]
            if os.preadv(self._handle, [part], self._at) != len(part):
                raise WrongResult("what was rebuilt can't be read back")
            self._found.update(part)
            if self._on_final:
                self._on_final(part)
            self._at += len(part)
        self.seconds += time.perf_counter() - began

    def digest(self) -> bytes:
        return self._found.digest()


def _build(frame: Frame, payload: memoryview, old: memoryview, handle: int, kernels: Kernels) -> None:
    if frame.method is Method.COPY:
        _copy(frame, old, handle)
        return
    made = coding.decode(frame, payload, old, kernels)
    taken = 0
    for segment in frame.segments:
        write_at(handle, made[taken : taken + segment.new_size], segment.new)
        taken += segment.new_size


def _final_after(frames: Sequence[Frame], new_size: int) -> list[int]:
    """Up to where the new file is complete once frames 0 … i are written: where the first later frame starts."""
    lowest, found = new_size, []
    for frame in reversed(frames):
        found.append(lowest)
        lowest = min([lowest, *(s.new for s in frame.segments)])
    return found[::-1]


def _copy(frame: Frame, old: memoryview, handle: int) -> None:
    for segment in frame.segments:
        for at in range(0, segment.new_size, coding.COPY_CHUNK_BYTES):
            size = min(coding.COPY_CHUNK_BYTES, segment.new_size - at)
            write_at(handle, old[segment.old + at : segment.old + at + size], segment.new + at)
