"""A model's newest rollout, as entries change it. Pure.

Every entry about a rollout names it. One that does not fit what the rollout is by then, because another entry came
first, is void: it changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from modelcast.schemas.errors import ContentError, NotFound, Refused
from modelcast.schemas.records import ALL_REGIONS, CommandKind, ModelCommand
from modelcast.schemas.traffic.grant import ACTIVE, RolloutPhase, TrafficGrant
from modelcast.schemas.traffic.steps_and_gates import RolloutPlan, decode_plan

if TYPE_CHECKING:
    from modelcast.schemas.log.fold import ModelLog

Change = Callable[["ModelLog", ModelCommand], "LoggedRollout | None"]


SHARE_CHANGES_MAX = 500
"""A rollout of more steps forgets its oldest ones: outcomes of then are joined by what answered alone."""


@dataclass(frozen=True, slots=True)
class ShareChange:
    """From when on which ceilings held: of each region, ``ALL_REGIONS``: of those that are not named."""

    at_us: int
    ceilings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LoggedRollout:
    """One rollout.

    Attributes:
        id: the generation of the entry that started it, as text.
        started_generation: that generation.
        generation: of the newest entry that changed it, or what a region that takes part is to serve beside it, or of a
            later ACCEPT: no order and no table of a region is above it.
        phase: how it stands.
        candidate: the version that is tried.
        plan: what it does.
        salt: of the buckets.
        controls: what each region named in the log (``ALL_REGIONS``: all others) aspired to when it started.
        ceilings: the candidate's share at most, by region; regions that are not in it have that of ``ALL_REGIONS``.
        started_at_us: when it was started, its writer's clock.
        since_us: when the phase was set, its writer's clock.
        not_before_us: when the newest ceiling is to be in force; 0: at once.
        reason: of the newest entry.
        entry_generation: of the newest entry about it.
        share_changes: when ceilings were changed, in the order of their entries, the newest ``SHARE_CHANGES_MAX``.
    """

    id: str
    started_generation: int
    generation: int
    phase: RolloutPhase
    candidate: int
    plan: RolloutPlan
    salt: str
    controls: Mapping[str, int | None]
    ceilings: Mapping[str, int] = field(default_factory=dict)
    started_at_us: int = 0
    since_us: int = 0
    not_before_us: int = 0
    reason: str = ""
    entry_generation: int = 0
    share_changes: tuple[ShareChange, ...] = ()

    @property
    def active(self) -> bool:
        """Whether its candidate meets traffic."""
        return self.phase in ACTIVE

    def ceiling(self, region: str) -> int:
        """The candidate's share at most in this region; a standby region's is 0."""
        if region in self.plan.standby:
            return 0
        return self.ceilings.get(region, self.ceilings.get(ALL_REGIONS, 0))

    def control(self, region: str) -> int | None:
        """What the region aspired to when the rollout started."""
        return self.controls.get(region, self.controls.get(ALL_REGIONS))


def start_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_START: the rollout that replaces whatever was running; None: void, as where no region could take part."""
    candidate = command.targets[0].version
    if candidate is None or candidate not in log.updates or candidate in log.quarantined:
        return None
    if command.rollout != str(command.generation):
        return None
    try:
        plan = decode_plan(command.plan)
    except ContentError:
        return None
    begun = LoggedRollout(
        id=command.rollout,
        started_generation=command.generation,
        generation=command.generation,
        phase=RolloutPhase.RUNNING,
        candidate=candidate,
        plan=plan,
        salt=command.event_id,
        controls={region: log.aspired_version(region) for region in log.views},
        started_at_us=command.requested_at_us,
        since_us=command.requested_at_us,
        reason=command.reason,
        entry_generation=command.generation,
    )
    after = replace(log, rollout=begun)
    return begun if any(grant_of(after, region) is not None for region in log.views) else None


def step_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_STEP: other ceilings. While it is held they only fall."""
    rollout = _meant(log, command)
    if rollout is None:
        return None
    ceilings = dict(rollout.ceilings)
    for target in command.targets:
        if target.share is None:
            return None
        if rollout.phase is RolloutPhase.HELD and target.share > rollout.ceiling(target.region):
            return None
        if target.region == ALL_REGIONS:
            ceilings.clear()
        ceilings[target.region] = target.share
    change = ShareChange(max(command.requested_at_us, command.not_before_us), ceilings)
    return replace(
        rollout,
        generation=command.generation,
        ceilings=ceilings,
        not_before_us=command.not_before_us,
        reason=command.reason,
        entry_generation=command.generation,
        share_changes=(*rollout.share_changes, change)[-SHARE_CHANGES_MAX:],
    )


def hold_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_HOLD: shares stay as they are."""
    return _to(RolloutPhase.HELD, log, command)


def resume_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_RESUME: it goes on."""
    return _to(RolloutPhase.RUNNING, log, command)


def promote_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_PROMOTE: the candidate is activated wherever its placement lets it be."""
    rollout = _to(RolloutPhase.PROMOTED, log, command)
    if rollout is None or any(target.version != rollout.candidate for target in command.targets):
        return None
    return rollout


def abort_of(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """ROLLOUT_ABORT: the control answers everything again, for good."""
    return _to(RolloutPhase.ABORTED, log, command)


def superseded(rollout: LoggedRollout, generation: int, at_us: int, reason: str) -> LoggedRollout:
    """The rollout once another entry has decided what is served."""
    return replace(
        rollout,
        phase=RolloutPhase.SUPERSEDED,
        generation=generation,
        since_us=at_us,
        reason=reason,
        entry_generation=generation,
    )


def grant_of(log: "ModelLog", region: str) -> TrafficGrant | None:
    """What the newest rollout allows in one region; None: it does not take part.

    A region takes no part while it is pinned or paused, has nothing to serve, or serves the candidate already, and
    where the candidate's placement leaves it out.
    """
    rollout = log.rollout
    if rollout is None or not log.allowed(rollout.candidate, region):
        return None
    view, control = log.view(region), log.aspired_version(region)
    other = rollout.control(region) if rollout.phase is RolloutPhase.PROMOTED else rollout.candidate
    if control is None or other is None or control == other or view.paused or view.pinned_version is not None:
        return None
    return TrafficGrant(
        rollout=rollout.id,
        model=log.model,
        registry_id=log.registry_id,
        region=region,
        generation=rollout.generation,
        phase=rollout.phase,
        control=log.updates[control],
        candidate=log.updates[other],
        ceiling=rollout.ceiling(region) if rollout.active else 0,
        salt=rollout.salt,
        plan=rollout.plan,
        since_us=rollout.since_us,
        entry_generation=rollout.entry_generation,
    )


def check_rollout(log: "ModelLog", command: ModelCommand, change: Change) -> None:
    """Whether a claimant may write this entry about a rollout next; ``change`` is what the entry does.

    Raises:
        NotFound: no such version.
        Refused: it would be void, or the plan can't be carried out.
    """
    if command.kind is CommandKind.ROLLOUT_START:
        _check_start(log, command)
        return
    rollout = log.rollout
    if rollout is None or not rollout.active:
        ended = "none was ever started" if rollout is None else f"the last one is {rollout.phase.lower()}"
        raise Refused(f"no rollout is under way: {ended}", subject=log.model, hint="modelcast rollout start")
    if command.rollout != rollout.id:
        newer = f"rollout {command.rollout} is over; {rollout.id} is under way"
        raise Refused(newer, subject=log.model, hint=f"modelcast rollout get {log.model}")
    if change(log, command) is None:
        stands = f"it does not fit: the rollout of {log.model}/{rollout.candidate} is {rollout.phase.lower()}"
        raise Refused(stands, subject=log.model, hint=f"modelcast rollout get {log.model}")


def _check_start(log: "ModelLog", command: ModelCommand) -> None:
    version = command.targets[0].version
    subject = f"{log.model}/{version}"
    if version is None or version not in log.updates:
        raise NotFound("no such version", subject=subject, hint=f"modelcast history {log.model}")
    if version in log.quarantined:
        raise Refused("it is quarantined", subject=subject, hint=f"modelcast release {subject}")
    try:
        plan = decode_plan(command.plan)
    except ContentError as error:
        raise Refused(f"its plan can't be carried out: {error.message}", subject=subject, hint=error.hint) from None
    if start_of(log, command) is None:
        why = "every region serves it, is pinned or paused, has nothing to compare it with, or may not have it"
        hint = f"publish it with --activation staged; see modelcast get {log.model}"
        raise Refused(f"no region can take part: {why}", subject=subject, hint=hint)
    outside = sorted(r for wave in plan.waves for r in wave if not log.allowed(version, r))
    if outside:
        hint = "publish it again with that region, or leave the region out of --waves"
        raise Refused(f"its placement leaves out {', '.join(outside)}", subject=subject, hint=hint)


def _meant(log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    """The rollout that a command means; None: it is over, or another one is under way."""
    rollout = log.rollout
    return rollout if rollout is not None and rollout.active and rollout.id == command.rollout else None


def _to(phase: RolloutPhase, log: "ModelLog", command: ModelCommand) -> LoggedRollout | None:
    rollout = _meant(log, command)
    if rollout is None or rollout.phase is phase:
        return None
    return replace(
        rollout,
        phase=phase,
        generation=command.generation,
        since_us=command.requested_at_us,
        reason=command.reason,
        entry_generation=command.generation,
        share_changes=_changes_after(rollout, phase, command),
    )


def _changes_after(rollout: LoggedRollout, phase: RolloutPhase, command: ModelCommand) -> tuple[ShareChange, ...]:
    """What a hold leaves of ceilings that lie ahead, and what ends with it: they are taken once it is resumed."""
    changes, at_us = rollout.share_changes, command.requested_at_us
    if phase is RolloutPhase.HELD:
        return tuple(each for each in changes if each.at_us <= at_us)
    if phase is RolloutPhase.RUNNING and (not changes or changes[-1].ceilings != rollout.ceilings):
        resumed = ShareChange(max(at_us, rollout.not_before_us), rollout.ceilings)
        return (*changes, resumed)[-SHARE_CHANGES_MAX:]
    return changes
