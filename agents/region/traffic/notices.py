"""What a step about traffic changed, in the log and the metrics."""

import structlog

from modelcast.agents.region.traffic.decider.knowledge import RegionTraffic, TrafficEffect, TrafficEvent
from modelcast.agents.region.traffic.decider.shares import is_cut, table_for_pods
from modelcast.infra.telemetry import metrics
from modelcast.schemas.traffic.grant import ACTIVE

_log = structlog.get_logger(__name__)


class LoggedTraffic:
    """A ``TrafficObserver``: cuts and shares go to the log and the metrics."""

    def divided(
        self,
        before: RegionTraffic,
        event: TrafficEvent,
        after: RegionTraffic,
        effects: tuple[TrafficEffect, ...],
    ) -> None:
        """See ``TrafficObserver``."""
        if (before.cut, before.grant, before.table, before.lowered) == (
            after.cut, after.grant, after.table, after.lowered,
        ):  # fmt: skip
            return
        log = _log.bind(model=after.model, region=after.region)
        if after.cut is not None and after.cut != before.cut:
            log.error("the candidate is cut off here", rollout=after.cut.rollout, reason=after.cut.reason)
        if before.cut is not None and after.cut is None:
            log.info("the cut is over: the log has a newer entry", rollout=before.cut.rollout)
        if after.lowered is not None and after.lowered != before.lowered:
            log.warning("the control answers everything: nothing was heard of the controller for too long")
        old, new = table_for_pods(before), table_for_pods(after)
        if new is not None and new != old:
            log.info("shares", rollout=new.rollout, share=new.share, authority=new.authority)
        metrics.CANDIDATE_SHARE.labels(after.model).set(new.share / 10_000 if new is not None else 0)
        under_way = after.grant is not None and after.grant.phase in ACTIVE
        metrics.CANDIDATE_CUT.labels(after.model).set(int(under_way and is_cut(after)))
        if after.cut is not None:
            metrics.CANDIDATE_CUT_TIMESTAMP.labels(after.model).set(after.cut.at_us / 1_000_000)
