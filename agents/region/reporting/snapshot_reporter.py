"""Snapshots on their way to the tracker: on change, coalesced, and again from time to time."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.snapshots import encoded
from modelcast.infra.kafka.outbox import Delivered
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic

GAP_SECONDS = 0.004
GAP_SECONDS_PER_POD = 0.0005
PASSING_SECONDS = 0.25
"""How long the news that something has begun waits for the news of its end: most often they go together."""
PROGRESS_SECONDS = 0.05
"""How long the news of one pod waits for that of the next, while pods load one after the other."""
PASSING = frozenset({State.ANNOUNCED, State.FETCHING, State.LOADING})
RETRY_SECONDS = 1.0
IN_FLIGHT_MAX = 8
JITTER = 0.2

log = structlog.get_logger(__name__)


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class RecordOutbox(Protocol):
    """Hands records over without waiting (``Outbox``)."""

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Delivered, headers: Mapping[str, bytes], /
    ) -> None:
        """``on_delivery`` is called once, on the event loop, with whether the cluster has the record."""
        ...


@dataclass(slots=True)
class _Line:
    """One model's snapshots."""

    replica: Replica
    sent: object = None  # the outcomes that were sent last
    sent_pods: object = None
    sent_at: float = float("-inf")
    due_at: float = float("inf")
    timer: asyncio.TimerHandle | None = None
    in_flight: int = 0
    changed: bool = False
    blocked: bool = False  # too many are in flight


class SnapshotReporter:
    """A ``Reporter``. An outcome goes out at once, what follows within the gap goes together; progress waits a moment.

    Args:
        outbox: where to.
        worker: who speaks.
        report_seconds: how often an unchanged snapshot is repeated, so that a tracker can always be rebuilt.
        rng: for jitter.
        wall_clock_us: UTC microseconds.
    """

    def __init__(
        self,
        outbox: RecordOutbox,
        worker: str,
        report_seconds: float,
        *,
        rng: random.Random | None = None,
        wall_clock_us: Callable[[], int] = _wall_clock_us,
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._report_seconds = report_seconds
        self._lines: dict[str, _Line] = {}
        self._rng = rng or random.Random()
        self._wall_clock_us = wall_clock_us
        self._sequence = 0

    def changed(self, model: str, replica: Replica) -> None:
        """Send ``replica`` now, or soon if something was sent just now or nothing has come to an end."""
        line = self._lines.setdefault(model, _Line(replica))
        line.replica, line.changed = replica, True
        if _is_passing(replica) and _outcomes(replica) == line.sent:
            pause = PASSING_SECONDS if _pods(replica) == line.sent_pods else PROGRESS_SECONDS
            at = asyncio.get_running_loop().time() + pause
        else:
            at = line.sent_at + GAP_SECONDS + GAP_SECONDS_PER_POD * len(replica.pods)
        line.due_at = min(line.due_at, at)
        self._send_at(model, line.due_at)

    def unchanged(self, model: str, replica: Replica) -> None:
        """Send nothing now; what is sent next tells of ``replica``: its pods may have been read back since."""
        if (line := self._lines.get(model)) is not None:
            line.replica = replica

    def forget(self, model: str) -> None:
        """Report no more of a model that another worker owns."""
        line = self._lines.pop(model, None)
        if line is not None and line.timer is not None:
            line.timer.cancel()

    def flush(self) -> None:
        """Send at once what is waiting for its gap."""
        for model, line in list(self._lines.items()):
            if line.changed:
                self._send(model)

    def _send_at(self, model: str, at: float) -> None:
        line, loop = self._lines[model], asyncio.get_running_loop()
        if line.timer is not None:
            line.timer.cancel()
        if at <= loop.time():
            # Before the tasks of the same step get their turn: to begin a load takes far longer than to tell.
            line.timer = None
            self._send(model)
        else:
            line.timer = loop.call_at(at, self._send, model)

    def _send(self, model: str) -> None:
        line = self._lines.get(model)
        if line is None:
            return
        loop = asyncio.get_running_loop()
        line.due_at = float("inf")
        if line.in_flight >= IN_FLIGHT_MAX:
            line.changed = line.blocked = True
            return  # the newest goes once these have arrived
        now = loop.time()
        self._sequence += 1
        try:
            pages = encoded(
                line.replica, worker=self._worker, sequence=self._sequence, now_us=self._wall_clock_us(), now=now
            )
        except ModelcastError as error:
            log.error("a snapshot can't be written", model=model, error=error)
            pages = []
        line.sent_at, line.changed, line.blocked = now, False, False
        line.sent, line.sent_pods = _outcomes(line.replica), _pods(line.replica)
        line.in_flight += len(pages)
        for page, headers in pages:
            self._outbox.send(Topic.MODEL_ACKS, model, page, lambda done: self._delivered(model, line, done), headers)
        metrics.ACKS.labels(model).inc(len(pages))
        self._send_at(model, now + self._report_seconds * self._rng.uniform(1 - JITTER, 1))

    def _delivered(self, model: str, line: _Line, done: bool) -> None:
        line.in_flight -= 1
        if self._lines.get(model) is not line:
            return
        loop = asyncio.get_running_loop()
        if not done:
            line.changed = True
            self._send_at(model, loop.time() + RETRY_SECONDS)
        elif line.blocked and line.in_flight == 0:
            self._send_at(model, loop.time())


def _is_passing(replica: Replica) -> bool:
    """Whether more is to be reported soon; also where the aspired version is here, and the next is on its way."""
    return replica.state in PASSING or (replica.state is State.STAGED and bool(replica.pending.fetching))


def _outcomes(replica: Replica) -> object:
    """What has come to an end; as long as it is the same, something has begun, or a further pod serves."""
    troubles = {name: (view.lost, view.error) for name, view in replica.pods.items()}
    return (
        replica.facts.saved.epoch,
        replica.wished_staged,
        replica.attempts.error,
        replica.facts.halt,
        replica.facts.alarm,
        troubles,
    )


def _pods(replica: Replica) -> object:
    """What pods have reported; to be sent soon."""
    return {name: view.reading for name, view in replica.pods.items()}
