"""A server for the conformance suite: what every rig of a kind gives to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.consumers.companion.asked import QUESTION
from tests.consumers.pod.models import Artifact


class ServerRig(Protocol):
    """One server of one kind on this machine, that may be killed and started again."""

    repository: Path
    http_port: int

    @property
    def gapless(self) -> bool:
        """Whether it answers every request while it loads."""
        ...

    @property
    def says_why(self) -> bool:
        """Whether it answers to a load with what went wrong."""
        ...

    @property
    def options(self) -> list[str]:
        """What a companion is told of it."""
        ...

    def artifact(self, number: int) -> Artifact:
        """A version whose answers say ``number``."""
        ...

    def corrupt(self) -> Artifact:
        """Whole bytes that the server can't load, and says so."""
        ...

    def foreign(self) -> Artifact:
        """A format that this kind does not serve."""
        ...

    def sampled(self, number: int, answers: str, recorded: Sequence[float], asked: object = QUESTION) -> Artifact:
        """A version that answers ``answers`` (numbers with spaces between), with a sample that records others."""
        ...

    def slow(self, number: int) -> Artifact:
        """As ``artifact``, but its load takes seconds."""
        ...

    def start(self) -> None:
        """Start it; return when it answers."""
        ...

    def kill(self) -> None:
        """SIGKILL, at once."""
        ...

    def says(self) -> int | None:
        """What the model ``adder`` answers, asked of the server itself; None: it does not serve."""
        ...

    def empty(self) -> None:
        """Remove what lies in its repository."""
        ...
