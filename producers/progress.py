"""How a publication is watched while it is under way, and what accelerators add to it."""

from typing import Protocol


class Addition(Protocol):
    """What an accelerator has put beside an artifact: a frozen dataclass of its own; as text, for people."""

    @property
    def files(self) -> int:
        """How many of the artifact's files it is for."""
        ...

    @property
    def size_bytes(self) -> int:
        """How large it is in the store."""
        ...


class PublishProgress(Protocol):
    """Called with what a publication is doing."""

    def step(self, name: str, total_bytes: int = 0) -> None:
        """A step begins: ``scan`` (again once its size is known), ``upload``, ``claim``, ``announce``, and others."""
        ...

    def advance(self, done_bytes: int) -> None:
        """Further bytes of the step are done."""
        ...

    def added(self, addition: Addition) -> None:
        """An accelerator has put one more thing beside the artifact."""
        ...
