"""What the tracker says while the demo runs, and when and how each region was first seen to serve each version."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from modelcast.infra.settings import Settings
from modelcast.producers.wait import states
from modelcast.schemas.errors import ModelcastError, NotConverged
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State

LISTEN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """How one version came into one region."""

    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    way: str

    @classmethod
    def of(cls, row: RegionState) -> "Crossing":
        """As the tracker says it."""
        return cls(row.bytes_moved, row.bytes_saved, row.bytes_total, row.way)


class Watch:
    """Follows one model on ``version-state`` in a thread of its own."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.model = model
        self.state: VersionState | None = None
        self.seconds_to_serving: dict[str, dict[str, float]] = {}
        self.crossings: dict[str, dict[str, Crossing]] = {}
        self.progress_seen: set[str] = set()
        self.versions_served: set[int | None] = set()
        self.refused: dict[int, dict[str, str]] = {}
        self._settings = settings
        self._asked = ("", 0, 0.0)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="watch")
        self._thread.start()

    def asked(self, version: int, *, label: str = "") -> None:
        """The clock of ``version`` starts: it is being published, or (``label``) something else is asked of it."""
        with self._changed:
            self._asked = (label or str(version), version, time.monotonic())

    def until(self, condition: Callable[[VersionState], bool], *, timeout_seconds: float, what: str) -> VersionState:
        """Wait until the tracker says something that fulfils ``condition``.

        Raises:
            NotConverged: not in time.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self.state is None or not condition(self.state):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotConverged(f"not in {timeout_seconds:.0f} s: {what}", subject=self.model)
                self._changed.wait(left)
            return self.state

    def slowest(self, label: str) -> float:
        """Seconds until the last region served what was asked."""
        return max(self.seconds_to_serving.get(label, {}).values(), default=0.0)

    def _follow(self) -> None:
        while True:
            with suppress(ModelcastError):
                for state in states(self._settings, self.model, timeout_seconds=LISTEN_SECONDS):
                    self._take(state, time.monotonic())
            time.sleep(0.2)

    def _take(self, state: VersionState, now: float) -> None:
        with self._changed:
            self.state = state
            label, version, asked_at = self._asked
            for row in state.regions:
                if row.served_version == version and row.state is State.SERVING:
                    self.seconds_to_serving.setdefault(label, {}).setdefault(row.region, now - asked_at)
                    if label == str(version):  # what is merely served again did not cross
                        self.crossings.setdefault(label, {})[row.region] = Crossing.of(row)
                if row.state is State.FETCHING and 0 < row.bytes_moved < row.bytes_planned:
                    self.progress_seen.add(row.region)
                self.versions_served |= {row.served_version} - {None}
                if row.state is State.QUARANTINED and row.aspired_version is not None:
                    self.refused.setdefault(row.aspired_version, {})[row.region] = row.error
            self._changed.notify_all()


def all_serve(version: int) -> Callable[[VersionState], bool]:
    """Every expected pod of every region serves ``version``."""
    return lambda state: state.consistent_version == version


def all_refuse(version: int) -> Callable[[VersionState], bool]:
    """Every region refuses ``version``."""
    return lambda state: (
        bool(state.regions)
        and all(r.state is State.QUARANTINED and r.aspired_version == version for r in state.regions)
    )
