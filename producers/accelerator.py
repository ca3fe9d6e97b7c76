"""The port for what makes a publication reach regions sooner. Publishing is whole without it.

An accelerator is looked for by name (``infra/accelerators.py``); nothing here knows what it does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modelcast.infra.settings import Settings
from modelcast.producers.artifact import Artifact
from modelcast.producers.progress import Addition
from modelcast.producers.publication import Publication
from modelcast.producers.step_timer import StepTimer
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import DeltaHint


@dataclass(frozen=True, slots=True)
class Additions:
    """What an accelerator put beside an artifact, and what people should know of it."""

    made: tuple[Addition, ...] = ()
    notes: tuple[str, ...] = ()


class Acceleration(Protocol):
    """What an accelerator does for one publication. None of its calls fails the publication.

    ``beside`` runs at the same time as the upload, ``before`` right before the claim, ``after`` once the entry stands
    in the log, and ``close`` last, whatever happened.
    """

    def beside(self, log: ModelLog, version: int) -> None:
        """Look into what can be done for ``version``, which comes after ``log``, and begin with it."""
        ...

    def before(self, timer: StepTimer) -> tuple[DeltaHint, ...]:
        """Return once the version may be claimed: what its entry is to predict."""
        ...

    def after(self, publication: Publication, timer: StepTimer) -> Additions:
        """Do the rest; of a publication that could not be announced only what the next one gains by."""
        ...

    def close(self) -> None:
        """End what is under way, and let go of everything."""
        ...


class PublishAccelerator(Protocol):
    """What may save bytes of one publisher's versions."""

    def accelerate(self, model: str, artifact: Artifact, *, wanted: bool | None) -> Acceleration:
        """The acceleration of one publication; ``wanted`` is its caller's choice, None: that of the settings."""
        ...


MakeAccelerator = Callable[[Settings, ObjectStore], PublishAccelerator]
"""What is found by name: makes a publisher's accelerator from its settings and the origin store."""


class NoPublishAccelerator:
    """Stands where none is installed."""

    def accelerate(self, model: str, artifact: Artifact, *, wanted: bool | None) -> Acceleration:
        """A null object: nothing is done beside the publication."""
        return NoAcceleration()


class NoAcceleration:
    """Stands where nothing is done beside a publication."""

    def beside(self, log: ModelLog, version: int) -> None:
        """Nothing to look into."""

    def before(self, timer: StepTimer) -> tuple[DeltaHint, ...]:
        """Nothing to wait for."""
        return ()

    def after(self, publication: Publication, timer: StepTimer) -> Additions:
        """Nothing to add."""
        return Additions()

    def close(self) -> None:
        """Nothing to end."""
