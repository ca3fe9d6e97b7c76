"""The port where an accelerator plugs in: what knows better ways than the road's, and goes them.

The road is complete without: ``NoAccelerator`` stands where none is installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.planning.bandwidth import LinkSpeeds
from modelcast.consumers.fetch.planning.candidates import BaseCandidates
from modelcast.consumers.fetch.planning.steps import Source, Step
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore


class HeldArtifacts(Protocol):
    """The artifacts of a machine (``ArtifactCache``)."""

    def digests(self) -> list[str]:
        """Their manifest digests."""
        ...

    def manifest(self, manifest_digest: str) -> Manifest:
        """One's manifest.

        Raises:
            ArtifactMissing, VerificationFailed: it is not here, or damaged.
        """
        ...


class SpeedSource(Protocol):
    """Knows how fast the links are (``Throughput``)."""

    def speeds(self) -> LinkSpeeds:
        """What is known by now; guesses for the rest."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is fetched, and between what.

    Attributes:
        origin: where the artifact was published.
        region: the region's own bucket; None: there is none.
        cache: this machine's.
        throughput: how fast the links were.
        candidates: other versions of the same model.
    """

    manifest_digest: str
    origin: ObjectStore
    region: ObjectStore | None
    cache: HeldArtifacts
    throughput: SpeedSource
    candidates: BaseCandidates


@dataclass(frozen=True, slots=True)
class HeldFiles:
    """What this machine has.

    Attributes:
        files: where whole files lie, by digest; they may vanish.
        aside: the folder of what is needed on the way only, and what an interrupted attempt left there.
    """

    files: Mapping[str, Path]
    aside: Path


class Destination(Protocol):
    """Where a file is put together, and the means for it. Thread-safe."""

    @property
    def aside(self) -> Path:
        """A folder for what is needed on the way only; an interruption leaves it."""
        ...

    def path(self, step: Step) -> Path:
        """The file; its disk space is taken already."""
        ...

    def block_came(self, digest: str, block: int) -> None:
        """A block of a file is in its place, and right."""
        ...

    def bring(
        self, key: str, path: Path, size_bytes: int, *, source: Source, prefix: VerifiedPrefix | None = None
    ) -> None:
        """Bring an object whose digest is not known in advance, going on from what an interruption left at ``path``.

        Args:
            prefix: grows with what of it is there.

        Raises:
            ModelcastError: as ``Download.object``.
        """
        ...


class Session(Protocol):
    """An accelerator during one fetch."""

    @property
    def at_once(self) -> int:
        """How many steps it goes at once."""
        ...

    def improve(self, steps: Sequence[Step], held: HeldFiles, context: Context) -> Sequence[Step]:
        """The same files in the same order, by a better way where there is one.

        Called again with the steps that ``bring`` gave back.
        """
        ...

    def bring(self, step: Step, destination: Destination, context: Context) -> bool:
        """Have the file in its place, verified. False: not by this way; the road, or another, takes it.

        Raises:
            FetchCancelled: the fetch is not wanted any more.
        """
        ...


class Accelerator(Protocol):
    """One for all fetches of a process. Thread-safe."""

    def prefetch(self, request: Request, size_bytes: int) -> None:
        """The manifest of an artifact of this size is being read: what else it takes may be asked for meanwhile."""
        ...

    def session(self, request: Request) -> Session:
        """For one fetch."""
        ...


class NoAccelerator:
    """Knows nothing better than the road."""

    at_once = 1

    def prefetch(self, request: Request, size_bytes: int) -> None:
        """Nothing."""

    def session(self, request: Request) -> "NoAccelerator":
        """Itself."""
        return self

    def improve(self, steps: Sequence[Step], held: HeldFiles, context: Context) -> Sequence[Step]:
        """The steps as they are."""
        return steps

    def bring(self, step: Step, destination: Destination, context: Context) -> bool:
        """The road takes it whole."""
        return False
