"""What a pod needs to know to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.pod_clients.port import LoadOrder


@dataclass(frozen=True, slots=True)
class Aspired:
    """What a pod should serve of one model.

    Attributes:
        order: the order to load it.
        refused: why no pod may load it now, for people; "": it may.
        quarantined: versions of the model that no pod may go back to.
    """

    order: LoadOrder
    refused: str = ""
    quarantined: frozenset[int] = frozenset()


class AspiredSource(Protocol):
    """What the region should serve, known without Kafka."""

    def aspired(self) -> Sequence[Aspired]:
        """What each model should serve. May block; raises ``ModelcastError`` if it can't be read now."""
        ...


class Presence(Protocol):
    """How the region learns of this pod (``Registrar``)."""

    @property
    def trouble(self) -> str:
        """Why this pod must take no traffic: its region does not drive it, but another of its name; "": it may."""
        ...

    async def run(self) -> None:
        """Announce the pod until cancelled; then announce that it leaves."""
        ...


@dataclass(frozen=True, slots=True)
class PodConfig:
    """One pod. Sizes in bytes, times in seconds."""

    name: str
    region: str
    token: str  # the region's; who has it may load and unload; two with a space between, while one replaces the other
    artifacts: ArtifactSourceFactory  # pickled, called in the worker processes
    state_dir: Path  # this pod's alone; holds what it has accepted
    aspired: AspiredSource | None = None
    expected: tuple[str, ...] = ()  # models without which it is not ready, where ``aspired`` does not say which
    presence: Presence | None = None  # None: the region's settings name it, or others discover it
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    port_file: Path | None = None  # written, once bound, with the port
    metrics_tokens: tuple[str, ...] = ()  # SHA-256 of those that /metrics asks for; none: it asks for no token
    body_bytes_max: int = 64 * 1024 * 1024
    in_flight_bytes_max: int = 512 * 1024 * 1024
    infer_seconds_max: float = 60.0
    load_seconds_max: float = 300.0
    grace_seconds: float = 1.0  # answers as usual, but says that it is not ready
    drain_seconds: float = 30.0  # at shutdown; a version that was replaced answers all that it has begun
    spares: int = 1  # warm workers kept waiting
    run_threads: int = 2  # requests of one model that run side by side
    intra_op_threads: int = 1  # threads that share one request's work
    load_nice: int = 10  # how much a load steps back for what serves
    memory_max_bytes: int | None = None  # what the workers may take together; None: what the machine has
