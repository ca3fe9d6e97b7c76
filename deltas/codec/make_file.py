"""Making the delta of one file."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

from modelcast.deltas.codec import frames as coding
from modelcast.deltas.codec.cancelling import CancelCheck, never_cancelled
from modelcast.deltas.codec.container import (
    Frame,
    Header,
    Index,
    Method,
    encode_index,
    pieces_max,
    sha256_of_view,
)
from modelcast.deltas.codec.files import mapped
from modelcast.deltas.codec.folders.renames import matched_by_content
from modelcast.deltas.codec.kernels.pipeline import in_order, threads_for
from modelcast.deltas.codec.kernels.selection import choose
from modelcast.deltas.codec.layouts.detection import layout_of_data
from modelcast.deltas.codec.layouts.pooling import pooled, row_of
from modelcast.deltas.codec.layouts.tensors import Layout, layout
from modelcast.deltas.codec.work import Work, plan_file, plan_tensors, plan_whole

Layouts = tuple[Layout | None, Layout | None]


def make_file(
    old: Path | None,
    new: Path,
    out: BinaryIO,
    *,
    scratch: Path,
    threads: int | None = None,
    kernels: str | None = None,
    digests: tuple[bytes | None, bytes | None] = (None, None),
    layouts: Layouts = (None, None),
    thorough: bool | None = None,
    check: CancelCheck = never_cancelled,
) -> Index:
    """Write the delta from ``old`` (None: no base, a compressed whole) to ``new`` at the place where ``out`` is.

    Args:
        scratch: a folder for what is written on the way, about as much as the delta.
        threads: at most so many at once (default: all cores).
        kernels: see ``kernels.choose``.
        digests: raw SHA-256 of old and new, where the caller has them; else they are computed meanwhile.
        layouts: of old and new, where the caller knows them; else they are found in what the files hold.
        thorough: see ``make``.
        check: likewise.

    Raises:
        NotFound: a file is not there.
    """
    with mapped(new) as new_data, ThreadPoolExecutor(2, thread_name_prefix="sha256") as hashing:
        new_digest = hashing.submit(lambda: digests[1] or sha256_of_view(new_data, check))
        encoded = partial(_encoded, scratch=scratch, threads=threads, kernels=kernels, thorough=thorough, check=check)
        if old is None:
            plan = plan_whole(_fitting(layouts[1], new_data), len(new_data))
            done = encoded(memoryview(b""), new_data, plan)
            with done[1] as payloads:
                return _assemble(Header(0, None, len(new_data), new_digest.result()), done[0], payloads, out)
        with mapped(old) as old_data:
            base_digest = hashing.submit(lambda: digests[0] or sha256_of_view(old_data, check))
            try:
                done = encoded(old_data, new_data, plan_of(old_data, new_data, layouts, check))
            finally:
                base_digest.exception()  # whatever happens, no thread reads a map that is closed
            with done[1] as payloads:
                header = Header(len(old_data), base_digest.result(), len(new_data), new_digest.result())
                return _assemble(header, done[0], payloads, out)


def plan_of(
    old: memoryview, new: memoryview, layouts: Layouts = (None, None), check: CancelCheck = never_cancelled
) -> list[Work]:
    """The blocks of a pair of mapped files."""
    before, after = _fitting(layouts[0], old), _fitting(layouts[1], new)
    if before is None and layouts[1] is not None:
        # Of a base that is known by its bytes alone, the layout is supposed to be the new file's, as far as it goes.
        before = layout(layouts[1].tensors, len(old))
    if after is None:
        return plan_file(len(old), len(new))
    if before is None:
        return plan_whole(after, len(new))
    renames, rows = partial(matched_by_content, old, new), partial(row_of, old, new)
    plan = plan_tensors(before, after, len(new), old_size=len(old), renames=renames, rows=rows)
    return pooled(plan, old, new, check)


def _fitting(given: Layout | None, data: memoryview) -> Layout | None:
    """What the caller says of a file, as far as the file goes; else what the file says of itself."""
    return layout(given.tensors, len(data)) if given else layout_of_data(data)


def _encoded(
    old: memoryview,
    new: memoryview,
    plan: list[Work],
    *,
    scratch: Path,
    threads: int | None,
    kernels: str | None,
    thorough: bool | None,
    check: CancelCheck,
) -> tuple[list[Frame], BinaryIO]:
    """The frames, and their payloads in a temporary file."""
    if sum(len(w.segments) for w in plan) > pieces_max(len(new)):
        plan = plan_file(len(old), len(new))  # more tensors than an index may name
    chosen = choose(len(new), kernels)
    found: list[Frame] = []
    payloads = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 the caller closes it
    try:
        count = threads_for(threads, max(map(coding.memory_of, plan), default=0))
        code = partial(coding.encode, old=old, new=new, kernels=chosen, thorough=thorough)
        for _, (frame, payload) in in_order(code, plan, count):
            check()
            payloads.write(payload)
            _append(found, frame)
    except BaseException:
        payloads.close()
        raise
    return found, payloads


def _append(frames: list[Frame], frame: Frame) -> None:
    """Copies join the copy before them: what did not change costs one entry, not one a block."""
    if frame.method is Method.COPY and frames and frames[-1].method is Method.COPY:
        frames[-1] = Frame(Method.COPY, frame.dtype, (*frames[-1].segments, *frame.segments))
    else:
        frames.append(frame)


def _assemble(header: Header, frames: list[Frame], payloads: BinaryIO, out: BinaryIO) -> Index:
    start = encode_index(header, frames)
    out.write(start)
    payloads.seek(0)
    shutil.copyfileobj(payloads, out, 1 << 20)
    return Index(header, tuple(frames), len(start))
