"""Moving parts of files from a store into preallocated files; every block is hashed before it is written.

Memory is bounded by one block a thread. A part that is interrupted goes on from its last whole block.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes
from modelcast.consumers.fetch.plan import Part, Step, Way
from modelcast.consumers.fetch.retry import check, retried
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError, NotFound, StoreUnavailable
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from modelcast.schemas.ports import ObjectStore, PreconditionFailed, Progress

READERS = 4
FLOOR_BYTES_PER_SECOND = 1024
FLOOR_AFTER_SECONDS = 30.0


class Download:
    """One fetch's transfer of parts.

    Attributes:
        moved_bytes: received so far, by the way they came; what had to come twice counts twice.
        arrived: digests of files of which at least one block came from the origin.
    """

    def __init__(
        self,
        stores: dict[Way, ObjectStore],
        path_of: Callable[[Part], Path],
        *,
        progress: Progress,
        cancelled: Callable[[], bool],
        distrust: Callable[[str], None],
        on_block: Callable[[Step, int, str], None] | None = None,
    ) -> None:
        """Args:
        stores: the region's (if there is one) and the origin.
        path_of: the preallocated file of a part.
        progress: told of verified bytes, from several threads but never at once.
        cancelled: asked often.
        distrust: told the digest of a file that is damaged in the regional bucket.
        on_block: told each block that was written (step, number, hex digest), from several threads but never at once.
        """
        self._stores = stores
        self._path_of = path_of
        self._progress = progress
        self._cancelled = cancelled
        self._distrust = distrust
        self._on_block = on_block
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._etags: dict[tuple[Way, str], str] = {}
        self.moved_bytes = {Way.REGION: 0, Way.ORIGIN: 0}
        self.arrived: set[str] = set()

    def run(self, parts: Sequence[Part]) -> None:
        """Bring all parts; the first error of any thread stops the others and is raised here."""
        if len(parts) <= 1:
            for part in parts:
                self._bring(part)
            return
        with ThreadPoolExecutor(min(READERS, len(parts)), "fetch") as pool:
            futures = [pool.submit(self._bring, part) for part in parts]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                first = next((f for f in done if f.exception()), None)
                if first is not None:
                    first.result()
            finally:
                self._stop.set()
                for future in futures:
                    future.cancel()

    def _bring(self, part: Part) -> None:
        fd = os.open(self._path_of(part), os.O_WRONLY | os.O_CLOEXEC)
        try:
            cursor = _Cursor(part, fd)
            if part.step.way is Way.REGION:
                with suppress(NotFound):  # gone since we looked: the origin has it
                    try:
                        retried(lambda: self._read(cursor, Way.REGION), self._is_over)
                    except DamagedBytes:
                        self._distrust(part.step.file.digest)
            if cursor.left_bytes:
                with self._lock:
                    self.arrived.add(part.step.file.digest)
                retried(lambda: self._read(cursor, Way.ORIGIN), self._is_over)
        finally:
            os.close(fd)

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._cancelled()

    def _read(self, cursor: "_Cursor", way: Way) -> None:
        """Read on from where the cursor stands."""
        file, store = cursor.part.step.file, self._stores[way]
        key = cursor.part.step.key or keys.blob(file.digest)
        etag = self._etags.get((way, key))
        buffer = memoryview(bytearray(min(BLOCK_SIZE_BYTES, cursor.left_bytes)))
        try:
            with store.open(key, start=cursor.position, length=cursor.left_bytes, etag=etag) as stream:
                if stream.info.size_bytes != file.size_bytes:
                    raise DamagedBytes(
                        file.path,
                        expected=f"{file.size_bytes} bytes",
                        got=f"{stream.info.size_bytes} bytes",
                        store=store.name,
                    )
                self._etags[way, key] = stream.info.etag
                pace = _Pace()
                while cursor.left_bytes:
                    block = buffer[: min(BLOCK_SIZE_BYTES, cursor.left_bytes)]
                    filled = 0
                    while filled < len(block):
                        check(self._is_over)
                        count = stream.readinto(block[filled:])
                        if count == 0:
                            raise StoreUnavailable("the object ended early", subject=f"{store.name}/{key}")
                        filled += count
                        if pace.is_below_floor(count):
                            raise StoreUnavailable("the link has all but stalled", subject=f"{store.name}/{key}")
                        with self._lock:
                            self.moved_bytes[way] += count
                    number = cursor.position // BLOCK_SIZE_BYTES
                    digest = cursor.accept(block, store.name)
                    with self._lock:
                        self._progress(len(block))
                        if self._on_block:
                            self._on_block(cursor.part.step, number, digest)
        except PreconditionFailed as error:
            # Replaced while we read. Whole blocks stay: each was right by itself.
            self._etags.pop((way, key), None)
            raise StoreUnavailable("the object was replaced while it was read", subject=error.subject) from error
        except NotFound as error:
            raise BlobMissing(f"{file.path} is not in the store", subject=error.subject) from error
        except DamagedBytes:
            raise
        except ContentError as error:
            got = f"less than {cursor.position} bytes"
            raise DamagedBytes(file.path, expected=f"{file.size_bytes} bytes", got=got, store=store.name) from error


class _Pace:
    """Bytes per window of time; a link that only trickles is given up for a new one."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._bytes = 0

    def is_below_floor(self, count: int) -> bool:
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < FLOOR_AFTER_SECONDS:
            return False
        slow = self._bytes < FLOOR_BYTES_PER_SECOND * seconds
        self._since += seconds
        self._bytes = 0
        return slow


class _Cursor:
    """How far a part has come."""

    def __init__(self, part: Part, fd: int) -> None:
        self.part = part
        self.position = part.start
        self._end = part.start + part.size_bytes
        self._fd = fd

    @property
    def left_bytes(self) -> int:
        return self._end - self.position

    def accept(self, block: memoryview, store: str) -> str:
        """Write the next block, if it is the right one or nobody knows which is; its hex digest."""
        file = self.part.step.file
        expected, got = file.blocks[self.position // BLOCK_SIZE_BYTES], sha256(block).hexdigest()
        if expected and got != expected:
            raise DamagedBytes(file.path, expected=expected, got=got, store=store)
        written = 0
        while written < len(block):
            written += os.pwrite(self._fd, block[written:], self.position + written)
        self.position += len(block)
        return got
