"""How a model's rollout stands: what the log grants, and what its controller reported last on ``rollout-state``."""

import time
from typing import TYPE_CHECKING

from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import RegionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelcast.infra.settings import Settings
    from modelcast.schemas.traffic.reports import RolloutState

UNHEARD = "no controller has reported on it: is `modelcast run rollouts` running?"


def reported_rollout(
    settings: "Settings", model: str, registry_id: str, timeout_seconds: float | None = None
) -> "tuple[RolloutState | None, float]":
    """What a controller said last of the model, and how many seconds ago; None: nothing that can be read.

    Args:
        settings: where Kafka is.
        model: its name.
        registry_id: what is of another registry is left out.
        timeout_seconds: how long Kafka is waited for; None: as the settings have it.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    from modelcast.infra.kafka.client import make_consumer, read_partition
    from modelcast.schemas.codec import decode_as
    from modelcast.schemas.errors import DecodeError
    from modelcast.schemas.topics import Topic, partition_of
    from modelcast.schemas.traffic.reports import RolloutState

    consumer, found, age_seconds = make_consumer(settings), None, 0.0
    try:
        timeout = timeout_seconds or settings.kafka.timeout_seconds
        for message in read_partition(
            consumer, settings, Topic.ROLLOUT_STATE, partition_of(model), timeout_seconds=timeout
        ):
            if message.key() != model.encode() or message.value() is None:
                continue
            try:
                state = decode_as(RolloutState, message.value())
            except DecodeError:
                continue
            if state.registry_id == registry_id:
                found, age_seconds = state, max(0.0, time.time() - message.timestamp()[1] / 1000)
    finally:
        consumer.close()
    return found, age_seconds


def candidate_lines(
    rollout: LoggedRollout, rows: "Iterable[RegionState]", state: "RolloutState | None", age_seconds: float
) -> list[str]:
    """What earns its traffic, for people; nothing once the rollout is over.

    Args:
        rollout: as the log has it.
        rows: the regions to be told of.
        state: what its controller reported last; None: nothing is known of it.
        age_seconds: how long ago.
    """
    if not rollout.active:
        return []
    known = {each.region: each for each in state.regions} if state is not None and state.rollout == rollout.id else {}
    head = f"candidate {rollout.candidate}: its {rollout.plan.strategy} rollout is {rollout.phase.lower()}"
    lines = [head + (f" ({rollout.reason})" if rollout.reason else "")]
    for row in rows:
        granted, here = f"granted {rollout.ceiling(row.region) / 100:g} %", known.get(row.region)
        if here is None:
            lines.append(f"  {row.region}: {granted}")
            continue
        cut = f"; cut off: {here.cut}" if here.cut else ""
        pods = "" if here.read_back else " by some pods"
        lines.append(f"  {row.region}: {granted}, read back {here.share / 100:g} %{pods}{cut}")
    lines.append(f"  reported {duration(age_seconds)} ago" if known else f"  {UNHEARD}")
    return lines
