"""Who pinned and paused, and why. Only the log holds that, and no view waits long for its store."""

import threading
from typing import TYPE_CHECKING

from modelcast.cli.configured import origin_registry
from modelcast.cli.views.holds import holds, reported_holds
from modelcast.schemas.errors import ModelcastError

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.schemas.records import VersionState

WAIT_SECONDS_MAX = 2.0
UNREAD = "the origin can't be read from here: who pinned or paused, and why, is not shown"


class HoldSource:
    """Reads a model's log when it has grown; for one view, from one thread.

    Args:
        settings: where the origin store is.
        wait_seconds_max: how long a store that does not answer is waited for.
    """

    def __init__(self, settings: "Settings", *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._settings, self._wait_seconds_max = settings, wait_seconds_max
        self._reading: threading.Thread | None = None
        self._read: tuple[str, int] = ("", -1)
        self._lines: list[str] = []

    def lines(self, state: "VersionState") -> list[str]:
        """A line for each pin and pause in force; as the tracker reports them where the origin can't be read."""
        wanted = (state.model, state.head_generation)
        if self._read != wanted and not (self._reading and self._reading.is_alive()):
            self._reading = threading.Thread(target=self._look, args=[state], daemon=True)
            self._reading.start()
            self._reading.join(self._wait_seconds_max)
        return self._lines if self._read == wanted else [*reported_holds(state), UNREAD]

    def _look(self, state: "VersionState") -> None:
        try:
            tail = origin_registry(self._settings).tail(state.model, partial=True)
        except ModelcastError:
            return
        self._lines = holds(tail.log, tail.new, (row.region for row in state.regions))
        self._read = (state.model, state.head_generation)
