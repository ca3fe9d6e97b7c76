"""A server for the conformance suite: what every rig of a kind gives to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.consumers.companion.asked import QUESTION
from tests.consumers.engine_conformance import LosingRig
from tests.consumers.pod.models import Artifact


class ServerRig(LosingRig, Protocol):
    """One server of one kind on this machine, that may be killed and started again."""

    repository: Path
    http_port: int
    told_port: int  # where the companion is told that it answers

    @property
    def options(self) -> list[str]:
        """What a companion is told of it."""
        ...

    def sampled(self, number: int, answers: str, recorded: Sequence[float], asked: object = QUESTION) -> Artifact:
        """A version that answers ``answers`` (numbers with spaces between), with a sample that records others."""
        ...

    def load_by_hand(self, number: int) -> None:
        """Load a version that lies there still, as somebody does who knows of no companion. Returns once it serves.

        Of the kinds that are asked samples.
        """
        ...

    def signal(self, number: int) -> None:
        """Send it a signal."""
        ...
