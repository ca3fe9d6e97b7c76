"""Since when the store does not answer about a log, or about the list of them: what came since then is not known."""

from datetime import UTC, datetime

SILENT_SECONDS = 10.0
"""A store that did not answer for longer is no hiccup."""


class Silence:
    """Questions that the store did not answer, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, int]] = {}

    def unanswered(self, question: str, now: float, now_us: int) -> str:
        """The store did not answer at ``now`` (monotonic seconds), which is ``now_us`` (UTC microseconds).

        Returns:
            Since when that is so, in UTC; "" while it may be a hiccup.
        """
        at, at_us = self._since.setdefault(question, (now, now_us))
        if now - at < SILENT_SECONDS:
            return ""
        return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%SZ}"

    def answered(self, question: str) -> None:
        """Forget a question that was answered."""
        self._since.pop(question, None)
