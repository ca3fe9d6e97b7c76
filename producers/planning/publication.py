"""What a publication comes to where the log stands: claim a version, announce one, or neither. Pure."""

from dataclasses import dataclass

from modelcast.producers.planning.request import PublishRequest
from modelcast.schemas.errors import Refused
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.names import VERSION_MAX
from modelcast.schemas.records import Activation, DeltaHint, ModelUpdate

JUMP_MAX = 1_000
"""Versions that a named one may leave out: a slip of the finger must not use up all that are left."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The bytes are new: this version is to be claimed at this generation."""

    version: int
    generation: int


@dataclass(frozen=True, slots=True)
class Announce:
    """The log holds the bytes already: that entry is to be announced again.

    Attributes:
        version: of the entry.
        generation: of the entry.
        completes: an earlier run of this very publication claimed it.
    """

    version: int
    generation: int
    completes: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """The log forbids it.

    Attributes:
        message: why, for people.
        subject: the version or object that stands in the way.
        hint: what to do.
        commanded_at: the generation of the command that forbids it, if one does.
    """

    message: str
    subject: str
    hint: str
    commanded_at: int | None = None

    def error(self, by_whom: str = "") -> Refused:
        """The error to raise; ``by_whom`` (who commanded it, and why) follows the message."""
        return Refused(self.message + by_whom, subject=self.subject, hint=self.hint)


def plan_publication(log: ModelLog, request: PublishRequest, event_id: str | None) -> Claim | Announce | Conflict:
    """What is left to do for ``request``.

    Args:
        log: the fold so far.
        request: what was asked for.
        event_id: of this publication's intent, if it has one.
    """
    if event_id is not None and (standing_at := log.generations.get(event_id)) is not None:
        return _completed(log, request, standing_at)
    latest = log.latest_version
    wanted = request.version if request.version is not None else latest
    if wanted is not None and (standing := log.updates.get(wanted)) is not None:
        if standing.artifact.manifest_digest == request.artifact.manifest_digest:
            return Announce(standing.version, standing.generation)
        if request.version is not None:
            return Conflict(
                "the version exists with other bytes",
                subject=f"{request.model}/{wanted}",
                hint=f"a version never changes; publish without --version to get {log.next_version}",
            )
    elif request.version is not None and latest is not None and request.version < latest:
        return Conflict(
            f"version {latest} exists, and versions only go up",
            subject=f"{request.model}/{request.version}",
            hint=f"publish without --version to get {log.next_version}",
        )
    if request.version is not None and request.version > (latest or 0) + JUMP_MAX and not request.allow_version_jump:
        return Conflict(
            f"it is {request.version - (latest or 0)} above the latest version, {latest or 'none'}",
            subject=f"{request.model}/{request.version}",
            hint=f"only higher ones can follow it; publish without --version to get {log.next_version}, or add "
            "--allow-version-jump (allow_version_jump=True) if it is meant",
        )
    return (
        _quarantined(log, request)
        or _unearned(log, request)
        or _used_up(log, request)
        or Claim(request.version if request.version is not None else log.next_version, log.head + 1)
    )


def _quarantined(log: ModelLog, request: PublishRequest) -> Conflict | None:
    """Bytes that a person took out of service must not come back under another number."""
    digest = request.artifact.manifest_digest
    same = [v for v in log.quarantined if v in log.updates and log.updates[v].artifact.manifest_digest == digest]
    if not same:
        return None
    subject = f"{request.model}/{max(same)}"
    return Conflict(
        "this version has the same bytes, and it is quarantined",
        subject=subject,
        hint=f"modelcast release {subject}, then publish again, if they are to be served after all",
        commanded_at=log.quarantined[max(same)],
    )


def _unearned(log: ModelLog, request: PublishRequest) -> Conflict | None:
    """By the settings, versions of this model earn their traffic; the first has no other to be compared with."""
    served = any(log.aspired_version(region) is not None for region in log.views)
    if not request.must_earn or request.activation is not Activation.IMMEDIATE or not served:
        return None
    return Conflict(
        "this model's versions must earn their traffic",
        subject=request.model,
        hint=f"publish with --rollout canary, or --activation staged; or set rollout_only = false in "
        f"[models.{request.model}]",
    )


def _used_up(log: ModelLog, request: PublishRequest) -> Conflict | None:
    if request.version is not None or log.next_version <= VERSION_MAX:
        return None
    return Conflict(
        "it is the highest version that there can be, so none can follow it",
        subject=f"{request.model}/{log.latest_version}",
        hint="publish under another model's name, and have the serving pods load that one",
    )


def _completed(log: ModelLog, request: PublishRequest, generation: int) -> Announce | Conflict:
    """The entry that an earlier run of this publication claimed, if it is one of these bytes.

    An intent is an object that many may write: one that names the event of another entry must not pass for this one.
    """
    standing = next((u for u in log.updates.values() if u.generation == generation), None)
    same_bytes = standing is not None and standing.artifact.manifest_digest == request.artifact.manifest_digest
    if standing is None or not same_bytes or request.version not in {None, standing.version}:
        what = f"version {standing.version}" if standing else "a command"
        return Conflict(
            f"its intent names the event of generation {generation}, which is {what} and not this publication",
            subject=request.intent_key,
            hint="another process wrote it: delete that object from the origin store and publish again",
        )
    return Announce(standing.version, generation, completes=True)


def entry_of(
    request: PublishRequest,
    claim: Claim,
    *,
    registry_id: str,
    event_id: str,
    now_us: int,
    delta_hints: tuple[DeltaHint, ...] = (),
) -> ModelUpdate:
    """The log entry that publishes ``request`` as ``claim`` says."""
    return ModelUpdate(
        registry_id=registry_id,
        event_id=event_id,
        model=request.model,
        version=claim.version,
        generation=claim.generation,
        artifact=request.artifact,
        published_at_us=now_us,
        placement=request.placement,
        activation=request.activation,
        publisher=request.publisher,
        metrics=request.metrics,
        labels=request.labels,
        delta_hints=delta_hints,
    )
