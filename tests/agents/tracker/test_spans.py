"""The tracker's spans: one for each region that is known to serve an entry from now on; announcements name a trace."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.spans import FoldSpans, SpanSender
from modelcast.infra.telemetry.tracing import TRACEPARENT, SpanRecord, TraceKey, traceparent
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic
from tests.agents.tracker.makers import log_of, update
from tests.agents.tracker.test_state_metrics import row, state
from tests.support.records.folding import stated


class Spans:
    """A ``SpanSink`` that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[SpanRecord] = []

    def emit(self, span: SpanRecord, /) -> None:
        self.taken.append(span)

    def close(self) -> None:
        pass


def told(*states: VersionState) -> list[tuple[int, tuple[str, ...] | None]]:
    """Generation and parent of each span that came of these states, one after the other."""
    spans = Spans()
    fold = FoldSpans(spans)
    for before, now in zip((None, *states), states, strict=False):
        fold.reported(before, now)
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
