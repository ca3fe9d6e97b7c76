"""What callers use: files and folders alike."""

import os
from collections.abc import Mapping
from pathlib import Path

from modelcast.deltas.codec import container
from modelcast.deltas.codec.apply_file import apply_file
from modelcast.deltas.codec.cancelling import CancelCheck, never_cancelled
from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.files import check_readable, check_writable, mapped
from modelcast.deltas.codec.folders import folder
from modelcast.deltas.codec.info import DeltaInfo, info_of
from modelcast.deltas.codec.layouts.tensors import Layout
from modelcast.deltas.codec.make_file import make_file
from modelcast.infra.files import written_aside
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import UsageError


def make(
    old: Path | None,
    new: Path,
    out: Path,
    *,
    old_layout: Layout | None = None,
    new_layout: Layout | None = None,
    old_digest: str | None = None,
    new_digest: str | None = None,
    threads: int | None = None,
    kernels: str | None = None,
    thorough: bool | None = None,
    check: CancelCheck = never_cancelled,
) -> DeltaInfo:
    """Write to ``out`` what makes ``new`` of ``old``: two files, or two folders.

    Args:
        old: the base; None makes a compressed whole.
        old_layout: of a file, where its tensors lie, if it does not say so itself (external data of ONNX): see
            ``layout_of``. Without it, the new file's layout is tried on the old one.
        new_layout: likewise. Layouts of folders are found.
        old_digest: of a file, its ``sha256:…`` if the caller has it; else it is computed meanwhile.
        new_digest: likewise.
        threads: at most so many at once (default: all cores that this process may use).
        kernels: ``numpy``, ``numba`` or ``auto``; the bytes are the same.
        thorough: of files, zstd's slow levels for what is no tensor; None: where the file is small enough for them.
        check: of files, called often; what it raises ends the work.

    Raises:
        NotFound: one of them is not there.
        UsageError: a file against a folder; a pipe, a socket or a device, also inside a folder; or ``out`` is
            no file, one of the two, or inside one of them.
    """
    for path in (old, new):
        if path is not None:
            check_readable(path)
    if old is not None and old.is_dir() != new.is_dir():
        raise UsageError("one is a file, the other a folder", hint="give two files or two folders")
    check_writable(out)
    _check_apart(out, old, new)
    with written_aside(out) as file:
        if new.is_dir():
            return folder.make_folder(old, new, file, scratch=out.parent, threads=threads, kernels=kernels)
        digests = (
            bytes.fromhex(hex_of(old_digest)) if old is not None and old_digest else None,
            bytes.fromhex(hex_of(new_digest)) if new_digest else None,
        )
        layouts = (old_layout, new_layout)
        index = make_file(
            old,
            new,
            file,
            scratch=out.parent,
            threads=threads,
            kernels=kernels,
            digests=digests,
            layouts=layouts,
            thorough=thorough,
            check=check,
        )
        file.flush()
        return info_of(index, os.fstat(file.fileno()).st_size)


def apply(
    old: Path | None,
    delta: Path,
    out: Path,
    *,
    expected_digest: str | None = None,
    expected_files: Mapping[str, str] | None = None,
    size_bytes_max: int | None = None,
    base_digest: str | None = None,
    threads: int | None = None,
    kernels: str | None = None,
) -> None:
    """Rebuild ``out``. It appears whole, verified and synced, or not at all.

    Args:
        expected_digest: the new file's digest by the manifest (of a folder: its tree digest).
        expected_files: for folders, the digest of each path by the manifest.
        size_bytes_max: refuse a delta that makes more bytes.
        base_digest: the base file's digest, if the caller has just proved it.

    Raises:
        NotFound: base or delta is not there.
        BadDelta: damaged, cut off, hostile, or more than ``size_bytes_max``.
        WrongBase: made against something else.
        WrongResult: it makes something else than expected.
        UsageError: ``out`` is a folder that exists, kinds that do not go together, or base or delta is a
            pipe, a socket or a device.
    """
    for path in (old, delta):
        if path is not None:
            check_readable(path)
    with mapped(delta) as data:
        is_folder = _kind(data, delta) == container.KIND_FOLDER
        if old is not None and old.is_dir() != is_folder:
            wanted = "folder" if is_folder else "file"
            raise UsageError(f"this is the delta of a {wanted}", subject=str(delta), hint=f"give a {wanted} as base")
        if is_folder:
            folder.apply_folder(
                old,
                data,
                out,
                expected_digest=expected_digest,
                expected_files=expected_files,
                size_bytes_max=size_bytes_max,
                threads=threads,
                kernels=kernels,
                subject=str(delta),
            )
            return
        check_writable(out)
        apply_file(
            old,
            data,
            out,
            expected_digest=expected_digest,
            size_bytes_max=size_bytes_max,
            base_digest=base_digest,
            threads=threads,
            kernels=kernels,
            subject=str(delta),
        )


def info(delta: Path) -> DeltaInfo:
    """Read what a delta is; its payloads are not touched.

    Raises:
        NotFound: there is no such file.
        BadDelta: it is no delta, or damaged.
        UsageError: it is a pipe, a socket or a device.
    """
    with mapped(delta) as data:
        if _kind(data, delta) == container.KIND_FOLDER:
            return folder.folder_info(data, subject=str(delta))
        try:
            return info_of(container.decode_index(data), len(data))
        except BadDelta as error:
            error.subject = error.subject or str(delta)
            raise


def _check_apart(out: Path, *sources: Path | None) -> None:
    """A delta that is written over a model would leave neither."""
    target = out.resolve()
    for source in sources:
        if source is not None and source.resolve() in (target, *target.parents):
            raise UsageError(
                "the delta would be written over what it is made of", subject=str(out), hint="name another OUT"
            )


def _kind(data: memoryview, path: Path) -> int:
    try:
        return container.kind_of(data)
    except BadDelta as error:
        error.subject = str(path)
        raise
