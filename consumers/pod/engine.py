"""The port between a pod's order, fence, ledger and routes, and the server that runs its models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from modelcast.consumers.pod_clients.port import LoadOrder, Proof
from modelcast.schemas.errors import ContentError


class NotLoadable(ContentError):
    """Whole, verified bytes that the server refuses: the version is to blame."""


class Unsupported(ContentError):
    """The bytes may be well, but this kind of server does not serve such a model."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a pod must know of its engine."""

    kind: str  # what runs the models, in one word, for people
    gapless: bool  # a swap fails no request; else the pod says that it is not ready around each
    # How often it has to be asked what it serves, in seconds; None: it says by itself when it has lost a model.
    watch_seconds: float | None
    side_by_side: bool = False  # models are loaded at the same time, also by orders: what that takes is not its matter


@dataclass(frozen=True, slots=True)
class Served:
    """What a server's memory holds of one model."""

    version: int
    manifest_digest: str
    proof: Proof
    metadata: Mapping[str, Any] = field(default_factory=dict)  # as V2 describes a model
    seconds: Mapping[str, float] = field(default_factory=dict)  # what the swap took, by stage

    def holds(self, order: LoadOrder) -> bool:
        """Whether it is the version that the order names, with its bytes."""
        return (self.version, self.manifest_digest) == (order.version, order.manifest_digest)


class LossListener(Protocol):
    """Who hears what an engine lost. Called on the event loop."""

    def lost(self, place: str, why: str) -> None:
        """A model that was serving is gone, in a lane (``lane_place``)."""
        ...


class Engine(Protocol):
    """Serves at most one version of each model. All calls come from one event loop, for one model one at a time.

    A call that is cancelled leaves what served before serving.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do; it never changes."""
        ...

    async def start(self, listener: LossListener) -> None:
        """Start; ``listener`` hears which models are served no more."""
        ...

    async def prepare(self, order: LoadOrder) -> None:
        """Bring the version as near to serving as can be beside what serves. Verifies every byte.

        Raises:
            LoadFailed: it can't be had; see its codes.
        """
        ...

    async def swap(self, order: LoadOrder) -> Served:
        """Serve what was prepared; what serves before is let go once its requests are answered.

        Raises:
            LoadFailed: it can't; what served before still does.
        """
        ...

    async def serving(self, model: str) -> Served | None:
        """What the server's memory holds now; None: nothing that can be named.

        Raises:
            PodUnreachable: the server does not answer.
        """
        ...

    async def retire(self, model: str) -> None:
        """Stop serving a model; absent is fine. Raises ``LoadFailed`` if the server does not let go of it."""
        ...

    async def aclose(self) -> None:
        """End what it runs, close its connections. Requests in flight should have been answered."""
        ...


@runtime_checkable
class RemoteEngine(Engine, Protocol):
    """Drives a server that may be away while no model shows it."""

    async def reach_server(self) -> None:
        """Return if the server answers. Asked while it serves no model, as often as it is watched.

        Raises:
            PodUnreachable: it does not.
            LoadFailed: what answers there is another program.
        """
        ...


@runtime_checkable
class LanedEngine(Engine, Protocol):
    """Serves a candidate beside the control: at most one version in each lane of a model.

    ``prepare`` and ``swap`` are for the order's lane; ``serving`` and ``retire`` take a lane's name
    (``lane_place``) for the model's.
    """

    def exchange(self, place: str, other: str) -> None:
        """Have what serves in either lane serve in the other, in one step; a lane may be empty."""
        ...
