"""Blocks taken from other files of this machine. Each is checked: what lies on a disk may have rotted."""

import os
from collections.abc import Callable, Mapping, Set
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.cache.blocks import block_bytes
from modelcast.consumers.fetch.transfer.retry import check
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry
from modelcast.schemas.ports import Progress


def copy_blocks(
    file: FileEntry,
    target: Path,
    places: Mapping[int, tuple[str, int]],
    sources: Mapping[str, Path],
    *,
    progress: Progress,
    cancelled: Callable[[], bool],
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
            check(cancelled)
            with suppress(OSError):  # evicted meanwhile
                if source not in opened:
                    opened[source] = _opened(stack, sources[source], os.O_RDONLY)
            if source not in opened:
                continue
            block = os.pread(opened[source], block_bytes(file.size_bytes, number), at * BLOCK_SIZE_BYTES)
            if sha256(block).hexdigest() == file.blocks[number]:
                _write_at(out, block, number * BLOCK_SIZE_BYTES)
                done.add(number)
                progress(len(block))
    return done


def bytes_of(file: FileEntry, blocks: Set[int]) -> int:
    """Bytes of several blocks."""
    return sum(block_bytes(file.size_bytes, number) for number in blocks)


def _opened(stack: ExitStack, path: Path, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _write_at(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
