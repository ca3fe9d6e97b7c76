"""What the tracker says, and when: news at once, repetitions now and then, nothing while partitions change hands."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.decider.snapshots import Snapshot, repeats
from modelcast.agents.tracker.emitter import BURST, COALESCE_SECONDS, REPEAT_SECONDS, Emitter, _encoded, has_news
from modelcast.infra.settings import RegionSettings, Settings, TrackerSettings
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.records import ModelAck, RegionHeartbeat, VersionState
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged
from tests.agents.tracker.makers import MODEL, REGISTRY, SECOND, log_of, pages, pod, update
from tests.agents.tracker.ports import ports_of
from tests.support.waiting import until_async

OTHER = "churn"


class Ears:
    """An outbox and a mirror that remember; deliveries may fail, and one model may raise."""

    def __init__(self) -> None:
        self.heard: list[VersionState] = []
        self.told: list[StatesUnchanged] = []
        self.seen: list[tuple[str, str]] = []
        self.full = False
        self.failed: list[Callable[[bool], None]] = []
        self.unbearable = ""

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None]) -> None:
        assert topic is Topic.VERSION_STATE
        if is_unchanged(key.encode()):
            self.told.append(decode_as(StatesUnchanged, value))
            on_delivery(True)
            return
        if key == self.unbearable:
            raise RuntimeError("a bug")
        if self.full:
            self.failed.append(on_delivery)
        else:
            self.heard.append(decode_as(VersionState, value))
            on_delivery(True)

    def open(self, registry_id: str) -> None:
        """Nothing to open."""

    def state(self, model: str, encoded: bytes) -> None:
        self.seen.append((model, "state"))

    def unchanged(self, model: str, encoded: bytes) -> None:
        self.seen.append((model, "unchanged"))

    def pods(self, model: str, region: str, snapshot: Snapshot, age_us: int) -> None:
        self.seen.append((model, region))


class Bench:
    """An emitter with two models, of two regions."""

    def __init__(self) -> None:
        self.rows, self.heartbeats, self.reading, self.ears = Rows(), Heartbeats(), ReadProgress(Epochs()), Ears()
        self.rows.owned = frozenset({partition_of(MODEL), partition_of(OTHER)})
        settings = Settings(
            regions={"eu": RegionSettings(), "us": RegionSettings()}, tracker=TrackerSettings(metrics="pairs")
        )
        self.alarm = ""
        self.emitter = Emitter(
            settings, self.rows, self.heartbeats, self.reading,
            ports_of(sender=self.ears), self.ears, self,  # type: ignore[arg-type]
        )  # fmt: skip
        self.sequence = 0
        for model in (MODEL, OTHER):
            self.rows.row(model).log = log_of(update(1, 1, model=model), model=model)

    def beat(self, region: str, age_seconds: float = 0.0) -> None:
        now_us = time.time_ns() // 1000
        beat = RegionHeartbeat(REGISTRY, region, "w", 1, 1, now_us - int(age_seconds * SECOND))
        self.heartbeats.hear(beat, b"", now_us - int(age_seconds * SECOND), None)

    def report(self, region: str, *, model: str = MODEL, serves: int | None = 1) -> None:
        self.sequence += 1
        ack: ModelAck
        (ack,) = pages(region, [pod(f"{region}-1", serves, 1)], sequence=self.sequence, model=model)
        self.rows.row(model).take(ack, encode(ack), time.time_ns() // 1000)
        self.emitter.changed(model)

    def repeat(self, region: str, *, read_at_us: int) -> None:
        """The region says again what it says, of pods that were read back at another time."""
        self.sequence += 1
        ack: ModelAck
        (ack,) = pages(region, [pod(f"{region}-1", 1, 1, read_at_us=read_at_us)], sequence=self.sequence, model=MODEL)
        row = self.rows.row(MODEL)
        before = row.regions[region].complete
        row.take(ack, encode(ack), time.time_ns() // 1000)
        after = row.regions[region].complete
        assert after is not None
        assert repeats(after, before)
        self.emitter.repeated(MODEL, region)

    def ticks(self) -> list[StatesUnchanged]:
        """What is told of all partitions, each in its turn, as if none had been told of."""
        self.ears.told.clear()
        self.emitter._renewals._sent_at.clear()
        for _ in self.rows.owned:
            self.emitter._tick()
        return self.ears.told

    def fold(self) -> list[VersionState]:
        """What is said of what is dirty, however often it was folded just now."""
        before = len(self.ears.heard)
        for said in self.emitter._reported.values():
            said.next_fold_at = 0.0
        while self.rows.waiting and self.emitter.settled:
            self.emitter._fold_waiting(time.monotonic())
        return self.ears.heard[before:]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def settled(bench: Bench) -> Bench:
    bench.beat("eu")
    bench.beat("us")
    bench.report("eu")
    bench.report("us")
    bench.emitter.settle(True)
    bench.fold()
    bench.emitter._tick()  # it learns who is heard
    bench.fold()
    bench.ears.told.clear()
    bench.ears.seen.clear()
    return bench


def test_nothing_is_said_while_partitions_change_hands_and_everything_after(bench: Bench) -> None:
    bench.report("eu")
    bench.emitter._fold_waiting(time.monotonic())
    assert bench.ears.heard == []
    bench.emitter.settle(True)
    assert {state.model for state in bench.fold()} == {MODEL, OTHER}
    bench.emitter.settle(False)
    bench.report("us")
    bench.emitter._fold_waiting(time.monotonic())
    assert len(bench.ears.heard) == 2


def test_news_are_said_and_shown_and_what_stayed_the_same_is_not(settled: Bench) -> None:
    settled.emitter._reported[MODEL].at = time.monotonic()
    settled.emitter.changed(MODEL)
    assert settled.fold() == []
    settled.report("eu", serves=None)
    (state,) = settled.fold()
    assert (state.model, state.consistent_version) == (MODEL, None)
    assert settled.ears.seen == [(MODEL, "state"), (MODEL, "eu")]


def test_what_was_said_long_ago_is_said_again(settled: Bench) -> None:
    settled.emitter._reported[MODEL].at = time.monotonic() - 2 * REPEAT_SECONDS
    settled.emitter._tick()
    assert [state.model for state in settled.fold()] == [MODEL]
    assert (MODEL, "eu") not in settled.ears.seen, "its pods are there, as old as the region's report"


def test_what_the_view_has_lost_is_put_there_again_with_all_pods_and_said_to_nobody(settled: Bench) -> None:
    settled.emitter.missing_in_view(MODEL)
    assert settled.fold() == []
    assert settled.ears.seen == [(MODEL, "state"), (MODEL, "eu"), (MODEL, "us")]


def test_of_what_has_not_changed_one_record_a_partition_is_told_and_no_state(settled: Bench) -> None:
    said = {state.model: state for state in settled.ears.heard}
    told = settled.ticks()
    assert settled.fold() == []
    rows = {row.model: row for each in told for row in each.models}
    assert {model: row.said_at_us for model, row in rows.items()} == {m: s.updated_at_us for m, s in said.items()}
    assert sorted(settled.ears.seen) == sorted((model, "unchanged") for model in (MODEL, OTHER))
    assert sorted((t.partition, t.registry_id) for t in told) == sorted((partition_of(m), REGISTRY) for m in rows)
    settled.emitter._tick()
    settled.emitter._tick()
    assert len(settled.ears.told) == 2, "each has its turn, not each second"


def test_of_a_model_that_waits_to_be_folded_or_did_not_arrive_nothing_is_told(settled: Bench) -> None:
    settled.report("eu", serves=None)
    assert {row.model for told in settled.ticks() for row in told.models} == {OTHER}
    settled.ears.full = True
    settled.fold()
    assert {row.model for told in settled.ticks() for row in told.models} == {OTHER}


def test_what_a_region_repeats_makes_read_backs_younger_and_is_folded_by_nobody(settled: Bench) -> None:
    before = settled.emitter._reported[MODEL].state
    settled.repeat("eu", read_at_us=time.time_ns() // 1000)
    settled.repeat("us", read_at_us=time.time_ns() // 1000)
    assert not settled.rows.waiting
    assert settled.ears.seen == [(MODEL, "eu"), (MODEL, "us")], "their pods are shown as of then"
    row = next(row for told in settled.ticks() for row in told.models if row.model == MODEL)
    assert row.read_at_us > max(r.read_at_us for r in before.regions)


def test_one_region_that_is_not_read_back_makes_nobody_doubt_the_others(settled: Bench) -> None:
    reported, now_us = settled.emitter._reported[MODEL], time.time_ns() // 1000
    old_us = now_us - 500 * SECOND  # of 600 for which a read-back counts
    reported.state = replace(
        reported.state, regions=tuple(replace(r, read_at_us=old_us) for r in reported.state.regions)
    )
    settled.repeat("eu", read_at_us=old_us)
    settled.repeat("us", read_at_us=now_us)
    settled.ticks()
    assert MODEL in settled.rows.waiting, "else readers take all to be as old as the oldest"


def test_what_was_not_delivered_is_said_again(settled: Bench) -> None:
    settled.ears.full = True
    settled.report("eu", serves=None)
    assert settled.fold() == []
    settled.ears.full = False
    settled.emitter._tick()
    assert settled.fold() == []  # it may still arrive
    (failed,) = settled.ears.failed
    failed(False)
    settled.emitter._tick()
    (state,) = settled.fold()
    assert state.consistent_version is None


def test_a_storm_of_changes_is_folded_at_its_pace(settled: Bench) -> None:
    began = time.monotonic()
    before = len(settled.ears.heard)
    for number in range(500):
        settled.report("eu", serves=1 if number % 2 else None)
        settled.emitter._fold_waiting(time.monotonic())
    folds_max = BURST + 1 + (time.monotonic() - began) / COALESCE_SECONDS
    assert 1 <= len(settled.ears.heard) - before <= folds_max
    settled.report("eu", serves=1)
    settled.fold()
    assert settled.ears.heard[-1].consistent_version == 1  # the last word is never left out


def test_one_model_that_cannot_be_folded_holds_up_no_other(settled: Bench) -> None:
    settled.ears.unbearable = OTHER
    settled.report("eu", model=OTHER, serves=None)
    settled.report("eu", serves=None)
    before = len(settled.ears.heard)
    while MODEL in settled.rows.waiting:  # a pass may end early
        settled.emitter._fold_waiting(time.monotonic())
    assert [state.model for state in settled.ears.heard[before:]] == [MODEL]
    assert list(settled.rows.waiting) == [OTHER]


def test_a_region_that_falls_silent_is_said_without_any_report(settled: Bench) -> None:
    settled.emitter._began = float("-inf")
    settled.emitter._tick()
    settled.fold()
    settled.heartbeats.heard_us.clear()
    settled.beat("eu")
    settled.beat("us", age_seconds=3600)
    settled.emitter._tick()
    assert {(s.model, r.region) for s in settled.fold() for r in s.regions if r.silent} == {
        (MODEL, "us"),
        (OTHER, "us"),
    }


def test_an_alarm_about_the_registry_is_said_of_every_model(settled: Bench) -> None:
    settled.alarm = "the registry is another one"
    settled.emitter.all_changed()
    assert {(s.model, s.alarm) for s in settled.fold()} == {(MODEL, settled.alarm), (OTHER, settled.alarm)}


def test_while_a_log_can_not_be_read_what_was_said_before_is_said_with_an_alarm_and_its_age(settled: Bench) -> None:
    before = settled.ears.heard[-1]
    fresh = Bench()  # the next worker: the registry's id is damaged
    for model in (MODEL, OTHER):
        fresh.rows.row(model).log = None
    fresh.rows.row(before.model).previous = before
    fresh.emitter.settle(True)
    assert fresh.fold() == [], "no news"
    fresh.alarm = "the registry can't be read"
    fresh.emitter.all_changed()
    (said,) = fresh.fold()
    assert said.alarm == fresh.alarm
    assert said.as_of_us == before.as_of_us
    assert said.updated_at_us > before.updated_at_us
    assert not has_news(replace(said, alarm=""), before)
    assert fresh.rows.row(before.model).previous == before
    fresh.alarm = ""
    fresh.rows.row(before.model).log = log_of(update(1, 1, model=before.model), model=before.model)
    fresh.emitter.changed(before.model)
    assert [s.alarm for s in fresh.fold()] == [""]


def test_of_models_that_went_to_another_worker_nothing_more_is_said(settled: Bench) -> None:
    settled.rows.reassign(frozenset({partition_of(OTHER)}))
    settled.emitter.settle(True)
    assert {state.model for state in settled.fold()} <= {OTHER}
    settled.emitter.changed(MODEL)
    assert settled.fold() == []


def test_a_late_record_of_a_model_that_went_away_leaves_no_metric_behind(settled: Bench) -> None:
    metrics = CollectorRegistry()
    metrics.register(settled.emitter.metrics)

    def shown(model: str) -> bool:
        return metrics.get_sample_value("modelcast_latest_version", {"model": model}) is not None

    def rows(model: str) -> set[str]:
        names = {"modelcast_pods_serving", "modelcast_pods_expected", "modelcast_behind_since_timestamp_seconds"}
        samples = [s for family in metrics.collect() for s in family.samples if s.name in names]
        return {s.labels["region"] for s in samples if s.labels["model"] == model} & {"eu", "us", "unexpected"}

    settled.report("unexpected")
    settled.fold()
    assert shown(MODEL)
    assert rows(MODEL) == {"eu", "us", "unexpected"}
    settled.emitter.settle(False)
    settled.rows.reassign(frozenset({partition_of(OTHER)}))
    settled.report("eu")
    settled.emitter.settle(True)
    assert (shown(MODEL), shown(OTHER)) == (False, True)
    settled.emitter._tick()
    assert {state.model for state in settled.fold()} <= {OTHER}
    assert not shown(MODEL)
    assert rows(MODEL) == set()


def test_only_time_is_no_news(settled: Bench) -> None:
    state = settled.emitter._reported[MODEL].state
    later = replace(
        state, updated_at_us=state.updated_at_us + 1, as_of_us=state.as_of_us + 1,
        regions=tuple(replace(r, heard_at_us=r.heard_at_us + 1) for r in state.regions),
    )  # fmt: skip
    assert not has_news(later, state)
    refusing = replace(state, regions=tuple(replace(r, refused_version=2) for r in state.regions))
    assert has_news(refusing, state)


def test_what_regions_repeat_is_no_news_and_is_said_when_the_state_is_said_again(settled: Bench) -> None:
    before = settled.emitter._reported[MODEL].state
    settled.emitter._reported[MODEL].at = time.monotonic()
    settled.report("eu")
    assert settled.fold() == []
    settled.emitter._reported[MODEL].at = time.monotonic() - 2 * REPEAT_SECONDS
    settled.emitter._tick()
    (state,) = settled.fold()
    old, new = before.regions[0], state.regions[0]
    assert new.reported_at_us > old.reported_at_us
    assert new.read_at_us > old.read_at_us
    assert new.moved_at_us == old.moved_at_us


def test_a_model_that_lags_is_not_said_again_until_there_is_news(settled: Bench) -> None:
    settled.rows.row(MODEL).log = log_of(update(1, 1), update(2, 2))
    settled.rows.row(MODEL).entry_times_us[2] = time.time_ns() // 1000
    settled.emitter.changed(MODEL)
    (state,) = settled.fold()
    assert state.behind_since_us > 0
    for _ in range(5):
        settled.emitter._tick()
        assert settled.fold() == []


def test_a_region_whose_pods_are_not_read_back_any_more_is_said_to_be_without_any_report(settled: Bench) -> None:
    reported = settled.emitter._reported[MODEL]
    assert reported.readable_until_us > time.time_ns() // 1000
    settled.emitter._pace = TrackerSettings(unread_seconds=0.01)
    reported.readable_until_us = 1  # as if it had been so when it was said
    settled.heartbeats._offsets_us.clear()
    time.sleep(0.02)
    settled.emitter._tick()
    (state,) = (s for s in settled.fold() if s.model == MODEL)
    assert {(r.unread, r.served_version, r.reported_version) for r in state.regions} == {(True, None, 1)}


def test_a_model_that_fails_backs_off_alone_and_the_others_take_their_turns(settled: Bench) -> None:
    settled.ears.unbearable = OTHER
    now = time.monotonic()
    settled.report("eu", model=OTHER, serves=None)
    settled.emitter._fold_waiting(now)
    assert 0.5 < settled.rows.waiting.seconds_left(OTHER, now) <= 1.0
    settled.ears.unbearable = ""
    settled.report("eu", serves=None)
    settled.emitter._fold_waiting(now + 0.5)
    assert [s.model for s in settled.ears.heard[-1:]] == [MODEL]
    assert OTHER in settled.rows.waiting
    settled.emitter._fold_waiting(now + 2.0)
    assert settled.ears.heard[-1].model == OTHER
    assert not settled.rows.waiting


def test_what_could_not_be_said_is_said_as_soon_as_it_can_be_though_it_is_no_news_by_then(settled: Bench) -> None:
    settled.ears.unbearable = OTHER
    now = time.monotonic()
    settled.report("eu", model=OTHER, serves=None)
    for later in (0.0, 100.0, 200.0):
        settled.emitter._fold_waiting(now + later)
        assert settled.rows.waiting.seconds_left(OTHER, now + later) > 0.0, "it fails each time, and waits again"
    settled.ears.unbearable = ""
    settled.emitter._fold_waiting(now + 300.0)
    assert [s.model for s in settled.ears.heard[-1:]] == [OTHER]


async def test_while_a_model_that_failed_waits_the_news_of_others_is_said_at_once(settled: Bench) -> None:
    for _ in range(5):
        settled.rows.waiting.failed(OTHER, time.monotonic())
    assert settled.rows.waiting.seconds_left(OTHER, time.monotonic()) > 10.0
    running = asyncio.create_task(settled.emitter.run())
    try:
        settled.emitter.changed(OTHER)
        await asyncio.sleep(0.1)  # it rests until that is tried again
        before = len(settled.ears.heard)
        settled.report("eu", serves=None)
        await until_async(lambda: settled.ears.heard[before:], "the news is said", 6.0)
        assert [s.model for s in settled.ears.heard[before:]] == [MODEL]
        assert OTHER in settled.rows.waiting
    finally:
        running.cancel()


def test_a_state_is_as_old_as_what_waits_to_be_read(settled: Bench) -> None:
    came_us = time.time_ns() // 1000 - 180 * SECOND
    settled.reading.begins(partition_of(MODEL), came_us)
    settled.reading.ends(partition_of(MODEL), at_the_end=False)
    settled.report("eu", serves=None)
    (state,) = settled.fold()
    assert 180 <= state.unread_seconds < 190
    settled.reading.ends(partition_of(MODEL), at_the_end=True)
    settled.report("eu")
    (state,) = settled.fold()
    assert state.unread_seconds == 0


def test_a_state_of_too_many_regions_is_cut_and_says_so(settled: Bench) -> None:
    state = settled.emitter._reported[MODEL].state
    well = state.regions[0]
    many = [replace(well, region=f"well-{n:05d}") for n in range(4_000)]
    late = [replace(well, region=f"late-{n}", state=State.FAILED, served_version=None) for n in range(10)]
    cut = decode_as(VersionState, _encoded(replace(state, regions=(*many, *late))))
    assert len(cut.regions) + cut.regions_omitted == 4_010
    assert cut.regions_omitted > 0
    assert {r.region for r in late} <= {r.region for r in cut.regions}


def test_what_was_said_while_reports_waited_is_said_again_once_they_are_read(settled: Bench) -> None:
    settled.reading.begins(partition_of(MODEL), time.time_ns() // 1000 - 60 * SECOND)
    settled.report("eu", serves=None)
    (behind,) = settled.fold()
    assert behind.unread_seconds > 50
    settled.emitter._tick()
    assert settled.fold() == []
    settled.reading.ends(partition_of(MODEL), at_the_end=True)
    settled.emitter._tick()
    (state,) = settled.fold()
    assert (state.model, state.unread_seconds) == (MODEL, 0.0)


def test_who_listens_hears_what_is_said_and_what_was_said_before(settled: Bench) -> None:
    heard: list[tuple[int | None, int | None]] = []
    unchanged: list[tuple[str, set[str]]] = []

    class Listener:
        def reported(self, state: VersionState, before: VersionState | None, updates: object, now_us: int) -> None:
            assert state.updated_at_us == now_us
            heard.append((before and before.consistent_version, state.consistent_version))

        def unchanged(self, model: str, reported_at_us: Mapping[str, int], now_us: int) -> None:
            unchanged.append((model, set(reported_at_us)))

    settled.emitter.listen(Listener())
    settled.report("eu", serves=None)
    settled.fold()
    assert heard == [(1, None)]
    settled.ticks()
    assert (MODEL, {"eu", "us"}) in unchanged
