"""What one look at the consumer groups found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionLook:
    """How far a group has read a partition.

    Attributes:
        topic: of the partition.
        partition: its number.
        committed: the offset that is read next; None: none was ever committed.
        start: the first offset that is still there.
        end: the offset after the last record.
        unread_since_us: when Kafka received the first record that was not read (UTC microseconds, Kafka's clock);
            None: there is none, or it could not be read in time.
        error: why the partition's offsets are not known; "": they are.
    """

    topic: str
    partition: int
    committed: int | None = None
    start: int = 0
    end: int = 0
    unread_since_us: int | None = None
    error: str = ""

    @property
    def position(self) -> int:
        """Where the group reads on: what was deleted before it was read is skipped."""
        return self.start if self.committed is None else max(self.committed, self.start)

    @property
    def unread(self) -> int:
        """Offsets that were not read; compaction may have removed some of the records."""
        return max(0, self.end - self.position)

    @property
    def lost(self) -> bool:
        """Whether records were deleted before the group read them."""
        return self.committed is not None and self.committed < self.start


@dataclass(frozen=True, slots=True)
class GroupLook:
    """A consumer group. ``members``: None where Kafka does not say; ``error``: why nothing is known."""

    group: str
    members: int | None
    partitions: tuple[PartitionLook, ...]
    error: str = ""
