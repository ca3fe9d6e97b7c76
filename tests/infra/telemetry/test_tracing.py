"""Spans: ids that every process computes alike, and OpenTelemetry only where it is asked for."""

import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from modelcast.infra.telemetry.tracing import (
    TRACEPARENT,
    SpanRecord,
    TraceKey,
    announcement_headers,
    span_sink,
    trace_of,
    traceparent,
)
from modelcast.schemas.records import ModelUpdate
from tests.support.records.example_records import json_files, record_of
from tests.support.records.folding import in_statement
from tests.support.servers.otlp import OtlpReceiver, ReceivedSpan
from tests.support.waiting import until

KEY = TraceKey("registry", "fraud", 7)
SECOND_NS = 1_000_000_000


def test_ids_are_those_of_the_entry_and_of_nothing_else() -> None:
    assert TraceKey("registry", "fraud", 7).trace_id == KEY.trace_id
    others = [TraceKey("other", "fraud", 7), TraceKey("registry", "frau", 7), TraceKey("registry", "fraud", 8)]
    assert len({key.trace_id for key in (KEY, *others)}) == 4
    paths = [(), ("region", "eu"), ("region", "us"), ("regioneu",)]
    assert len({KEY.span_id(path) for path in paths}) == len(paths)
    assert 0 < KEY.trace_id < 2**128
    assert 0 < KEY.span_id(()) < 2**64


def test_the_header_is_that_of_w3c_trace_context() -> None:
    version, trace, span, flags = traceparent(KEY).decode().split("-")
    assert (version, int(trace, 16), int(span, 16), flags) == ("00", KEY.trace_id, KEY.span_id(()), "01")
    assert (len(trace), len(span)) == (32, 16)


def test_an_announcement_names_its_entrys_trace_and_noise_names_none() -> None:
    entry = record_of(next(path for path in json_files() if path.name.startswith("ModelUpdate.")))
    assert isinstance(entry, ModelUpdate)
    assert announcement_headers(in_statement(entry)) == {TRACEPARENT: traceparent(trace_of(entry))}
    assert announcement_headers(b"noise") == announcement_headers(None) == {}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PATH": "/bin"},
        {"OTEL_SERVICE_NAME": "training", "OTEL_RESOURCE_ATTRIBUTES": "team=fraud"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_there_are_no_traces_unless_they_are_asked_for(env: Mapping[str, str]) -> None:
    assert span_sink("modelcast", env) is None


def test_an_exporter_that_is_not_there_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert span_sink("modelcast", {"OTEL_TRACES_EXPORTER": "carrier-pigeon"}) is None
    assert "no exporter 'carrier-pigeon' is installed" in caplog.text


def test_where_traces_are_off_our_side_of_opentelemetry_is_not_imported() -> None:
    code = (
        "import sys, modelcast.producers, modelcast.agents.region.runner, modelcast.agents.tracker.runner\n"
        "from modelcast.infra.telemetry.tracing import span_sink\n"
        "assert span_sink('modelcast', {}) is None\n"
        "assert not [m for m in sys.modules if m.endswith('tracing.otel') or 'opentelemetry.exporter' in m]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, ReceivedSpan]:
    """What an OTLP receiver got of a trace, by name."""
    with OtlpReceiver() as receiver:
        for name, value in receiver.env.items():
            monkeypatch.setenv(name, value)
        sink = span_sink("modelcast-test", receiver.env)
        assert sink is not None
        now = time.time_ns()
        region = ("region", "eu")
        sink.emit(SpanRecord(KEY, "fetch", now, now + SECOND_NS, region, attributes={"way": "whole"}, error="damaged"))
        sink.emit(SpanRecord(KEY, "region eu", now, now + 2 * SECOND_NS, (), region))
        sink.emit(SpanRecord(KEY, "publish", now, now + SECOND_NS, None, ()))
        sink.close()
        until(lambda: len(receiver.spans) == 3, "all spans are received")
        return {span.name: span for span in receiver.spans}


def test_spans_arrive_with_the_ids_that_others_compute(sent: dict[str, ReceivedSpan]) -> None:
    assert {int(span.trace_id, 16) for span in sent.values()} == {KEY.trace_id}
    assert (sent["publish"].parent_id, int(sent["publish"].span_id, 16)) == ("", KEY.span_id(()))
    assert sent["region eu"].parent_id == sent["publish"].span_id
    assert sent["fetch"].parent_id == sent["region eu"].span_id
    assert sent["fetch"].failed
    assert sent["fetch"].ended_ns - sent["fetch"].began_ns == SECOND_NS
    assert sent["fetch"].attributes == {"modelcast.model": "fraud", "modelcast.generation": 7, "way": "whole"}
    assert {span.service for span in sent.values()} == {"modelcast-test"}


def test_a_ratio_keeps_or_drops_a_trace_in_every_process_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        env = {**receiver.env, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        for service in ("one", "two"):
            sink = span_sink(service, env)
            assert sink is not None
            for number in range(100):
                sink.emit(SpanRecord(TraceKey("registry", "fraud", number), "fetch", 1, 2, ("region", service)))
            sink.close()
        kept = {name: {s.trace_id for s in receiver.spans if s.service == name} for name in ("one", "two")}
    assert kept["one"] == kept["two"]
    assert 20 < len(kept["one"]) < 80
