"""Rebuilding one file. The delta is not trusted: what it makes is hashed and must be what the caller expects."""

import hashlib
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from modelcast.infra.delta import frames as coding
from modelcast.infra.delta.container import (
    Frame,
    Header,
    Method,
    decode_header,
    decode_index,
    digest_text,
    sha256_of_view,
)
from modelcast.infra.delta.errors import BadDelta, WrongBase, WrongResult
from modelcast.infra.delta.files import mapped, write_at, written_aside
from modelcast.infra.delta.kernels import choose
from modelcast.infra.delta.pipeline import in_order, threads_for


def apply_file(
    old: Path | None,
    delta: memoryview,
    out: Path,
    *,
    expected_digest: str | None = None,
    size_bytes_max: int | None = None,
    base_digest: str | None = None,
    threads: int | None = None,
    kernels: str | None = None,
    durable: bool = True,
    subject: str = "",
) -> None:
    """Make ``out`` of ``old`` and ``delta``; nothing stands at ``out`` unless it is right, whole and synced.

    Args:
        old: the base; None for a delta that needs none.
        expected_digest: what the manifest says of the result. Without it, the delta's own word is checked.
        size_bytes_max: refuse a delta that makes more.
        base_digest: the base's digest, if the caller has just proved it; else it is computed first.
        durable: sync it; False: the caller does.
        subject: what errors name.

    Raises:
        BadDelta: damaged, cut off, hostile, or more than ``size_bytes_max``.
        WrongBase: made against another file.
        WrongResult: it makes something else than ``expected_digest``.
    """
    try:
        header, _ = decode_header(delta)
        _check_promises(header, expected_digest, size_bytes_max)
        if header.base_digest is None:
            _rebuild(memoryview(b""), delta, out, threads, kernels, durable)
            return
        if old is None:
            raise WrongBase("this delta needs a base", hint=f"the base is {digest_text(header.base_digest)}")
        with mapped(old) as old_data:
            _check_base(header, old_data, base_digest)
            _rebuild(old_data, delta, out, threads, kernels, durable)
    except (BadDelta, WrongBase, WrongResult) as error:
        error.subject = error.subject or subject
        error.hint = error.hint or "fetch the whole file instead"
        raise


def _check_promises(header: Header, expected_digest: str | None, size_bytes_max: int | None) -> None:
    if expected_digest is not None and digest_text(header.new_digest) != expected_digest:
        raise WrongResult(
            f"this delta makes {digest_text(header.new_digest)[:19]}…, not {expected_digest[:19]}…",
        )
    if size_bytes_max is not None and header.new_size > size_bytes_max:
        raise BadDelta(f"this delta makes {header.new_size} bytes, more than the {size_bytes_max} expected")


def _check_base(header: Header, old: memoryview, known: str | None) -> None:
    assert header.base_digest is not None
    wanted = digest_text(header.base_digest)
    if len(old) != header.base_size or (known or digest_text(sha256_of_view(old))) != wanted:
        raise WrongBase("this delta was made against another file", hint=f"its base is {wanted}")


def _rebuild(
    old: memoryview, delta: memoryview, out: Path, threads: int | None, kernels: str | None, durable: bool
) -> None:
    index = decode_index(delta)
    chosen = choose(index.header.new_size, kernels)
    starts = list(accumulate((f.size for f in index.frames), initial=index.payloads_start))
    with written_aside(out, durable=durable) as file:
        handle = file.fileno()
        file.truncate(index.header.new_size)

        def build(at: int) -> None:
            frame = index.frames[at]
            if frame.method is Method.COPY:
                _copy(frame, old, handle)
                return
            made = coding.decode(frame, delta[starts[at] : starts[at + 1]], old, chosen)
            taken = 0
            for segment in frame.segments:
                write_at(handle, made[taken : taken + segment.new_size], segment.new)
                taken += segment.new_size

        needs = (
            coding.memory_of_decoding(f, delta[at : at + f.size]) for f, at in zip(index.frames, starts, strict=False)
        )
        count = threads_for(threads, max(needs, default=0))
        ready = _ready_after(index.frames, index.header.new_size)
        found = hashlib.sha256()
        hashed = 0
        buffer = bytearray(1 << 20)
        for at, _ in in_order(build, range(len(index.frames)), count):
            while hashed < ready[at]:
                part = memoryview(buffer)[: min(len(buffer), ready[at] - hashed)]
                if os.preadv(handle, [part], hashed) != len(part):
                    raise WrongResult("what was rebuilt can't be read back")
                found.update(part)
                hashed += len(part)
        if found.digest() != index.header.new_digest:
            raise WrongResult("what was rebuilt is not what the delta says")


def _ready_after(frames: Sequence[Frame], new_size: int) -> list[int]:
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
