"""What a step changed, in the log and the metrics: acceptance, states, alarms."""

import structlog
from structlog.typing import FilteringBoundLogger

from modelcast.agents.region.decider.events_and_effects import Effect, Event
from modelcast.agents.region.decider.replica import Replica
from modelcast.infra.telemetry import metrics

_log = structlog.get_logger(__name__)


class LoggedSteps:
    """A ``StepObserver``: what a step has changed goes to the log and the metrics."""

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """See ``StepObserver``."""
        model = after.facts.saved.model
        _log_changes(model, _log.bind(model=model, region=after.facts.saved.region), before, after)


def _log_changes(model: str, log: FilteringBoundLogger, before: Replica, after: Replica) -> None:
    if after.generation != before.generation and after.generation:
        metrics.ACCEPTED_GENERATION.labels(model).set(after.generation)
        log.info(
            "aspires", generation=after.generation, version=after.facts.aspiration and after.facts.aspiration.version
        )
    _log_alarms(model, log, before, after)
    _log_rollover(model, log, before, after)
    old, new = before.state, after.state
    if (new, after.generation) != (old, before.generation) and after.generation:
        for state in type(new):
            metrics.MODEL_STATE.labels(model, state).set(int(state is new))
        version = after.target.version if after.target else None
        log.info(
            "state", state=str(new), generation=after.generation, version=version, error=after.attempts.error or None
        )
    versions = {v.reading.version if v.reading else None for v in after.pods.values()}
    metrics.SERVED_VERSION.labels(model).set((versions.pop() or 0) if len(versions) == 1 else 0)


def _log_rollover(model: str, log: FilteringBoundLogger, before: Replica, after: Replica) -> None:
    halt, rollover = after.facts.halt, after.pending.rollover
    if halt is not None and halt != before.facts.halt:
        log.error("the rollover is stopped", generation=halt.generation, reason=halt.reason)
    if rollover.blocked and not before.pending.rollover.blocked:
        log.error("the rollover can't go on", reason=rollover.waits)
    metrics.ROLLOVER_STOPPED.labels(model).set(int(after.is_halted or rollover.blocked))


def _log_alarms(model: str, log: FilteringBoundLogger, before: Replica, after: Replica) -> None:
    if after.facts.alarm and after.facts.alarm != before.facts.alarm:
        log.error("alarm: the log is not obeyed; what is served goes on being served", reason=after.facts.alarm)
    if after.facts.unreadable and after.facts.unreadable != before.facts.unreadable:
        log.error("alarm: the log can't be read on; the entries read so far are obeyed", reason=after.facts.unreadable)
    if (after.facts.alarm, after.facts.unreadable) != (before.facts.alarm, before.facts.unreadable):
        metrics.ALARM.labels(model).set(int(bool(after.facts.alarm or after.facts.unreadable)))
