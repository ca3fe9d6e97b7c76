"""Starting and steering rollouts: what an operator, or a training job, calls."""

import time
from collections.abc import Mapping
from typing import Any

from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.settings import Settings
from modelcast.producers.commands import Commander
from modelcast.producers.ending import heard_at_exit
from modelcast.producers.planning.arguments import text_of
from modelcast.producers.planning.commands import targets_of
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import DecodeError, Refused, UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.rollout_position import grants_of, position_of
from modelcast.schemas.names import check_version
from modelcast.schemas.quantities import utc_text
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget, ModelCommand, RegionHeartbeat
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.traffic.readiness import too_old
from modelcast.schemas.traffic.reports import RolloutState
from modelcast.schemas.traffic.steps_and_gates import RolloutPlan, encode_plan

ALIVE_SECONDS = 120.0
"""For which a heartbeat counts. What is silent for longer can only be upgraded before it is back."""
SWITCH_LEAD_SECONDS = 2.0
REPORTED_SECONDS_MAX = 30.0


class RolloutCommander(Commander):
    """Writes about rollouts into models' logs; otherwise as ``Commander``, arguments and errors included.

    Each method but ``start`` needs a reason. They raise ``Refused`` where no rollout is under way, or it is not in the
    state that the command speaks of.
    """

    @heard_at_exit("a command")
    def start(
        self, model: str, version: int, plan: RolloutPlan, *, reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Let a version earn its traffic by a plan. A rollout of the model that is under way ends.

        Raises:
            Refused: no region can take part, or an agent in the fleet is too old to understand it.
        """
        check_version(version)
        refuse_old_agents(self._settings, model)

        def more(log: ModelLog) -> Mapping[str, Any]:
            return {"rollout": str(log.head + 1), "plan": encode_plan(plan)}

        kind, targets = CommandKind.ROLLOUT_START, targets_of((), version)
        return self._claim(kind, model, targets, reason, requested_by, more=more)

    def hold(self, model: str, *, reason: str, requested_by: str = "") -> ModelCommand | None:
        """Leave it at its shares until it is resumed."""
        return self._say(CommandKind.ROLLOUT_HOLD, model, reason, requested_by)

    def go_on(self, model: str, *, reason: str, requested_by: str = "") -> ModelCommand | None:
        """End a hold. (``resume`` ends a model's pause.)"""
        return self._say(CommandKind.ROLLOUT_RESUME, model, reason, requested_by)

    def abort(self, model: str, *, reason: str, requested_by: str = "") -> ModelCommand | None:
        """End it: the version before answers everything again."""
        return self._say(CommandKind.ROLLOUT_ABORT, model, reason, requested_by)

    @heard_at_exit("a command")
    def promote(self, model: str, *, reason: str, requested_by: str = "") -> ModelCommand | None:
        """Serve its candidate everywhere, whatever is proved."""

        def targets(log: ModelLog) -> tuple[CommandTarget, ...]:
            return (CommandTarget(ALL_REGIONS, log.rollout.candidate if log.rollout is not None else None),)

        kind, why = CommandKind.ROLLOUT_PROMOTE, _reason(model, reason)
        return self._claim(kind, model, targets, why, requested_by, more=_named)

    @heard_at_exit("a command")
    def skip(self, model: str, *, reason: str, requested_by: str = "", not_before_us: int = 0) -> ModelCommand | None:
        """Grant the next step of the plan now.

        Args:
            model: its name.
            reason: why.
            requested_by: who asks.
            not_before_us: when all its regions are to take it at once; 0: as soon as they can.
        """

        def targets(log: ModelLog) -> tuple[CommandTarget, ...]:
            return _next_targets(log, self._settings)

        def more(log: ModelLog) -> Mapping[str, Any]:
            return {**_named(log), "not_before_us": not_before_us}

        return self._claim(CommandKind.ROLLOUT_STEP, model, targets, _reason(model, reason), requested_by, more=more)

    @heard_at_exit("a command")
    def switch(self, model: str, *, at_us: int, reason: str, requested_by: str = "") -> ModelCommand | None:
        """Let all regions of the next step take it at one instant.

        Args:
            model: its name.
            at_us: when, UTC microseconds; at least ``SWITCH_LEAD_SECONDS`` ahead, so that every pod knows it by then.
            reason: why.
            requested_by: who asks.

        Raises:
            UsageError: the instant is too close, or has passed.
            Refused: a pod has not both versions loaded, as far as the controller has reported of late.
        """
        if at_us < (time.time() + SWITCH_LEAD_SECONDS) * 1e6:
            hint = f"at least {SWITCH_LEAD_SECONDS:g} s from now"
            raise UsageError(
                f"{utc_text(at_us)} is too soon for every pod to know it by then", subject=model, hint=hint
            )
        if unready := _unready(self._settings, model):
            hint = f"modelcast rollout get {model} --watch"
            raise Refused(f"not every pod is ready to switch: {unready}", subject=model, hint=hint)
        return self.skip(model, reason=reason, requested_by=requested_by, not_before_us=at_us)

    @heard_at_exit("a command")
    def _say(self, kind: CommandKind, model: str, reason: str, requested_by: str) -> ModelCommand | None:
        return self._claim(kind, model, targets_of(()), _reason(model, reason), requested_by, more=_named)


def refuse_old_agents(settings: Settings, model: str) -> None:
    """Look at the heartbeats of all regions.

    Raises:
        Refused: a worker that is alive does not understand rollouts, and would stop at the first entry about one.
        KafkaUnavailable: heartbeats can't be read.
    """
    old = too_old(_heartbeats(settings))
    if old:
        named = "; ".join(f"{worker} {why}" for worker, why in sorted(old.items()))[:500]
        raise Refused(f"the fleet is not ready for a rollout: {named}", subject=model, hint="upgrade it first")


def _heartbeats(settings: Settings) -> list[RegionHeartbeat]:
    newest: dict[bytes, RegionHeartbeat] = {}
    consumer = make_consumer(settings)
    oldest_ms = int((time.time() - ALIVE_SECONDS) * 1000)
    try:
        timeout = settings.kafka.timeout_seconds
        for message in read_partition(consumer, settings, Topic.REGION_HEARTBEATS, 0, timeout_seconds=timeout):
            key = message.key() or b""
            newest.pop(key, None)
            if message.timestamp()[1] < oldest_ms or message.value() is None:
                continue
            try:
                newest[key] = decode_as(RegionHeartbeat, message.value())
            except DecodeError:
                continue  # of a newer software, which knows how
    finally:
        consumer.close()
    return list(newest.values())


def _unready(settings: Settings, model: str) -> str:
    """Which regions lack what a switch needs, by the controller's newest report; "": none."""
    found, age_seconds = reported_rollout(settings, model)
    if found is None or age_seconds > REPORTED_SECONDS_MAX:
        return "no controller has reported on the rollout of late"
    lacking = [
        f"{each.region}: {each.candidate_ready} of {each.pods_expected} pods have the candidate loaded"
        for each in found.regions
        if each.candidate_ready < max(1, each.pods_expected)
    ]
    return "; ".join(lacking)[:500]


def reported_rollout(settings: Settings, model: str, registry_id: str = "") -> tuple[RolloutState | None, float]:
    """What a controller reported last of a model's rollout, and how many seconds ago; None: nothing that can be read.

    Args:
        settings: of Kafka.
        model: its name.
        registry_id: reports of other registries are left out; "": of none.

    Raises:
        KafkaUnavailable: it can't be asked.
    """
    consumer, found, age_seconds = make_consumer(settings), None, 0.0
    partition, timeout = partition_of(model), settings.kafka.timeout_seconds
    try:
        for message in read_partition(consumer, settings, Topic.ROLLOUT_STATE, partition, timeout_seconds=timeout):
            if message.key() != model.encode() or message.value() is None:
                continue
            try:
                state = decode_as(RolloutState, message.value())
            except DecodeError:
                continue
            if registry_id in {"", state.registry_id}:
                found, age_seconds = state, max(0.0, time.time() - message.timestamp()[1] / 1000)
    finally:
        consumer.close()
    return found, age_seconds


def _named(log: ModelLog) -> Mapping[str, Any]:
    return {"rollout": log.rollout.id if log.rollout is not None else "0"}


def _next_targets(log: ModelLog, settings: Settings) -> tuple[CommandTarget, ...]:
    rollout = log.rollout
    if rollout is None or not rollout.active:
        raise Refused("no rollout is under way", subject=log.model, hint="modelcast rollout start")
    grants = grants_of(log, settings.regions or log.regions_named or {ALL_REGIONS})
    position = position_of(rollout, grants)
    if position is None or position.at_the_end:
        hint = f"modelcast rollout promote {log.model}"
        raise Refused("no step is left to take", subject=log.model, hint=hint)
    regions, step = position.next_shares()
    return tuple(CommandTarget(region, None, step.share) for region in regions if grants[region].ceiling < step.share)


def _reason(model: str, reason: str) -> str:
    found = text_of("reason", reason)
    if not found.strip():
        raise UsageError("it needs a reason", subject=model, hint="--reason '…' stands in the model's history")
    return found
