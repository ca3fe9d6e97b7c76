"""Tables, grants and logs with a rollout, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import (
    ALL_REGIONS,
    Activation,
    ArtifactRef,
    CommandKind,
    CommandTarget,
    Entry,
    ModelCommand,
    ModelUpdate,
)
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.steps_and_gates import CANARY, RolloutPlan, encode_plan
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable
from tests.support.records.folding import apply_all

EMPTY_LOG = ModelLog("fraud", "registry")


def digest_of_version(version: int) -> str:
    return f"sha256:{version:064x}"


def published(generation: int, version: int, *, staged: bool = False, placement: tuple[str, ...] = ()) -> ModelUpdate:
    digest = digest_of_version(version)
    return ModelUpdate(
        registry_id="registry",
        event_id=f"event-{generation}",
        model="fraud",
        version=version,
        generation=generation,
        artifact=ArtifactRef("origin", f"manifests/{digest}", digest, 1, 1, ""),
        published_at_us=1_000_000 * generation,
        placement=placement,
        activation=Activation.STAGED if staged else Activation.IMMEDIATE,
    )


def commanded(generation: int, kind: CommandKind, *targets: CommandTarget, **fields: Any) -> ModelCommand:
    return ModelCommand(
        registry_id="registry",
        event_id=f"event-{generation}",
        model="fraud",
        generation=generation,
        kind=kind,
        targets=targets or (CommandTarget(),),
        requested_at_us=1_000_000 * generation,
        requested_by="ann",
        **fields,
    )


def rollout_start(generation: int = 3, version: int = 8, plan: RolloutPlan = CANARY) -> ModelCommand:
    return commanded(
        generation,
        CommandKind.ROLLOUT_START,
        CommandTarget(ALL_REGIONS, version),
        rollout=str(generation),
        plan=encode_plan(plan),
    )


def rollout_step(generation: int, share: int, *regions: str, rollout: str = "3") -> ModelCommand:
    targets = [CommandTarget(region, None, share) for region in regions or (ALL_REGIONS,)]
    return commanded(generation, CommandKind.ROLLOUT_STEP, *targets, rollout=rollout)


def rollout_word(generation: int, kind: CommandKind, rollout: str = "3", **fields: Any) -> ModelCommand:
    target = CommandTarget(ALL_REGIONS, 8 if kind is CommandKind.ROLLOUT_PROMOTE else None)
    return commanded(generation, kind, target, rollout=rollout, **fields)


def log_with_rollout(*more: Entry, plan: RolloutPlan = CANARY) -> ModelLog:
    """Version 7 is served, 8 is staged and rolled out by entry 3; then ``more``, from generation 4 on."""
    start: Sequence[Entry] = (published(1, 7), published(2, 8, staged=True), rollout_start(3, 8, plan))
    return apply_all(EMPTY_LOG, [*start, *more])


def share_table(share: int = 1_000, **fields: Any) -> TrafficTable:
    """A table of version 8 against 7."""
    made = TrafficTable(
        model="fraud",
        registry_id="registry",
        rollout="3",
        generation=4,
        epoch=1,
        sequence=1,
        salt="event-3",
        key=RequestKey(),
        control=TrafficArm(7, digest_of_version(7), 10_000 - share),
        candidates=(TrafficArm(8, digest_of_version(8), share),),
    )
    return replace(made, **fields)
