"""Runs of bytes on their way into preallocated files; those of an artifact's files are hashed block by block."""

from modelcast.consumers.fetch.planning.blocks import BlockHashes
from modelcast.consumers.fetch.planning.parts import Part
from modelcast.consumers.fetch.planning.steps import Way
from modelcast.consumers.fetch.transfer.target import Target
from modelcast.schemas import keys
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES


class Span:
    """A run of an object's bytes, and how many of them are written.

    Args:
        key: the object's.
        label: what people know it by.
        size_bytes: of the whole object.
        start: the first byte.
        count: how many.
        steady: nothing will prove the bytes, so at least all of them have to be of one object.
    """

    def __init__(self, key: str, label: str, size_bytes: int, start: int, count: int, *, steady: bool = False) -> None:
        self.key = key
        self.label = label
        self.size_bytes = size_bytes
        self.start = self.position = start
        self.end = start + count
        self.steady = steady

    @property
    def left_bytes(self) -> int:
        """Still to come."""
        return self.end - self.position

    @property
    def next_bytes(self) -> int:
        """Still to come of the block that is next."""
        return min(BLOCK_SIZE_BYTES - self.position % BLOCK_SIZE_BYTES, self.left_bytes)

    @property
    def block(self) -> int:
        """The block that comes next, or goes on."""
        return self.position // BLOCK_SIZE_BYTES

    @property
    def written_bytes(self) -> int:
        """How much of that block is written; 0 at the end of the object."""
        return self.position % BLOCK_SIZE_BYTES if self.position < self.size_bytes else 0

    def write(self, target: Target, chunk: memoryview) -> None:
        """Write what came; only then it counts."""
        target.write(chunk, self.position)
        self.position += len(chunk)


class FileSpan(Span):
    """A run of whole blocks of an artifact's file, each hashed while it is still in the processor's own cache.

    Args:
        part: what it is.

    Attributes:
        part: what it is.
        wrong: the blocks that came and are not what the manifest says, with what they are (hex digests).
        origin_from: from this byte on the origin gave them; None: it gave none.
        taken_over: the block whose beginning an earlier attempt wrote; None: there is none.
    """

    def __init__(self, part: Part) -> None:
        file = part.step.file
        super().__init__(keys.blob(file.digest), file.path, file.size_bytes, part.start, part.size_bytes)
        self.part = part
        self.wrong: dict[int, str] = {}
        self.origin_from: int | None = None
        self.taken_over: int | None = None
        self._went_on_at = part.start
        self._hashes = BlockHashes(file.size_bytes, part.start)

    def take_over(self, beginning: memoryview) -> None:
        """Go on after what an earlier attempt wrote of the first block."""
        self.taken_over = self.part.first_block
        self.position += len(beginning)
        self._went_on_at = self.position
        for _ in self._hashes.update(beginning):
            raise AssertionError("a whole block is not begun")

    def from_origin_on(self) -> None:
        """What follows comes from the origin; a block that the region has begun is given up."""
        if self.position != self._went_on_at:
            self.position = max(self.start, self.position // BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES)
            self._hashes = BlockHashes(self.size_bytes, self.position)
        self.origin_from = self.position // BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES

    def write(self, target: Target, chunk: memoryview) -> None:
        """Write and hash what came."""
        super().write(target, chunk)
        for number, got in self._hashes.update(chunk):
            if got != self.part.step.file.blocks[number]:
                self.wrong[number] = got

    def blocks_within(self, count: int) -> list[int]:
        """The blocks that became whole with the last ``count`` bytes written, and are right."""
        first = (self.position - count) // BLOCK_SIZE_BYTES
        last = self.position // BLOCK_SIZE_BYTES
        if self.position == self.size_bytes:
            last = -(-self.size_bytes // BLOCK_SIZE_BYTES)
        return [number for number in range(first, last) if number not in self.wrong]

    @property
    def is_wrong_in_region(self) -> bool:
        """A block came from the region, all of it, and is wrong."""
        return self.part.step.way is Way.REGION and bool(self.wrong.keys() - {self.taken_over})

    def wrong_from_origin(self) -> int | None:
        """The first wrong block that came whole from the origin."""
        if self.origin_from is None:
            return None
        given = (n for n in sorted(self.wrong) if n * BLOCK_SIZE_BYTES >= self.origin_from)
        return next((number for number in given if number != self.taken_over), None)
