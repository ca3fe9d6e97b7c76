"""Blocks taken from other files of this machine. Each is checked: what lies on a disk may have rotted."""

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.planning.blocks import block_bytes
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry


def copy_blocks(
    file: FileEntry,
    target: Path,
    places: Mapping[int, tuple[str, int]],
    sources: Mapping[str, Path],
    *,
    context: Context,
) -> set[int]:
    """Write blocks of ``file`` to ``target``, as far as they are still where they are said to be; which were.

    Args:
        places: block number → (digest of the file that holds it, block number there).
        sources: where those files lie; they may vanish.
    """
    done: set[int] = set()
    with ExitStack() as stack:
        out = _opened(stack, target, os.O_WRONLY)
        opened: dict[str, int] = {}
        for number, (source, at) in places.items():
            context.check()
            with suppress(OSError):  # evicted meanwhile
                if source not in opened:
                    opened[source] = _opened(stack, sources[source], os.O_RDONLY)
            if source not in opened:
                continue
            block = os.pread(opened[source], block_bytes(file.size_bytes, number), at * BLOCK_SIZE_BYTES)
            if sha256(block).hexdigest() == file.blocks[number]:
                _write_at(out, block, number * BLOCK_SIZE_BYTES)
                done.add(number)
                context.progress(len(block))
    return done


def _opened(stack: ExitStack, path: Path, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _write_at(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
