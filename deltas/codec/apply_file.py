"""Rebuilding one file. The delta is not trusted: what it makes is hashed and must be what the caller expects."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.deltas.codec.container import HEADER_SIZE, decode_header, digest_text
from modelcast.deltas.codec.errors import BadDelta, WrongBase, WrongResult
from modelcast.deltas.codec.files import mapped
from modelcast.deltas.codec.rebuilding import OnFinal, check_base, check_promises, rebuild
from modelcast.infra.files import written_aside


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
    subject: str = "",
    durable: bool = True,
) -> None:
    """Make ``out`` of ``old`` and ``delta``; nothing stands at ``out`` unless it is right and whole.

    Args:
        old: the base; None for a delta that needs none.
        expected_digest: what the manifest says of the result. Without it, the delta's own word is checked.
        size_bytes_max: refuse a delta that makes more.
        base_digest: the base's digest, if the caller has just proved it; else it is computed first.
        subject: what errors name.
        durable: see ``written_aside``.

    Raises:
        BadDelta: damaged, cut off, hostile, or more than ``size_bytes_max``.
        WrongBase: made against another file.
        WrongResult: it makes something else than ``expected_digest``.
    """
    with _named(subject):
        header, _ = decode_header(delta)
        check_promises(header, expected_digest, size_bytes_max)
        with _base(old, header.base_digest) as old_data:
            if header.base_digest is not None:
                check_base(header, old_data, base_digest)
            with written_aside(out, durable=durable) as file:
                rebuild(old_data, delta, file.fileno(), threads=threads, kernels=kernels)


def apply_arriving(
    old: Path | None,
    delta: Path,
    out: Path,
    *,
    expected_digest: str,
    size_bytes_max: int,
    ready: Callable[[int], None],
    on_final: OnFinal | None = None,
    threads: int | None = None,
) -> float:
    """Make ``out`` in place while ``delta`` still arrives; on any error what stands there then is worth nothing.

    Neither is synced. Frames are undone as they come, so that little is left to do when the last byte is here.

    Args:
        old: the base; None for a delta that needs none.
        delta: a file that has its full size already, and fills.
        out: written over, if it is there.
        expected_digest: what the manifest says of the result.
        size_bytes_max: refuse a delta that makes more.
        ready: returns once so many bytes of the delta are there from its start; raises if they will not come.
        on_final: called with the bytes of ``out`` in order, once they are final (though not yet known to be right).
        threads: at most so many at once (default: all cores that this process may use).

    Returns:
        Seconds of work, without those of waiting.

    Raises:
        BadDelta, WrongBase, WrongResult: as ``apply_file``.
        NotFound: the base is not there.
    """
    ready(HEADER_SIZE)
    with _named(str(delta)), mapped(delta) as data:
        header, _ = decode_header(data)
        check_promises(header, expected_digest, size_bytes_max)
        with _base(old, header.base_digest) as old_data:
            if header.base_digest is not None:
                check_base(header, old_data, None)
            handle = os.open(out, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                return rebuild(old_data, data, handle, threads=threads, kernels=None, ready=ready, on_final=on_final)
            finally:
                os.close(handle)


@contextmanager
def _base(old: Path | None, wanted: bytes | None) -> Iterator[memoryview]:
    if wanted is None:
        yield memoryview(b"")
    elif old is None:
        raise WrongBase("this delta needs a base", hint=f"the base is {digest_text(wanted)}")
    else:
        with mapped(old) as data:
            yield data


@contextmanager
def _named(subject: str) -> Iterator[None]:
    """Errors say what they are about, and what else can be done."""
    try:
        yield
    except (BadDelta, WrongBase, WrongResult) as error:
        error.subject = error.subject or subject
        error.hint = error.hint or "fetch the whole file instead"
        raise
