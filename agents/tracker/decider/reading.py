"""How far acknowledgements were read: a view is as old as the oldest one that waits to be read, or to be decided."""

from collections.abc import Iterable

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.schemas.topics import partition_of


class ReadProgress:
    """How far each partition was read. Times are Kafka's, UTC microseconds.

    Args:
        epochs: what was read and set aside; that counts as unread for its model until it is decided.
    """

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._unread_since_us: dict[int, int] = {}

    def begins(self, partition: int, appended_us: int) -> None:
        """A record is being taken: what came with it and after it is unread."""
        self._unread_since_us[partition] = appended_us

    def ends(self, partition: int, *, at_the_end: bool) -> None:
        """Note that a record was taken; ``at_the_end``: nothing waits behind it."""
        if at_the_end:
            self._unread_since_us.pop(partition, None)

    def unread_since_us(self, model: str) -> int:
        """When the oldest acknowledgement came that may concern the model and is not in its rows; 0: all are."""
        return _oldest(self._unread_since_us.get(partition_of(model), 0), self._epochs.undecided_since_us(model))

    def unread_by_partition_us(self, partitions: Iterable[int]) -> dict[int, int]:
        """The same of all models of each partition."""
        found = {partition: self._unread_since_us.get(partition, 0) for partition in partitions}
        for model in self._epochs.undecided:
            partition = partition_of(model)
            if partition in found:
                found[partition] = _oldest(found[partition], self._epochs.undecided_since_us(model))
        return found

    def forget(self) -> None:
        """Partitions change hands."""
        self._unread_since_us.clear()


def _oldest(*times_us: int) -> int:
    return min(filter(None, times_us), default=0)
