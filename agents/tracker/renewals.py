"""Tells of what has not changed: one record a partition, so that a state is as old as it looks and is not repeated."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import structlog

from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import ModelRow, Rows
from modelcast.agents.tracker.decider.snapshots import Order
from modelcast.agents.tracker.decider.unchanged import StateRenewal, state_renewal
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import StateListener, TrackerPorts
from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.infra.settings import TrackerSettings
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic
from modelcast.schemas.unchanged import UNCHANGED_KEYS, UNCHANGED_MAX, StatesUnchanged, UnchangedState

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reported:
    """What was last reported of one model."""

    state: VersionState
    at: float  # monotonic seconds
    next_fold_at: float  # a leaky bucket's (GCRA) arrival time
    readable_until_us: int  # time alone changes what is said from then on: pods are unread, say; 0: it never does
    partition: int
    arrived: bool = False  # Kafka has it
    in_view: bool = True  # as far as is known
    snapshots: dict[str, Order] = field(default_factory=dict)  # those in the view, by region


def turns(
    sent_at: Mapping[int, float], owned: Iterable[int], now: float, every_seconds: float, tick_seconds: float
) -> list[int]:
    """The partitions whose turn it is, those that wait for longest first; they are spread, so that no tick is long.

    Args:
        sent_at: when each was last sent, monotonic seconds.
        owned: those that are this worker's.
        now: monotonic seconds.
        every_seconds: between two records of one partition.
        tick_seconds: how often this is asked.
    """
    partitions = sorted(owned, key=lambda each: sent_at.get(each, float("-inf")))
    at_once = math.ceil(len(partitions) * tick_seconds / max(every_seconds, tick_seconds))
    return [each for each in partitions if now - sent_at.get(each, float("-inf")) >= every_seconds][:at_once]


class Renewals:
    """Tells of each partition in its turn, on Kafka and in the live view. It belongs to one event loop.

    Args:
        pace: the tracker's settings.
        rows: what is known of each model.
        heartbeats: which regions are heard.
        reading: how far acknowledgements were read.
        ports: to Kafka.
        mirror: to the live view.
        metrics: are told of what arrived.
    """

    def __init__(
        self,
        pace: TrackerSettings,
        rows: Rows,
        heartbeats: Heartbeats,
        reading: ReadProgress,
        ports: TrackerPorts,
        mirror: Mirror,
        metrics: StateMetrics,
    ) -> None:
        self._pace, self._rows, self._heartbeats, self._reading = pace, rows, heartbeats, reading
        self._sender, self._mirror, self._metrics = ports.sender, mirror, metrics
        self._sent_at: dict[int, float] = {}

    def tick(
        self,
        reported: Mapping[str, Reported],
        listeners: Sequence[StateListener],
        regions: Set[str],
        now: float,
        now_us: int,
    ) -> tuple[str, ...]:
        """Tell of the partitions whose turn it is.

        Args:
            reported: what was last reported, by model.
            listeners: hear of every model that is told of.
            regions: those that are expected and not silent.
            now: monotonic seconds.
            now_us: UTC microseconds.

        Returns:
            The models whose state must be said whole instead.
        """
        every_seconds = max(0.0, self._pace.refresh_seconds - 2 * self._pace.report_seconds)
        whole: list[str] = []
        for partition in turns(self._sent_at, self._rows.owned, now, every_seconds, self._pace.report_seconds):
            found = self._renewals(partition, reported, now_us)
            self._sent_at[partition] = (
                now if found else now - every_seconds / 2
            )  # all wait to be folded, or there is none
            whole += [model for model, each in found.items() if each.send_whole]
            rows = [each.row for each in found.values() if not each.send_whole][:UNCHANGED_MAX]
            if rows:
                self._tell(partition, reported[rows[0].model].state.registry_id, rows, regions, now_us)
            for row in rows:
                times_us = {r: s.header.reported_at_us for r, s in self._rows.models[row.model].snapshots.items()}
                for listener in listeners:
                    listener.unchanged(row.model, times_us, now_us)
        return tuple(whole)

    def _renewals(self, partition: int, reported: Mapping[str, Reported], now_us: int) -> dict[str, StateRenewal]:
        """How the models stand whose state arrived, and that wait for no fold."""
        ahead_of_us, found = self._heartbeats.ahead_of_us(), dict[str, StateRenewal]()
        for model, each in reported.items():
            row = self._rows.models.get(model)
            awaits_fold = model in self._rows.waiting or (
                row is not None and row.log is not None and row.log.head != each.state.head_generation
            )
            if each.partition == partition and each.arrived and row is not None and not awaits_fold:
                # While its log can't be read, what was known before is repeated, and no report counts.
                snapshots = row.snapshots if row.log is not None else {}
                as_of_us = self._as_of_us(row, each.state, now_us)
                unread_seconds = self._pace.unread_seconds
                found[model] = state_renewal(each.state, snapshots, ahead_of_us, as_of_us, now_us, unread_seconds)
        return found

    def _as_of_us(self, row: ModelRow, state: VersionState, now_us: int) -> int:
        if row.log is None:
            return state.as_of_us
        unread_us = self._reading.unread_since_us(row.model)
        return unread_us + self._heartbeats.ahead_us if unread_us else now_us

    def _tell(
        self, partition: int, registry_id: str, rows: Sequence[UnchangedState], regions: Set[str], now_us: int
    ) -> None:
        heard = self._heartbeats.by_our_clock()
        heard_us = max(0, min((heard[r] for r in regions if r in heard), default=0))
        told = StatesUnchanged(registry_id, partition, now_us, min(heard_us, now_us), tuple(rows))

        def delivered(done: bool) -> None:
            for row in rows if done else ():
                self._metrics.written(row.model, now_us)

        try:
            body = encode(told)
        except ContentError as error:  # it would end the clock that all else goes by
            log.error("what has not changed can't be told", partition=partition, error=error)
            return
        self._sender.send(Topic.VERSION_STATE, UNCHANGED_KEYS[partition], body, delivered)
        for row in rows:
            alone = StatesUnchanged(registry_id, partition, now_us, told.heard_at_us, (row,))
            self._mirror.unchanged(row.model, encode(alone))
