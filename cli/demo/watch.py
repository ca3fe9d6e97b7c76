"""Follows one model on ``version-state`` while the demo runs, and waits for what it should come to."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from modelcast.cli.demo.seen import Asked, Seen
from modelcast.infra.settings import Settings
from modelcast.producers.wait import states
from modelcast.schemas.errors import ModelcastError, NotConverged
from modelcast.schemas.records import VersionState
from modelcast.schemas.states import State

LISTEN_SECONDS = 600.0


class Watch:
    """Follows one model in a thread of its own."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.model = model
        self.state: VersionState | None = None
        self.seen = Seen()
        self._settings = settings
        self._asked = Asked()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="watch")
        self._thread.start()

    def asked(self, version: int, *, label: str = "") -> None:
        """The clock of ``version`` starts: it is being published, or (``label``) something else is asked of it."""
        with self._changed:
            self._asked = Asked(label or str(version), version, time.monotonic())

    def until(self, condition: Callable[[VersionState], bool], *, timeout_seconds: float, what: str) -> VersionState:
        """Wait until the tracker reports a state that fulfils ``condition``.

        Raises:
            NotConverged: not in time; its hint tells what was reported last.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self.state is None or not condition(self.state):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotConverged(
                        f"not within {timeout_seconds:.0f} s: {what}",
                        subject=self.model,
                        hint=f"last reported: {state_in_words(self.state)}",
                    )
                self._changed.wait(left)
            return self.state

    def slowest(self, label: str) -> float:
        """Seconds until the last region served what was asked."""
        return max(self.seen.seconds_to_serving.get(label, {}).values(), default=0.0)

    def _follow(self) -> None:
        while True:
            with suppress(ModelcastError):
                for state in states(self._settings, self.model, timeout_seconds=LISTEN_SECONDS):
                    with self._changed:
                        self.state = state
                        self.seen.take(state, self._asked, time.monotonic())
                        self._changed.notify_all()
            time.sleep(0.2)


def state_in_words(state: VersionState | None) -> str:
    """What each region does, for a person who wonders why nothing happens."""
    if state is None:
        return "nothing"
    return "; ".join(
        f"{row.region} {row.state.value.lower() if row.state else 'unknown'} {row.aspired_version or '-'}, "
        f"serves {row.served_version or '-'}" + (f" ({row.error})" if row.error else "")
        for row in state.regions
    )


def all_serve(version: int) -> Callable[[VersionState], bool]:
    """Every expected pod of every region serves ``version``."""
    return lambda state: state.consistent_version == version


def all_refuse(version: int) -> Callable[[VersionState], bool]:
    """Every region refuses ``version``."""
    return lambda state: (
        bool(state.regions)
        and all(r.state is State.QUARANTINED and r.aspired_version == version for r in state.regions)
    )
