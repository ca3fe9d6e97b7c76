"""Reading files once: whole digest and block digests in one pass, and a look at what they hold."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from modelcast.infra.threads import Threads
from modelcast.producers.artifact.formats import TEXT, TextCheck, format_of, may_be_text
from modelcast.producers.artifact.onnx_data import external_data
from modelcast.producers.artifact.pickles import pickle_reason
from modelcast.producers.artifact.unfinished import check_content
from modelcast.producers.artifact.walk import Found, unreadable
from modelcast.schemas.errors import Refused
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry

KEPT_SIZE_MAX = 256 * 1024
"""Files up to this size stay in memory between hashing and upload: no second read, no chance to change."""
KEPT_TOTAL_MAX = 4 * 1024 * 1024
WAITING_MAX = 64
"""Files that are to be read next, a thread: a queue of all of them would take more memory than what is found."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A scanned file.

    Attributes:
        entry: as the manifest has it.
        path: where its bytes are.
        pickled: why it counts as a pickle; None: it holds none.
        format: what it is; "": of no format that is known by itself.
        external: of an ONNX model: see ``external_data``.
        content: the bytes themselves, if they are few.
    """

    entry: FileEntry
    path: Path
    pickled: str | None
    format: str
    external: Mapping[str, int]
    content: bytes | None = None


def read_all(found: Sequence[Found], threads: int, advance: Callable[[int], None]) -> list[LocalFile]:
    """Read files, several at once; ``advance`` is called with every block, one at a time.

    Raises:
        Refused: see ``read_file``.
    """
    lock = threading.Lock()

    def report(count: int) -> None:
        with lock:
            advance(count)

    keep, room = [], KEPT_TOTAL_MAX
    for file in found:
        keep.append(file.size_bytes <= min(KEPT_SIZE_MAX, room))
        room -= file.size_bytes if keep[-1] else 0
    if len(found) == 1:
        return [read_file(found[0], keep[0], report)]
    done: list[LocalFile] = []
    with Threads(threads, "hash") as pool:
        reading: deque[Future[LocalFile]] = deque()
        try:
            for file, kept in zip(found, keep, strict=True):
                reading.append(pool.submit(read_file, file, kept, report))
                if len(reading) > threads * WAITING_MAX:
                    done.append(reading.popleft().result())
            done += [future.result() for future in reading]
        except BaseException:
            for future in reading:
                future.cancel()
            raise
    return done


def read_file(found: Found, keep: bool, advance: Callable[[int], None]) -> LocalFile:
    """Hash one file, whole and by block, in one pass.

    Raises:
        Refused: unreadable, or changing while it is read; not what its name says.
    """
    whole, blocks, kept, total = hashlib.sha256(), [], bytearray(), 0
    try:
        with found.path.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            check_content(found.name, before.st_size, stream)
            stream.seek(0)
            pickled = pickle_reason(found.name, stream)
            external = external_data(stream) if found.name.lower().endswith(".onnx") else None
            if pickled:  # not looked into any further
                known = "pickle"
            else:
                known = "onnx" if external is not None else format_of(found.name, before.st_size, stream)
            text = TextCheck() if not known and may_be_text(found.name) else None
            stream.seek(0)
            buffer = memoryview(bytearray(min(BLOCK_SIZE_BYTES, found.size_bytes + 1)))
            while block := _fill(stream, buffer):
                whole.update(block)
                blocks.append(hashlib.sha256(block).hexdigest())
                total += len(block)
                if text is not None:
                    text.take(block)
                advance(len(block))
                if keep:
                    kept += block
                if total > before.st_size:
                    break
            after = os.fstat(stream.fileno())
    except OSError as error:
        raise unreadable(error, found.path) from None
    if total != found.size_bytes or _identity(before) != _identity(after) or before.st_size != total:
        raise changed(found.path)
    entry = FileEntry(found.name, total, "sha256:" + whole.hexdigest(), tuple(blocks))
    if text is not None and text.is_text():
        known = TEXT
    return LocalFile(entry, found.path, pickled, known, external or {}, bytes(kept) if keep else None)


def changed(path: Path) -> Refused:
    """The error of a file that changes while it is published."""
    return Refused("it changes while it is being published", subject=str(path), hint="finish writing it first")


def _fill(stream: object, buffer: memoryview) -> memoryview:
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return buffer[:done]


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
