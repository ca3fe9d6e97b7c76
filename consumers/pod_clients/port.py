"""The port through which a region drives one serving pod, and the values that cross it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from modelcast.schemas.errors import ContentError, Refused, TransportError
from modelcast.schemas.traffic.reports import VersionCounts
from modelcast.schemas.traffic.table import TrafficTable

Proof = Literal["bytes", "memory", "disk"]
"""What a reading rests on: the pod hashed the bytes that it serves; the server names what its memory holds; or only
what lies on the server's disk, which may be another version than the one that answers."""
CONFIRMING: frozenset[Proof] = frozenset({"bytes", "memory"})

BLAMES_THE_BYTES = "verification_failed"
BLAMES_THE_VERSION = "load_failed"
"""Only these two codes of ``LoadFailed`` count against a version: its bytes differ, or a pod that had hashed them
could not load them and said why. Every other code names a fault of the environment, which mending the environment
cures: it is tried again with back-off and never quarantines."""

CANDIDATE = "candidate"
"""The lane of a version that is rolled out beside the control, whose lane is ""."""
LANES = frozenset({"", CANDIDATE})


def lane_place(model: str, lane: str) -> str:
    """The name of a model's lane: the model's own for the control; no model's name holds an @."""
    return f"{model}@{lane}" if lane else model


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What one pod is told to serve, and by whose authority.

    (``epoch``, ``generation``) is compared as a pair, epoch first: a pod never accepts a lower pair than it has
    accepted before.
    """

    model: str
    version: int
    manifest_digest: str  # "sha256:<hex>"
    generation: int
    epoch: int
    registry_id: str
    reload: bool = False  # load again even if the same bytes are being served
    lane: str = ""  # one of ``LANES``; each has its own pairs, but an epoch that was replaced is refused in all

    @property
    def place(self) -> str:
        """See ``lane_place``."""
        return lane_place(self.model, self.lane)


@dataclass(frozen=True, slots=True)
class PodReading:
    """What one read-back of one model on one pod said."""

    pod: str
    ready: bool  # the pod takes traffic (for this model, if it has one)
    incarnation: str  # changes when the pod process restarts; "" if unknown
    version: int | None  # served now; None: the model is not served
    manifest_digest: str | None
    generation: int | None
    epoch: int | None
    registry_id: str | None = None
    proof: Proof = "bytes"
    gapless: bool = True  # loading beside what serves, it fails no request; else it takes no traffic while it loads
    kind: str = ""  # what serves there, in its own word: "modelcast", "triton"; "": it did not say
    lanes: bool = False  # it can hold a candidate beside the control


@dataclass(frozen=True, slots=True)
class PodTraffic:
    """One read-back of one model.

    Attributes:
        pod: its name.
        incarnation: of its process; counts begin at zero with each.
        started_at_us: when that process started, its clock.
        sequence: rises with every reading of the incarnation.
        authority: of the table in force: (generation, epoch, sequence); zeros: none is.
        table_digest: of the table in force; "": none is.
        rollout: id of the rollout that it belongs to.
        shares: by version, of the requests, now; in ten-thousandths.
        versions: what was counted of each.
        keyless: by version, requests without a key, which were drawn at random.
        shadow_dropped: by version, copies that were never sent.
    """

    pod: str
    incarnation: str
    started_at_us: int
    sequence: int
    authority: tuple[int, int, int]
    table_digest: str
    rollout: str
    shares: Mapping[int, int]
    versions: tuple[VersionCounts, ...]
    keyless: Mapping[int, int]
    shadow_dropped: Mapping[int, int]


class PodUnreachable(TransportError):
    """The pod did not answer in time, is draining, or is no pod at all."""


class PodRefused(Refused):
    """The pod says no: a stale (epoch, generation), another registry, a wrong token. Nothing has changed there.

    ``code`` is a stable word: ``stale``, ``conflict``, ``superseded``, ``foreign_registry``, ``unauthorized``,
    ``request_refused`` (the request itself was not understood), …
    """

    def __init__(self, message: str, *, code: str = "refused", subject: str = "", hint: str = "") -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.subject, self.hint))


class LoadFailed(ContentError):
    """The pod tried and could not serve the version; what it served before, it still serves.

    ``code`` is a stable word:

    - ``verification_failed``, ``load_failed``: the version is to blame, see ``BLAMES_THE_VERSION``;
    - ``artifact_missing``: the pod's cache has lost the bytes, and the region brings them back;
    - ``not_delivered``: the files are not where the server looks for them;
    - ``unsupported``: this kind of pod does not serve such a model, or the server can't be driven;
    - ``server_failed``: a server that is not ours failed, and did not prove that it had the bytes whole;
    - ``unreachable``, ``load_timeout``, ``load_crashed``, ``out_of_resources``, ``io_error``, …
    """

    def __init__(self, message: str, *, code: str = "load_failed", subject: str = "", hint: str = "") -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.subject, self.hint))


def _rebuild(
    cls: "type[PodRefused] | type[LoadFailed]", message: str, code: str, subject: str, hint: str
) -> "PodRefused | LoadFailed":
    return cls(message, code=code, subject=subject, hint=hint)


class Pod(Protocol):
    """One serving pod, whatever software runs there."""

    @property
    def name(self) -> str:
        """Its name in the settings."""
        ...

    async def load(self, order: LoadOrder) -> None:
        """Return when the pod serves what ``order`` names.

        Raises:
            PodRefused: the pod has accepted a higher (epoch, generation), or does not trust us.
            LoadFailed: it tried and could not; the old version keeps serving there.
            PodUnreachable: no answer; what happened is unknown until it is read back.
        """
        ...

    async def unload(self, model: str, *, epoch: int, generation: int, lane: str = "") -> None:
        """Stop serving ``model`` in a lane; absent is fine. Raises like ``load``."""
        ...

    async def read(self, model: str, lane: str = "") -> PodReading:
        """What the pod serves of ``model`` in a lane now. Raises ``PodUnreachable``."""
        ...

    async def apply_traffic(self, table: TrafficTable) -> None:
        """Have the pod divide the model's requests by ``table`` from now on, also after a restart.

        Raises:
            PodRefused: ``stale``: it has a higher authority; ``conflict``: the same, and this gives a candidate more.
            LoadFailed: ``unsupported``: it holds one version of a model; ``state_unwritable``.
            PodUnreachable: no answer; what happened is unknown until it is read back.
        """
        ...

    async def read_traffic(self, model: str) -> PodTraffic:
        """By which table the pod divides now, and what it counted. Raises ``PodUnreachable``."""
        ...

    async def aclose(self) -> None:
        """Let go of the connections."""
        ...
