"""What is shown now: takes in what sources bring, advances the clock, and sends watchers what changed."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from modelcast.dashboard.groups import TRACKER_GROUP, GroupsSeen, GroupStatus, group_problems, region_of, unknown_groups
from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.stream import EventStream
from modelcast.dashboard.view.candidates import SeenRollout, candidate_problems
from modelcast.dashboard.view.dead_letters import LetterBoard
from modelcast.dashboard.view.disks import DiskForecast
from modelcast.dashboard.view.entries import Announced
from modelcast.dashboard.view.freshness import UNHEARD_SECONDS
from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import Pair
from modelcast.dashboard.view.probe import ProbeBoard, are_sent, probe_problems
from modelcast.dashboard.view.problems import Problem, found_problems, worst_first
from modelcast.dashboard.view.recoveries import Recoveries
from modelcast.dashboard.view.takeovers import TAKEOVERS_KEPT, TakeoverLine, takeovers_of
from modelcast.dashboard.view.trends import Trends
from modelcast.dashboard.view.verdict import OverviewVerdict, overview_verdict
from modelcast.infra.telemetry.metrics import PROBE_SECONDS
from modelcast.schemas.states import STALE_SECONDS
from modelcast.schemas.statuses import Limits

ENTRIES_KEPT = 100
TICK_SECONDS = 2.0
"""How often watchers hear how old things are: two missed, and a page says that it is cut off."""
CLOCK_SECONDS = 0.5
FLUSH_SECONDS = 0.05
"""The first news is sent at once; what comes so soon after it goes together."""
SHARE_MAX = 0.2
"""Finding out what is wrong takes at most such a part of the time."""
PAIRS_MAX = 5_000
"""More changed pairs at once, and watchers read the whole grid."""
PROBLEMS_SENT = 200
MODELS_SENT = 200
"""More changed models at once, and watchers are told that any may have changed."""
ENDS_WELL = frozenset({"group", "probe", "candidate"})
"""Causes that no pair tells of, and that are over once no line tells of them; dead letters are only out of sight."""
LOOK_SECONDS_MAX = 5.0
"""What Redis told of trackers longer ago says nothing of now."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of what is shown. Ages are in seconds; None: never.

    Attributes:
        as_of_us: this machine's clock, UTC microseconds.
        source: where states come from now: ``kafka``, ``redis`` or ``none``.
        age_seconds: seconds since the tracker's last report.
        kafka: how Kafka is.
        redis: how Redis is.
        tracker_seconds: when Redis answered last, since any tracker told that it lives, which it does each second;
            None: not known, also where Redis answers too slowly to tell.
        kafka_age_seconds: since Kafka was last known to be there.
        redis_age_seconds: since Redis was last known to be there.
        stale: whether what is shown is how things were, not how they are.
        missing: what can't be read, for people.
        changed_us: when a status last changed, this machine's clock; 0: not since this dashboard was started.
    """

    as_of_us: int
    source: str
    age_seconds: float | None
    kafka: str
    redis: str
    tracker_seconds: float | None
    kafka_age_seconds: float | None
    redis_age_seconds: float | None
    stale: bool
    missing: tuple[str, ...]
    changed_us: int = 0


class Dashboard:
    """All that the pages show, kept current by sources and the clock. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.overview = Overview(limits)
        self.stream = EventStream(secrets.token_hex(4))
        self.announced = Announced(ENTRIES_KEPT)
        self.probes = ProbeBoard()
        self.letters = LetterBoard()
        self._candidates: dict[str, SeenRollout] = {}
        self.groups = GroupsSeen()
        self.problems: list[Problem] = []
        self.recoveries = Recoveries()
        self.trends = Trends()
        self.disks = DiskForecast()
        self.takeovers: deque[TakeoverLine] = deque(maxlen=TAKEOVERS_KEPT)
        self.verdict: OverviewVerdict = overview_verdict(self.overview, ())
        self._reach = {"kafka": Reach.STARTING, "redis": Reach.STARTING}
        self._alive_at: dict[str, float] = {}
        self._tracker_seconds: float | None = None
        self._tracker_looked_at = 0.0
        self._stale = False
        self._changed_us = 0
        self._beside: tuple[list[Problem], tuple[str, ...]] = ([], ())
        self._missing: dict[str, tuple[str, ...]] = {}
        self._changed: dict[tuple[str, str], Pair] = {}
        self._models: set[str] = set()
        self._sent: dict[str, Problem] = {}
        self._seen = (-1, -1)
        self._wake = asyncio.Event()
        self._listening: dict[str, set[asyncio.Event]] = {}

    # --- what comes in -------------------------------------------------------------------------------------------

    def take(self, batch: NewsBatch) -> None:
        """Take in what a source brought."""
        now_us, now = time.time_ns() // 1000, time.monotonic()
        heard, changed = self._tracker_is_heard, self._reach[batch.source] is not batch.reach
        self._reach[batch.source] = batch.reach
        if batch.reach in {Reach.LIVE, Reach.CATCHING_UP}:
            self._alive_at[batch.source] = now
        if self._missing.get(batch.source, ()) != batch.missing:
            self._missing[batch.source] = batch.missing
            self.overview.revision += 1
        for seen in batch.states:
            before = self.overview.revision
            if seen.state is None:
                self.overview.drop(seen.model)
            else:
                self.takeovers.extendleft(takeovers_of(self.overview.models.get(seen.model), seen.state, now_us))
                self._note(self.overview.take(seen.state, seen.appended_us, now_us, batch.source, seen.said_us))
            if self.overview.revision != before:
                self._models.add(seen.model)
            for news in self._listening.get(seen.model, ()):
                news.set()
        for told, appended_us in batch.unchanged:
            self._note(self.overview.renew(told, appended_us, now_us))
            for row in told.models:
                for news in self._listening.get(row.model, ()):
                    news.set()
        if batch.complete is not None:
            for gone in self.overview.models.keys() - batch.complete:
                self.overview.drop(gone)
        for probe in batch.probes:
            self.probes.take(probe)
            if probe.page_seconds is not None:
                PROBE_SECONDS.labels("page").observe(probe.page_seconds)
        for rollout in batch.rollouts:
            self._hear_rollout(rollout)
        self.letters.take(batch.letters, batch.replayed)
        if batch.workers is not None:
            self.overview.workers = batch.workers
        if batch.source == "kafka" and (batch.reach is Reach.AWAY) is not bool(self.overview.kafka_away_us):
            self.overview.kafka_away_us = now_us if batch.reach is Reach.AWAY else 0
            self.overview.revision += 1
        if batch.source == "redis":
            self._hear_tracker(batch, now)
        for stated, at_us in sorted(batch.entries, key=lambda pair: pair[1]):
            if (line := self.announced.take(stated, at_us)) is not None:
                self.stream.send("entry", line, now)
        if changed or self._tracker_is_heard is not heard:
            self.stream.send("tick", self.freshness(), now)
        self._wake.set()

    def hear_groups(self, seen: GroupsSeen) -> None:
        """Take in how far consumer groups have read."""
        self.groups = seen
        self._wake.set()

    def _hear_rollout(self, seen: SeenRollout) -> None:
        model = seen.state.model
        before = self._candidates.get(model)
        self._candidates[model] = seen.after(before)
        if before is None or replace(seen.state, updated_at_us=0) != replace(before.state, updated_at_us=0):
            self.overview.revision += 1
            self._models.add(model)

    def _hear_tracker(self, batch: NewsBatch, now: float) -> None:
        if batch.reach is Reach.AWAY:
            self._tracker_seconds, self.overview.workers = None, {}  # only Redis knows of workers
        elif batch.tracker_seconds is not None:
            self._tracker_seconds = batch.tracker_seconds
        elif self._tracker_seconds is None:
            self._tracker_seconds = 0.0  # Redis knows of none: that is so since now at least
        else:
            self._tracker_seconds += now - self._tracker_looked_at
        self._tracker_looked_at = now

    @property
    def _tracker_is_heard(self) -> bool:
        return self._tracker_seconds is None or self._tracker_seconds <= UNHEARD_SECONDS

    @contextmanager
    def listening(self, model: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever anything is told of ``model``."""
        news = asyncio.Event()
        self._listening.setdefault(model, set()).add(news)
        try:
            yield news
        finally:
            self._listening[model].discard(news)
            if not self._listening[model]:
                del self._listening[model]

    def candidate(self, model: str) -> SeenRollout | None:
        """The newest rollout of a model, also one that is over; None: none is known."""
        seen, view = self._candidates.get(model), self.overview.models.get(model)
        same = seen is not None and view is not None and view.state.registry_id == seen.state.registry_id
        return seen if same else None

    @property
    def kafka_reads(self) -> bool:
        """Whether states come from Kafka now."""
        return self._reach["kafka"] is Reach.LIVE

    @property
    def ready(self) -> str:
        """Why nothing can be shown yet, or ""."""
        if self._reach["kafka"] is Reach.LIVE or (self._reach["kafka"] is Reach.AWAY and self.overview.models):
            return ""
        return f"Kafka: {self._reach['kafka'].value}; Redis: {self._reach['redis'].value}"

    # --- what goes out -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send watchers what changed, until cancelled."""
        clock, tick = asyncio.create_task(self._clock()), asyncio.create_task(self._tick())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                began = time.thread_time()
                self.flush()
                await asyncio.sleep(max(FLUSH_SECONDS, (time.thread_time() - began) / SHARE_MAX))
        finally:
            clock.cancel()
            tick.cancel()

    async def _clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now_us = time.time_ns() // 1000
            self._note(self.overview.tick(now_us))
            heads = {name: view.state.head_generation for name, view in self.overview.models.items()}
            for line in self.announced.compare(heads, now_us) if heads else ():
                self.stream.send("entry", line, time.monotonic())
            self._wake.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.trends.sample(self.problems, time.monotonic())
            self.disks.sample(self.overview.workers, time.monotonic())
            self.stream.send("tick", self.freshness(), time.monotonic())

    def _note(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            self._changed[pair.model, pair.row.region] = pair
            self._models.add(pair.model)

    def flush(self) -> None:
        """Find out what is wrong now, and send watchers what is different."""
        now_us, now = time.time_ns() // 1000, time.monotonic()
        if (beside := self._seen_beside(now_us)) != self._beside:
            self._beside = beside
            self.overview.revision += 1
        stale = any(now_us - v.appended_us > STALE_SECONDS * 1_000_000 for v in self.overview.models.values())
        seen = (self.overview.revision, self.overview.shape)
        if seen == self._seen and not self._changed and not self._models and not (stale or self._stale):
            return
        self._stale = stale
        changed, self._changed = self._changed, {}
        models, self._models = self._models, set()
        if (self._seen[1] != self.overview.shape and self._seen[1] >= 0) or len(changed) > PAIRS_MAX:
            self.stream.send("resync", {}, now)
        elif changed:
            rows = [(p.model, p.row.region, p.status, p.since_us) for p in changed.values()]
            self.stream.send("pairs", rows, now)
            self._changed_us = now_us if self._seen[1] >= 0 else 0  # at the start, all is new
        self._seen = seen
        others, notes = beside
        all_found = found_problems(self.overview, now_us)
        self.problems = worst_first([*(problem for problem, _ in all_found), *others], now_us)
        found = overview_verdict(self.overview, self.problems, notes)
        if found != self.verdict:
            self.verdict = found
            self.stream.send("verdict", found, now)
        self._send_problems(now)
        followed = [*all_found, *((problem, ()) for problem in others if problem.cause in ENDS_WELL)]
        for problem in self.recoveries.look(followed, self.overview, lambda each: self._is_undecided(each, now_us)):
            self.stream.send("recovered", {"recovered_us": now_us, **as_dict(problem)}, now)
        if models:
            self.stream.send("models", sorted(models) if len(models) <= MODELS_SENT else None, now)

    def _seen_beside(self, now_us: int) -> tuple[list[Problem], tuple[str, ...]]:
        """What is wrong that no pair tells of, and what is to be noted."""
        silent = self.overview.silent
        groups = self.groups
        late_seconds, reads = self.overview.limits.late_seconds, self.kafka_reads
        found = group_problems(groups, late_seconds, self._ought_to_read) if reads else []
        found += probe_problems(self.probes.view(now_us), now_us, silent)
        found += self.letters.problems(now_us)
        for name in self._candidates:
            if (seen := self.candidate(name)) is not None:
                found += candidate_problems(seen, now_us, read=reads)
        notes = (unknown_groups(groups) if reads else "", self.letters.note())
        return found, tuple(note for note in notes if note)

    def _ought_to_read(self, group: str) -> bool:
        """Whether a group ought to read, and no other line tells that its readers are gone."""
        if region := region_of(group):
            return self.overview.counted_in(region) > 0 and not self.overview.silent(region)
        return group != TRACKER_GROUP or not self.freshness().stale

    def _is_undecided(self, problem: Problem, now_us: int) -> bool:
        """Whether a line that no pair tells of may be missing because nothing is known of it now."""
        if problem.cause == "group":
            name = problem.id.removeprefix("group:")
            looked_at = {each.group for each in self.groups.groups if each.status is not GroupStatus.ERR}
            unknown = bool(self.groups.error) or name not in looked_at or not self._ought_to_read(name)
        elif problem.cause == "probe":
            view = self.probes.view(now_us)
            unknown = view is None or not are_sent(view, now_us) or self.overview.silent(problem.region)
        else:
            unknown = False
        return unknown or (problem.cause in ENDS_WELL and not self.kafka_reads)

    def _send_problems(self, now: float) -> None:
        top = {p.id: p for p in self.problems[:PROBLEMS_SENT]}
        for gone in self._sent.keys() - top.keys():
            self.stream.send("gone", gone, now)
        for place, (id_, problem) in enumerate(top.items()):
            if self._sent.get(id_) != problem:
                self.stream.send("problem", {"place": place, **as_dict(problem)}, now)
        if list(self._sent) != list(top):
            self.stream.send("order", list(top), now)
        self._sent = top

    def freshness(self) -> Freshness:
        """The age of what is shown."""
        now_us, now = time.time_ns() // 1000, time.monotonic()
        newest = self.overview.newest_us()
        age = max(0, now_us - newest) / 1_000_000 if newest else None
        sources = {view.source for view in self.overview.models.values()}
        source = "kafka" if self.kafka_reads else "redis" if "redis" in sources else next(iter(sources), "none")
        ages = {name: now - at for name, at in self._alive_at.items()}
        return Freshness(
            as_of_us=now_us,
            source=source,
            age_seconds=age,
            kafka=self._reach["kafka"].value,
            redis=self._reach["redis"].value,
            tracker_seconds=self._tracker_seconds if now - self._tracker_looked_at < LOOK_SECONDS_MAX else None,
            kafka_age_seconds=ages.get("kafka"),
            redis_age_seconds=ages.get("redis"),
            stale=age is not None and age > STALE_SECONDS,
            missing=tuple(line for lines in self._missing.values() for line in lines),
            changed_us=self._changed_us,
        )


def as_dict(problem: Problem) -> dict[str, object]:
    """A problem as JSON has it."""
    return {f.name: getattr(problem, f.name) for f in fields(problem)}
