"""What earns its traffic, for people: what the log grants, and what the rollout's controller reported last. Pure."""

from typing import TYPE_CHECKING

from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import RegionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelcast.schemas.traffic.reports import RolloutState

UNHEARD = "no controller has reported on it: is `modelcast run rollouts` running?"


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
