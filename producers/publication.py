"""What a publication is: what was asked for, what the log makes of it, and what became of it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Protocol

from modelcast.producers.deltas.offers import DeltaMade, DeltaOffer
from modelcast.producers.verdict import Level, Verdict
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotAnnounced, Refused, UsageError
from modelcast.schemas.log import ModelLog
from modelcast.schemas.names import check_model, check_region, check_version
from modelcast.schemas.records import Activation, ArtifactRef, DeltaHint, ModelUpdate

LABELS_MAX = 256
TEXT_MAX = 4096
NOT_READ = ArtifactRef("", "", "", 0, 0, "")


class PublishProgress(Protocol):
    """Told what a publication is doing."""

    def step(self, name: str, total_bytes: int = 0) -> None:
        """A step begins: ``scan`` (again once its size is known), ``upload``, ``deltas``, ``claim``, ``announce``."""
        ...

    def advance(self, done_bytes: int) -> None:
        """Further bytes of the step are done."""
        ...

    def delta(self, made: DeltaMade) -> None:
        """One delta of a file is in the store."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asked for, checked; ``artifact`` is known once the files have been read."""

    model: str
    artifact: ArtifactRef = NOT_READ
    version: int | None = None
    placement: tuple[str, ...] = ()
    activation: Activation = Activation.IMMEDIATE
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    publisher: str = ""

    def __post_init__(self) -> None:
        """Check names and sizes.

        Raises:
            UsageError: something does not make sense.
        """
        check_model(self.model)
        if self.version is not None:
            check_version(self.version)
        for region in self.placement:
            check_region(region)
        if len(set(self.placement)) != len(self.placement):
            raise UsageError("a region stands twice in the placement", subject=self.model, hint="name it once")
        if len(self.metrics) > LABELS_MAX or len(self.labels) > LABELS_MAX:
            raise UsageError(f"more than {LABELS_MAX} metrics or labels", subject=self.model, hint="leave some out")
        for name, value in self.metrics.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"metric {name!r} is {value}", subject=self.model, hint="metrics are finite numbers")
        for text in (*self.metrics, *self.labels, *self.labels.values(), self.publisher):
            if len(text) > TEXT_MAX:
                raise UsageError(f"a label of {len(text)} characters", subject=self.model, hint=f"at most {TEXT_MAX}")

    def of(self, artifact: ArtifactRef) -> "Request":
        """The same request with its bytes known."""
        return replace(self, artifact=artifact)

    @property
    def intent_key(self) -> str:
        """Where the intent of this publication lies: the same for a rerun, another for other bytes or options.

        Metrics, labels and publisher are left out: a training job that is run again may measure other times.
        """
        said = [self.artifact.manifest_digest, self.version, sorted(self.placement), self.activation]
        return keys.intent(self.model, sha256_of(json.dumps(said).encode()))

    def update(self, log: ModelLog, event_id: str, now_us: int, hints: tuple[DeltaHint, ...] = ()) -> ModelUpdate:
        """The entry that publishes this as the next of ``log``."""
        return ModelUpdate(
            registry_id=log.registry_id,
            event_id=event_id,
            model=self.model,
            version=self.version or log.next_version,
            generation=log.head + 1,
            artifact=self.artifact,
            published_at_us=now_us,
            placement=self.placement,
            activation=self.activation,
            publisher=self.publisher,
            metrics={name: float(value) for name, value in self.metrics.items()},
            labels=self.labels,
            delta_hints=hints,
        )


class Course(Enum):
    """What is left to do."""

    CLAIM = auto()  # the bytes are new: take a version
    ANNOUNCE = auto()  # they are in the log already: say so again


@dataclass(frozen=True, slots=True)
class Decision:
    """The course, and for ANNOUNCE the generation; ``completes``: an earlier run of this publication claimed it."""

    course: Course
    generation: int = 0
    completes: bool = False

    def version_in(self, log: ModelLog) -> int | None:
        """The version that stands in the log already."""
        return next((u.version for u in log.updates.values() if u.generation == self.generation), None)


def decide(log: ModelLog, request: Request, event_id: str | None) -> Decision:
    """What publishing ``request`` means where the log stands at ``log``. Pure.

    Args:
        log: the fold so far.
        request: what was asked for.
        event_id: of this publication's intent, if it has one.

    Raises:
        Refused: the version exists with other bytes, or is lower than one that exists.
    """
    if event_id is not None and event_id in log.event_ids:
        return Decision(Course.ANNOUNCE, log.event_ids.index(event_id) + 1, completes=True)
    latest = log.latest_version
    wanted = request.version if request.version is not None else latest
    if wanted is not None and (standing := log.updates.get(wanted)) is not None:
        if standing.artifact.manifest_digest == request.artifact.manifest_digest:
            return Decision(Course.ANNOUNCE, standing.generation)
        if request.version is not None:
            raise Refused(
                "the version exists with other bytes",
                subject=f"{request.model}/{wanted}",
                hint=f"a version never changes; publish without --version to get {log.next_version}",
            )
    elif request.version is not None and latest is not None and request.version < latest:
        raise Refused(
            f"version {latest} exists, and versions only go up",
            subject=f"{request.model}/{request.version}",
            hint=f"publish without --version to get {log.next_version}",
        )
    return Decision(Course.CLAIM)


Waiter = Callable[["Publication", Level, float], Verdict]


@dataclass(frozen=True, slots=True)
class Publication:
    """A version that is in the log.

    Attributes:
        created: this publication put it there (or completed an interrupted run that had); False: already published.
        announced: Kafka confirmed the announcement.
        received_at_us: when the store received the entry, by the store's clock.
        uploaded_bytes: bytes that the store lacked, or held damaged.
        step_seconds: where the time went.
        notes: what was found and not carried, or put right.
        deltas: made by this call, by the version that they start from (0: compressed wholes).
    """

    model: str
    version: int
    generation: int
    event_id: str
    manifest_digest: str
    created: bool
    announced: bool
    registry_id: str = ""
    activation: Activation = Activation.IMMEDIATE
    size_bytes: int = 0
    file_count: int = 0
    framework: str = ""
    uploaded_bytes: int = 0
    received_at_us: int = 0
    dry_run: bool = False
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    deltas: tuple[DeltaOffer, ...] = ()
    waiter: Waiter | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"

    def wait(self, level: Level = "all", timeout: float = 300.0) -> "Publication":
        """Wait until regions serve this version (or have it staged, if it was published so).

        Args:
            level: ``all`` expected regions, a ``quorum`` (more than half), or ``one``.
            timeout: seconds.

        Returns:
            This publication.

        Raises:
            Quarantined: a region found that it can't serve it; no further waiting helps.
            NotConverged: not in time, or a newer version took its place; the laggards are named.
            KafkaUnavailable: the tracker's reports can't be read.
        """
        if self.waiter is None:
            raise UsageError("this publication has nobody to ask", subject=str(self), hint="modelcast wait")
        self.waiter(self, level, timeout)
        return self


class Unannounced(NotAnnounced):
    """The publication is claimed, and will be announced by the tracker; Kafka did not confirm our announcement."""

    publication: Publication | None = None
