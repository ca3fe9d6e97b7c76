"""The port to who sees what reconcilers do: logs and metrics, traces."""

from typing import Protocol

from modelcast.agents.region.decider.events_and_effects import Effect, Event
from modelcast.agents.region.decider.replica import Replica


class StepObserver(Protocol):
    """Sees every step of every reconciler, before its effects begin."""

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """``event`` has turned ``before`` into ``after``."""
        ...
