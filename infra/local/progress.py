"""How the local stack says what it is doing."""

from typing import Protocol


class Progress(Protocol):
    """Receives one short line for each step."""

    def step(self, text: str) -> None:
        """Say that ``text`` is happening now."""


class Silent:
    """Says nothing."""

    def step(self, text: str) -> None:
        """Swallow the line."""


SILENT: Progress = Silent()
