"""A disk at /mnt that others fill, for programs that run with a small one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

HOG = Path("/mnt/hog")


def fill() -> None:
    """Somebody else takes every byte."""
    with HOG.open("ab", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                hog.write(b"x")
        except OSError:
            pass


def full_before(place: type, name: str) -> Callable[[], None]:
    """The disk is full when this is called next; returns what puts it right again."""
    real = getattr(place, name)

    def filled(*args: Any, **kwargs: Any) -> Any:
        fill()
        return real(*args, **kwargs)

    setattr(place, name, filled)
    return lambda: setattr(place, name, real)
