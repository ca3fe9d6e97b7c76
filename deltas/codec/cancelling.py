"""How work on large files is ended from outside: it asks often."""

from collections.abc import Callable

CancelCheck = Callable[[], None]
"""Called often; what it raises ends the work."""


def never_cancelled() -> None:
    """Nobody ends this work."""
