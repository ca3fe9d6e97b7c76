"""The tracker's findings as metrics and as spans: few, once, and nothing that is not so any more."""

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import generate_latest

from modelcast.agents.tracker.spans import FoldSpans, SpanSender
from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.infra.telemetry.tracing import TRACEPARENT, TraceKey, traceparent
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State
from modelcast.schemas.statuses import Limits, Status, counts, status_of
from modelcast.schemas.topics import Topic
from tests.agents.tracker.makers import log_of, update
from tests.support.records.folding import stated
from tests.support.servers.otlp import KeptSpans

SECOND = 1_000_000


def row(region: str, *, since_us: int = 0, served: int | None = 1) -> RegionState:
    """Two pods, which serve what they should but where it is behind since then, or `served` is None."""
    served = None if since_us else served
    return RegionState(region, State.SERVING, 1, 1, "", 1, 1, served, 1, 2 if served else 0, 2, since_us, False)


def state(model: str, rows: Iterable[RegionState]) -> VersionState:
    made = tuple(rows)
    since_us = min((r.behind_since_us for r in made if r.behind_since_us), default=0)
    return VersionState("r", model, 1, 1, 1, 0, 1, since_us, 0, 0, 7 * SECOND, made)


def seen(metrics: StateMetrics) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


def series(metrics: StateMetrics) -> list[str]:
    return [line for line in generate_latest(seen(metrics)).decode().splitlines() if not line.startswith("#")]


def test_a_large_fleet_has_few_series_and_pairs_only_where_they_are_asked_for() -> None:
    sums, pairs = StateMetrics(), StateMetrics(pairs=True)
    regions = [f"region-{n}" for n in range(20)]
    for metrics in (sums, pairs):
        metrics.show_regions(regions, frozenset(), dict.fromkeys(regions, SECOND))
        metrics.show_unread(dict.fromkeys(range(12), 0))
        for n in range(50):
            metrics.show(state(f"model-{n}", (row(name) for name in regions)))
    assert len(series(sums)) == 50 * 12 + 20 * 6 + 12 + 1
    assert len(series(pairs)) == len(series(sums)) + 3 * 50 * 20


def test_what_vanished_is_not_shown() -> None:
    metrics = StateMetrics(pairs=True)
    metrics.show(state("fraud", [row("eu"), row("us")]))
    metrics.show(state("churn", [row("eu")]))
    metrics.show(state("fraud", [row("eu")]))
    assert not any('region="us"' in line for line in series(metrics))
    metrics.keep(["churn"])
    assert not any("fraud" in line for line in series(metrics))
    assert any("churn" in line for line in series(metrics))


def test_times_are_shown_as_times_that_cannot_freeze_young() -> None:
    metrics = StateMetrics()
    metrics.show_regions(["eu", "us"], frozenset({"us"}), {"eu": 3 * SECOND})
    metrics.show(state("fraud", [row("eu", since_us=5 * SECOND), row("us", since_us=4 * SECOND)]))
    metrics.show(state("churn", [row("eu", since_us=2 * SECOND), row("us")]))
    metrics.show_unread({3: 6 * SECOND})
    value = seen(metrics).get_sample_value
    assert value("modelcast_state_timestamp_seconds", {"model": "fraud"}) == 0  # Kafka has none of it yet
    metrics.written("fraud", 7 * SECOND)
    metrics.written("fraud", 6 * SECOND)
    assert value("modelcast_state_timestamp_seconds", {"model": "fraud"}) == 7
    assert value("modelcast_model_behind_since_timestamp_seconds", {"model": "fraud"}) == 4
    assert value("modelcast_region_behind_since_timestamp_seconds", {"region": "eu"}) == 2
    assert value("modelcast_region_models_behind", {"region": "eu"}) == 2
    assert value("modelcast_region_heard_timestamp_seconds", {"region": "eu"}) == 3
    assert value("modelcast_region_heard_timestamp_seconds", {"region": "us"}) is None  # never: no time, not 1970
    assert value("modelcast_region_silent", {"region": "us"}) == 1
    assert value("modelcast_unread_since_timestamp_seconds", {"partition": "3"}) == 6


def test_a_region_that_nobody_knows_to_serve_is_in_no_sum() -> None:
    metrics = StateMetrics()
    metrics.show(state("fraud", [row("eu"), replace(row("us", served=None), silent=True, reported_version=1)]))
    value = seen(metrics).get_sample_value
    labels = {"model": "fraud"}
    assert value("modelcast_model_regions", labels) == 2
    assert value("modelcast_model_regions_serving", labels) == 1
    assert value("modelcast_model_pods_serving", labels) == 2
    assert value("modelcast_model_pods_expected", labels) == 4


def test_500_models_in_200_regions_that_are_all_behind_have_fewer_than_10_000_series() -> None:
    metrics = StateMetrics()
    regions = [f"region-{n}" for n in range(200)]
    metrics.show_regions(regions, frozenset(), dict.fromkeys(regions, SECOND))
    metrics.show_unread(dict.fromkeys(range(12), 0))
    for n in range(500):
        metrics.show(state(f"model-{n}", (row(name, since_us=SECOND) for name in regions)))
    alarms = 500  # a gauge of its own, beside the collector
    assert len(series(metrics)) + alarms < 10_000
    metrics.keep([])
    assert not any("model=" in line for line in series(metrics))


def test_what_is_late_is_counted_by_the_clock_of_the_scrape_and_a_silent_region_is_not_late() -> None:
    now = [60.0]
    metrics = StateMetrics(late_seconds=45, now=lambda: now[0])
    metrics.show_regions(["eu", "us", "ap"], frozenset({"ap"}), {})
    rows = [row("eu", since_us=10 * SECOND), row("us", since_us=40 * SECOND)]
    silent = replace(row("ap", served=None, since_us=SECOND), silent=True)
    metrics.show(state("fraud", [*rows, silent]))
    metrics.show(state("churn", [row("eu"), row("us"), replace(row("ap"), left_out="placement")]))

    def late() -> dict[str, float | None]:
        value = seen(metrics).get_sample_value
        return {
            "fraud": value("modelcast_model_regions_late", {"model": "fraud"}),
            **{name: value("modelcast_region_models_late", {"region": name}) for name in ("eu", "us", "ap")},
        }

    assert late() == {"fraud": 1, "eu": 1, "us": 0, "ap": 0}
    now[0] = 90.0  # nothing was heard meanwhile: time alone makes it late
    assert late() == {"fraud": 2, "eu": 1, "us": 1, "ap": 0}
    value = seen(metrics).get_sample_value
    assert [value("modelcast_region_models", {"region": name}) for name in ("eu", "us", "ap")] == [2, 2, 1]


def test_what_stands_still_or_is_refused_is_counted_as_every_reader_calls_it() -> None:
    now = [100.0]
    metrics = StateMetrics(now=lambda: now[0])
    behind = replace(row("eu", since_us=10 * SECOND, served=None), state=State.STAGED, moved_at_us=50 * SECOND)
    quarantined = replace(row("us", served=None), state=State.QUARANTINED, read_at_us=99 * SECOND)
    silent = replace(behind, region="ap", silent=True, heard_at_us=SECOND)
    elsewhere = replace(behind, region="sa", left_out="placement")
    fine = replace(row("af"), read_at_us=99 * SECOND)
    fraud = state("fraud", [behind, quarantined, silent, elsewhere, fine])
    metrics.show(fraud)

    def seen_now() -> tuple[float | None, float | None]:
        value, labels = seen(metrics).get_sample_value, {"model": "fraud"}
        return value("modelcast_model_regions_stalled", labels), value("modelcast_model_regions_refused", labels)

    def by_status() -> tuple[int, int]:
        found = [status_of(r, round(now[0] * SECOND), Limits()).status for r in fraud.regions if counts(r)]
        return found.count(Status.STALLED), found.count(Status.REFUSED)

    assert seen_now() == by_status() == (0, 1)
    now[0] = 110.5  # a minute after anything moved: time alone makes it stalled
    assert seen_now() == by_status() == (1, 1)
    for said_at in (80, 110):  # as LATE and STALLED
        metrics.show(replace(fraud, updated_at_us=said_at * SECOND + 1))
        assert seen_now() == (1, 1)
    metrics.show(replace(fraud, alarm="rewritten log"))
    assert seen_now() == (0, 0)  # ALARM goes before


def test_how_long_a_rollout_took_is_observed_once_the_last_region_serves() -> None:
    def observed() -> tuple[float, float]:
        value = REGISTRY.get_sample_value
        return value("modelcast_convergence_seconds_count") or 0, value("modelcast_convergence_seconds_sum") or 0

    metrics, (count, total) = StateMetrics(), observed()
    metrics.show(state("fraud", [row("eu"), row("us")]))
    metrics.show(state("fraud", [row("eu", since_us=2 * SECOND), row("us", since_us=3 * SECOND)]))
    metrics.show(state("fraud", [row("eu"), row("us", since_us=3 * SECOND)]))
    assert observed() == (count, total)
    metrics.show(state("fraud", [row("eu"), row("us")]))
    metrics.show(state("fraud", [row("eu"), row("us")]))
    assert observed() == (count + 1, total + 4)  # from 3 s, when the last of them fell behind, to 7 s


def told(*states: VersionState) -> list[tuple[int, tuple[str, ...] | None]]:
    """Generation and parent of each span that came of these states, one after the other."""
    spans = KeptSpans()
    fold = FoldSpans(spans)
    for before, now in zip((None, *states), states, strict=False):
        fold.reported(now, before, {}, now.updated_at_us)
    assert all(span.ended_ns >= span.began_ns for span in spans.taken)
    return [(span.key.generation, span.parent) for span in spans.taken]


def test_a_region_that_has_caught_up_is_told_once() -> None:
    behind = state("fraud", [row("eu", served=None), row("us")])
    well = state("fraud", [row("eu"), row("us")])
    assert told(behind, well, well) == [(1, ("region", "eu"))]


def test_a_reload_is_served_anew_although_the_version_is_the_same() -> None:
    again = state("fraud", [replace(row("eu"), served_generation=2)])
    assert told(state("fraud", [row("eu")]), again) == [(2, ("region", "eu"))]


def test_what_a_tracker_finds_when_it_starts_is_no_news() -> None:
    assert told(state("fraud", [row("eu"), row("us")])) == []


def test_what_the_tracker_announces_names_its_entrys_trace_and_nothing_else_does() -> None:
    sent: list[tuple[Topic, dict[str, bytes]]] = []
    outbox: Any = SimpleNamespace(send=lambda topic, _key, _value, _done, headers: sent.append((topic, headers)))
    entry = update(1, 1)
    body = stated(log_of(), entry).body
    sender = SpanSender(outbox)
    sender.send(Topic.MODEL_UPDATES, entry.model, body)
    sender.send(Topic.VERSION_STATE, entry.model, body)
    key = TraceKey(entry.registry_id, entry.model, 1)
    assert sent == [(Topic.MODEL_UPDATES, {TRACEPARENT: traceparent(key)}), (Topic.VERSION_STATE, {})]
