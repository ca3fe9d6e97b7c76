"""Saying what changed: folds the models that wait for it, and puts the outcome on Kafka and into the live view."""

import asyncio
from collections.abc import Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from modelcast.agents.tracker.decider.fold import Everywhere, Known, fold, readable_until_us, replaced_until_us
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.held import held_since_us, latest_size_bytes
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import ModelRow, Rows, reported_before
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import StateListener, TrackerPorts
from modelcast.agents.tracker.renewals import Renewals, Reported
from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.metrics import FOLD_SECONDS
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import PodReport, RegionState, VersionState
from modelcast.schemas.states import BEHIND_SECONDS
from modelcast.schemas.topics import Topic, partition_of

COALESCE_SECONDS = 0.02
"""How often one model is folded while changes keep coming."""
BURST = 8
"""Folds of one model that may follow each other at once after a quiet while."""
REST, REST_BUSY = 1, 15
"""Times as long as a pass of folding took, the streams have the event loop to themselves."""
REST_SECONDS_MAX, REST_STEP_SECONDS = 0.5, 0.02
BUSY = 20
"""Changes since the last pass from which on the streams have a backlog."""
DEAR_SECONDS = 0.005
"""A pass that took longer would hold the streams up if it came again at once."""

REPEAT_SECONDS = 300.0
"""How often a state is said whole although nothing in it has changed: Kafka may have lost it, or an owner that was
replaced while it was paused may have sent an older one after it."""

log = structlog.get_logger(__name__)


class Alarmed(Protocol):
    """Knows why all models are in alarm (``LogWatch``)."""

    @property
    def alarm(self) -> str:
        """Why; "": they are not."""
        ...


class Emitter:
    """Folds models and publishes their states. It belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        rows: Rows,
        heartbeats: Heartbeats,
        reading: ReadProgress,
        ports: TrackerPorts,
        mirror: Mirror,
        watch: Alarmed,
    ) -> None:
        self._pace, self._rows, self._heartbeats, self._reading = settings.tracker, rows, heartbeats, reading
        self._sender, self._clock, self._mirror, self._watch = ports.sender, ports.clock, mirror, watch
        self.metrics = StateMetrics(
            pairs=settings.tracker.metrics == "pairs",
            late_seconds=settings.dashboard.late_seconds,
            now=lambda: ports.clock.wall_us() / 1_000_000,
        )
        self._renewals = Renewals(settings.tracker, rows, heartbeats, reading, ports, mirror, self.metrics)
        self._listed = tuple(sorted(name for name, region in settings.regions.items() if region.expected))
        self.expected = self._listed
        """Regions that ought to report."""
        self._reported: dict[str, Reported] = {}
        self._silent: frozenset[str] = frozenset()
        self._unheard = frozenset(self.expected)  # at the last tick; states sent since count these as silent
        self._alarmed = ""  # about the whole registry, at the last tick
        self._wake = asyncio.Event()
        self._began = self._clock.monotonic()
        self._changes = 0
        self._listeners: list[StateListener] = []
        self.settled = False
        """Nothing is reported while partitions change hands: tables and logs may be half read."""

    def listen(self, listener: StateListener) -> None:
        """Have ``listener`` hear all that is reported from now on."""
        self._listeners.append(listener)

    def changed(self, model: str) -> None:
        """Fold this model soon."""
        self._changes += 1
        self._rows.waiting.add(model)
        self._wake.set()

    def repeated(self, model: str, region: str) -> None:
        """A region has said again what it said before: no news, unless it was not known for a while."""
        row, reported = self._rows.models.get(model), self._reported.get(model)
        known = next((r for r in reported.state.regions if r.region == region), None) if reported is not None else None
        if row is None or reported is None or known is None or known.unread or known.silent:
            self.changed(model)
        else:
            self._put_pods(row, region, reported)

    def missing_in_view(self, model: str) -> None:
        """The live view does not hold what it should of this model: it is put there again."""
        if model in self._reported:
            self._reported[model].in_view = False
            self._rows.waiting.add(model)
            self._wake.set()

    def all_changed(self) -> None:
        """Fold everything soon, and put all of it into the view again."""
        for reported in self._reported.values():
            reported.at, reported.in_view = float("-inf"), False
        self._rows.waiting.update(self._rows.models)
        self._wake.set()

    def leave_out(self, regions: Set[str]) -> None:
        """Expect these regions no more, whatever the settings list: a person had them forgotten."""
        self.expected = tuple(name for name in self._listed if name not in regions)
        self.all_changed()

    def _delivered(self, model: str, done: bool, at_us: int = 0) -> None:
        """Note whether the state of ``at_us`` arrived; a lost one is sent again at the next tick."""
        reported = self._reported.get(model)
        if done:
            self.metrics.written(model, at_us)
        if reported is None:
            return
        if not done:
            reported.at = float("-inf")
        elif at_us == reported.state.updated_at_us:
            reported.arrived = True

    @property
    def owned(self) -> frozenset[int]:
        """The partitions of which states are told; none while they change hands."""
        return self._rows.owned if self.settled else frozenset()

    def settle(self, settled: bool) -> None:
        """Note that partitions have changed (``settled``), or are about to."""
        self.settled = settled
        if settled:
            # Not by the rows that exist: a late record of a lost model makes one anew.
            self._reported = {m: s for m, s in self._reported.items() if self._rows.owns(m)}
            self.metrics.keep(self._reported)
            self.all_changed()

    async def run(self) -> None:
        """Run until cancelled."""
        tick = asyncio.create_task(self._tick_forever())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                began = self._clock.worked()  # work done: what others do with the processor is no reason to rest
                wait_seconds = self._fold_waiting(self._clock.monotonic())
                took_seconds = self._clock.worked() - began
                busy, self._changes = self._changes > BUSY or took_seconds > DEAR_SECONDS, 0
                rest_seconds = (REST_BUSY if busy else REST) * took_seconds
                await self._rest(rest_seconds, min(wait_seconds, COALESCE_SECONDS), busy)
                if self._rows.waiting and self.settled:
                    await self._wait_for_change(wait_seconds - COALESCE_SECONDS)
        finally:
            tick.cancel()

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait for a change, for at most ``seconds``: news need not wait for the retry of a model that failed."""
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.set()

    async def _rest(self, seconds: float, wait_seconds: float, busy: bool) -> None:
        """Let the streams have the event loop.

        A backlog gets so much of the *processor's* time, if it can use it: the clock says little on a busy machine.
        """
        clock = self._clock
        until, deadline, changes = clock.worked() + seconds, clock.monotonic() + REST_SECONDS_MAX, self._changes
        await asyncio.sleep(max(wait_seconds, seconds))
        while busy and changes != self._changes and clock.worked() < until and clock.monotonic() < deadline:
            changes = self._changes
            await asyncio.sleep(min(seconds, REST_STEP_SECONDS))

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._pace.report_seconds)
            self._tick()

    def _tick(self) -> None:
        """Apply what time alone changes: regions fall silent or are unread; what has not changed is told in turn."""
        now, now_us = self._clock.monotonic(), self._clock.wall_us()
        silent = unheard = self._heartbeats.silent(self.expected, now_us, self._pace.silent_seconds)
        if now - self._began < self._pace.silent_seconds:
            silent &= self._silent  # not heard yet is not silent yet
        self.metrics.show_regions(self.expected, silent, self._heartbeats.by_our_clock())
        self.metrics.show_unread(self._reading.unread_by_partition_us(self._rows.owned))
        waiting = self._rows.waiting
        if silent != self._silent:
            for region in sorted(silent - self._silent):
                log.warning("the region is silent", region=region)
            for region in sorted(self._silent - silent):
                log.info("the region is heard", region=region)
            self._silent = silent
        if (unheard, self._watch.alarm) != (self._unheard, self._alarmed):
            self._unheard, self._alarmed = unheard, self._watch.alarm
            waiting.update(self._rows.models)
        for model, reported in self._reported.items():
            caught_up = _is_behind(reported.state) and not self._reading.unread_since_us(model)
            is_due = now - reported.at >= REPEAT_SECONDS or caught_up
            if is_due or 0 < reported.readable_until_us < now_us:
                waiting.add(model)
        if self.settled:
            heard = frozenset(self.expected) - silent
            for model in self._renewals.tick(self._reported, self._listeners, heard, now, now_us):
                self._reported[model].at = float("-inf")
                waiting.add(model)
        if waiting:
            self._wake.set()

    def _fold_waiting(self, now: float) -> float:
        """Fold what is due, for a moment at most; return in how many seconds the next one is due."""
        if not self.settled:
            return 0.0
        waits: list[float] = []
        waiting = self._rows.waiting
        for model in waiting:
            row, reported = self._rows.models.get(model), self._reported.get(model)
            early_seconds = 0.0 if reported is None else reported.next_fold_at - (BURST - 1) * COALESCE_SECONDS - now
            early_seconds = max(early_seconds, waiting.seconds_left(model, now))
            if early_seconds > 0:
                waits.append(early_seconds)
                continue
            waiting.discard(model)
            if row is not None and self._rows.owns(model):
                try:
                    self.emit(row)
                    waiting.succeeded(model)
                except Exception as error:  # one model's trouble is not the others'
                    log.exception("a model could not be folded", model=model, error=repr(error))
                    self._delivered(model, done=False)
                    waiting.failed(model, now)
                    waits.append(waiting.seconds_left(model, now))
            if self._clock.monotonic() - now > COALESCE_SECONDS:
                return 0.0
        return min(waits, default=0.0)

    def emit(self, row: ModelRow) -> None:
        """Fold one model and send its state if that is news."""
        now, now_us = self._clock.monotonic(), self._clock.wall_us()
        unread_since_us = self._reading.unread_since_us(row.model)
        known = row.known(self._everywhere(), unread_since_us and unread_since_us + self._heartbeats.ahead_us)
        state = fold(known, now_us) if known is not None else reported_before(row, self._watch.alarm, now_us)
        if state is None:
            return
        reported = self._reported.get(row.model)
        news = reported is None or has_news(state, reported.state)
        news |= reported is not None and _is_behind(reported.state) and not _is_behind(state)  # it has caught up
        due = reported is None or now - reported.at >= REPEAT_SECONDS
        FOLD_SECONDS.observe(self._clock.monotonic() - now)
        next_fold_at = max(now, reported.next_fold_at if reported is not None else 0.0) + COALESCE_SECONDS
        until_us = _changes_at_us(known, now_us) if known is not None else 0
        if reported is not None and not news and not due:
            reported.next_fold_at, reported.readable_until_us = next_fold_at, until_us
            if not reported.in_view:
                self._put_into_view(row, _encoded(reported.state), reported)
            else:
                for region in row.regions:
                    self._put_pods(row, region, reported)
            return
        latest = Reported(state, now, next_fold_at, until_us, partition_of(row.model))
        if reported is not None:
            latest.snapshots, latest.in_view = reported.snapshots, reported.in_view
        self._reported[row.model] = latest
        for listener in self._listeners:
            listener.reported(state, row.previous, row.log.updates if row.log is not None else {}, now_us)
        if known is not None:
            row.previous = state
        encoded = _encoded(state)
        self._sender.send(
            Topic.VERSION_STATE, row.model, encoded, partial(self._delivered, row.model, at_us=state.updated_at_us)
        )
        held = (
            held_since_us(row.log, [r.region for r in state.regions], row.entry_times_us) if row.log is not None else {}
        )
        self.metrics.show(state, held, latest_size_bytes(row.log) if row.log is not None else 0)
        self._put_into_view(row, encoded, latest)

    def _everywhere(self) -> Everywhere:
        beats, pace = self._heartbeats, self._pace
        return Everywhere(
            beats.by_our_clock(), beats.ahead_of_us(), self.expected, pace.silent_seconds, pace.unread_seconds,
            self._watch.alarm,
        )  # fmt: skip

    def _put_into_view(self, row: ModelRow, encoded: bytes, reported: Reported) -> None:
        self._mirror.open(reported.state.registry_id)
        self._mirror.state(row.model, encoded)
        if not reported.in_view:
            reported.in_view = True
            reported.snapshots.clear()
        for region in row.regions:
            self._put_pods(row, region, reported)

    def _put_pods(self, row: ModelRow, region: str, reported: Reported) -> None:
        """Put a region's pods there if they are not; they are as old as the region's report."""
        snapshot = row.regions[region].complete if region in row.regions else None
        if snapshot is None or reported.snapshots.get(region) == snapshot.order:
            return
        reported.snapshots[region] = snapshot.order
        reported_us = snapshot.header.reported_at_us + self._heartbeats.ahead_of(region)
        self._mirror.pods(row.model, region, snapshot, max(0, self._clock.wall_us() - reported_us))


def _changes_at_us(known: Known, now_us: int) -> int:
    """When time alone changes what is said: pods are unread, or what is quarantined is still served; 0: never."""
    unread = (readable_until_us(known, region, now_us) for region in known.snapshots)
    return min((at for at in (*unread, *replaced_until_us(known)) if at is not None and at >= now_us), default=0)


def _is_behind(state: VersionState) -> bool:
    """Whether the state lacks reports that came long before it was made."""
    return state.unread_seconds > BEHIND_SECONDS


def has_news(state: VersionState, before: VersionState) -> bool:
    """Whether a state tells more than that time has passed and that regions have repeated what they reported.

    When pods were read back is told with the next repetition, long before it matters.
    """
    if _bare(state) != _bare(before):
        return True
    pairs = zip(state.regions, before.regions, strict=True)
    return any(
        len(row.pods) != len(old.pods) or any(map(_differ, row.pods, old.pods))
        for row, old in pairs
        if row.pods is not old.pods
    )


def _bare(state: VersionState) -> VersionState:
    regions = tuple(replace(r, heard_at_us=0, reported_at_us=0, read_at_us=0, pods=()) for r in state.regions)
    return replace(state, updated_at_us=0, as_of_us=0, regions=regions)


def _differ(pod: PodReport, other: PodReport) -> bool:
    return pod != other and replace(pod, read_at_us=other.read_at_us) != other


def _encoded(state: VersionState) -> bytes:
    """A state's bytes; one that is larger than estimated names fewer pods, and how many it omits."""
    named = max((len(r.pods) for r in state.regions), default=0)
    while True:
        try:
            return encode(state)
        except ContentError:
            if not named:
                break
        named //= 2
        regions = tuple(
            replace(r, pods=r.pods[:named], pods_omitted=r.pods_omitted + len(r.pods[named:])) for r in state.regions
        )
        state = replace(state, regions=regions)
    # The worst rows first: what is left out is well, or there are thousands in trouble.
    bare = sorted((replace(r, error=r.error[:80], way="", rollover="", spans=()) for r in state.regions), key=_is_well)
    while True:
        try:
            omitted = len(state.regions) - len(bare)
            return encode(replace(state, regions=tuple(sorted(bare, key=_name)), regions_omitted=omitted))
        except ContentError:
            if not bare:
                raise
            bare = bare[: len(bare) // 2]


def _is_well(row: RegionState) -> bool:
    return row.serves or bool(row.left_out)


def _name(row: RegionState) -> str:
    return row.region
