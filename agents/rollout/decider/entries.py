"""The log entry that the controller's decision becomes, if the log still is what it was decided on."""

from modelcast.agents.rollout.decider.facts import ClaimEntry
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelCommand


def command_of(
    effect: ClaimEntry, log: ModelLog, *, event_id: str, now_us: int, requested_by: str
) -> ModelCommand | None:
    """The entry above ``log``; None: the rollout is not what it was, and the controller must look again.

    What only takes traffic away is written also where others have said something about the rollout meanwhile.
    """
    rollout = log.rollout
    if rollout is None or rollout.id != effect.rollout or not rollout.active:
        return None
    if rollout.generation != effect.generation and not effect.lowers_only:
        return None
    return ModelCommand(
        registry_id=log.registry_id,
        event_id=event_id,
        model=log.model,
        generation=log.head + 1,
        kind=effect.kind,
        targets=effect.targets,
        requested_at_us=now_us,
        requested_by=requested_by,
        reason=effect.reason,
        rollout=effect.rollout,
        evidence=sha256_of(effect.evidence),
        not_before_us=effect.not_before_us,
    )
