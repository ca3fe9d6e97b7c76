"""How far acknowledgements were read: a view is as old as the oldest one that waits to be read."""


class ReadProgress:
    """By partition. Times are Kafka's, UTC microseconds."""

    def __init__(self) -> None:
        self._unread_since_us: dict[int, int] = {}

    def begins(self, partition: int, appended_us: int) -> None:
        """A record is being taken: what came with it and after it is unread."""
        self._unread_since_us[partition] = appended_us

    def ends(self, partition: int, *, at_the_end: bool) -> None:
        """It was taken; ``at_the_end``: nothing waits behind it."""
        if at_the_end:
            self._unread_since_us.pop(partition, None)

    def unread_since_us(self, partition: int) -> int:
        """When the oldest unread acknowledgement came; 0: all were read."""
        return self._unread_since_us.get(partition, 0)

    def forget(self) -> None:
        """Partitions change hands."""
        self._unread_since_us.clear()
