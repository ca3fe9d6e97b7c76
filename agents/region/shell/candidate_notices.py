"""What a step of a candidate's replica changed, in the log and the metrics."""

import structlog

from modelcast.agents.region.decider.events_and_effects import Effect, Event
from modelcast.agents.region.decider.replica import Replica
from modelcast.infra.telemetry import metrics
from modelcast.schemas.states import State

_log = structlog.get_logger(__name__)


class LoggedCandidate:
    """A ``StepObserver`` of candidates."""

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """See ``StepObserver``."""
        saved, target = after.facts.saved, after.target
        metrics.CANDIDATE_PODS.labels(saved.model).set(sum(after.confirms(view) for view in after.pods.values()))
        new = after.facts.quarantined[len(before.facts.quarantined) :]
        bound = _log.bind(model=saved.model, region=saved.region, lane=after.facts.lane)
        for each in new:
            bound.error("the candidate is refused here", version=each.version, reason=each.reason)
        if after.facts.halt is not None and after.facts.halt != before.facts.halt:
            bound.error("the candidate goes to no more pods", reason=after.facts.halt.reason)
        if after.state is not before.state and after.state is not State.ANNOUNCED:
            version = target.version if target else None
            bound.info("candidate", state=str(after.state), version=version, error=after.attempts.error or None)
