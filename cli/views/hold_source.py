"""Who pinned and paused, why, and what earns its traffic. Only the log holds that; no view waits long for its store."""

import threading
from typing import TYPE_CHECKING

from modelcast.cli.configured import origin_registry
from modelcast.cli.views.candidates import candidate_lines
from modelcast.cli.views.holds import holds, reported_holds
from modelcast.schemas.errors import ModelcastError

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.schemas.log.fold import ModelLog
    from modelcast.schemas.records import VersionState

WAIT_SECONDS_MAX = 2.0
KAFKA_SECONDS_MAX = 1.5
UNREAD = "the origin can't be read from here: who pinned or paused and why, and candidates, are not shown"


class HoldSource:
    """Reads a model's log when it has grown, or a rollout is under way; for one view, from one thread.

    Args:
        settings: where the origin store is.
        wait_seconds_max: how long a store that does not answer is waited for.
    """

    def __init__(self, settings: "Settings", *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._settings, self._wait_seconds_max = settings, wait_seconds_max
        self._reading: threading.Thread | None = None
        self._read: tuple[str, int] = ("", -1)
        self._lines: list[str] = []
        self._under_way = False

    def lines(self, state: "VersionState") -> list[str]:
        """A line for each pin and pause in force, and what a rollout under way does.

        Holds are as the tracker reports them where the origin can't be read.
        """
        wanted = (state.model, state.head_generation)
        if (self._under_way or self._read != wanted) and not (self._reading and self._reading.is_alive()):
            self._reading = threading.Thread(target=self._look, args=[state], daemon=True)
            self._reading.start()
            self._reading.join(self._wait_seconds_max)
        return self._lines if self._read == wanted else [*reported_holds(state), UNREAD]

    def _look(self, state: "VersionState") -> None:
        try:
            tail = origin_registry(self._settings).tail(state.model, partial=True)
        except ModelcastError:
            return
        lines = holds(tail.log, tail.new, (row.region for row in state.regions))
        rollout = tail.log.rollout
        self._under_way = rollout is not None and rollout.active
        self._lines = lines + (self._candidate(tail.log, state) if self._under_way else [])
        self._read = (state.model, state.head_generation)

    def _candidate(self, log: "ModelLog", state: "VersionState") -> list[str]:
        from modelcast.producers.rollouts import reported_rollout

        assert log.rollout is not None
        kafka = self._settings.kafka
        hurried = kafka.model_copy(update={"timeout_seconds": min(KAFKA_SECONDS_MAX, kafka.timeout_seconds)})
        settings = self._settings.model_copy(update={"kafka": hurried})
        try:
            found, age = reported_rollout(settings, log.model, log.registry_id)
        except ModelcastError as error:
            told = candidate_lines(log.rollout, state.regions, None, 0.0)[:-1]
            return [*told, f"  what its controller reports is not known: {error.message}"]
        return candidate_lines(log.rollout, state.regions, found, age)
