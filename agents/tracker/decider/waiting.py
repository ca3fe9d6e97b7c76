"""Which models are to be folded: in the order in which they came, so that none holds up another."""

from collections.abc import Iterable, Iterator

from modelcast.schemas.backoff import backoff_seconds

RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 60.0


class Waiting:
    """A queue of models. One that fails goes to its end and backs off alone."""

    def __init__(self) -> None:
        self._models: dict[str, None] = {}
        self._failures: dict[str, tuple[int, float]] = {}  # how often in a row, and when to try again

    def __bool__(self) -> bool:
        return bool(self._models)

    def __contains__(self, model: str) -> bool:
        return model in self._models

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._models))

    def add(self, model: str) -> None:
        """The model waits; if it did already, it keeps its place."""
        self._models.setdefault(model)

    def update(self, models: Iterable[str]) -> None:
        """All of these wait."""
        for model in models:
            self.add(model)

    def discard(self, model: str) -> None:
        """Remove a model from the queue."""
        self._models.pop(model, None)

    def keep(self, models: Iterable[str]) -> None:
        """Only these matter still."""
        kept = set(models)
        self._models = {model: None for model in self._models if model in kept}
        self._failures = {model: failed for model, failed in self._failures.items() if model in kept}

    def failed(self, model: str, now: float) -> None:
        """Put a model that could not be folded at the end of the queue, not to be tried for a while."""
        times = self._failures.get(model, (0, 0.0))[0] + 1
        self._failures[model] = times, now + backoff_seconds(RETRY_SECONDS, times, RETRY_SECONDS_MAX)
        self.discard(model)
        self.add(model)

    def succeeded(self, model: str) -> None:
        """Forget the failures of a model that was folded."""
        self._failures.pop(model, None)

    def seconds_left(self, model: str, now: float) -> float:
        """Seconds for which a model that failed must wait; 0: it need not."""
        return max(0.0, self._failures.get(model, (0, now))[1] - now)
