"""Which outcomes were taken in: Kafka may bring a record twice, and a job that reports is run again."""

KEPT_MAX = 100_000


class SeenIds:
    """The newest ids, ``kept_max`` at most, so that memory has an end: a repetition that is later counts again."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: dict[tuple[str, str], None] = {}

    def is_new(self, name: str, outcome_id: str) -> bool:
        """Whether an outcome of this name and id comes for the first time; from now on it has come."""
        if (name, outcome_id) in self._kept:
            return False
        self._kept[name, outcome_id] = None
        if len(self._kept) > self._kept_max:
            del self._kept[next(iter(self._kept))]
        return True
