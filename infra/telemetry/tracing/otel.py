"""Spans by way of OpenTelemetry's SDK. Imported only where traces are on."""

import logging
import threading
from collections.abc import Mapping
from importlib.metadata import entry_points

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from modelcast.infra.telemetry.tracing.spans import Path, SpanRecord, TraceKey

EXPORTERS = "opentelemetry_traces_exporter"
"""The entry points by which the SDK's own autoconfiguration finds exporters, too."""
OTLP = {"": "otlp_proto_http", "otlp": "otlp_proto_http"}
CLOSE_MS = 3000

log = logging.getLogger(__name__)


class _Ids(RandomIdGenerator):
    """Hands out the ids that were put down; 0: random ones."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id or int(super().generate_trace_id())

    def generate_span_id(self) -> int:
        return self.span_id or int(super().generate_span_id())


class OtelSink:
    """A ``SpanSink``: the exporters that ``OTEL_TRACES_EXPORTER`` names (``otlp`` by default, over HTTP).

    Raises:
        LookupError: no such exporter is installed.
    """

    def __init__(self, service: str, env: Mapping[str, str]) -> None:
        named = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": service}
        self._ids, self._lock = _Ids(), threading.Lock()
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids)
        for name in env.get("OTEL_TRACES_EXPORTER", "").split(","):
            self._provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip().lower())))
        self._tracer = self._provider.get_tracer("modelcast")

    def emit(self, span: SpanRecord, /) -> None:
        """See ``SpanSink``."""
        try:
            if self._sampled(span):
                self._emit(span)
        except Exception as error:  # a trace is never worth what it is about
            log.debug("a span is lost: %r", error)

    def close(self) -> None:
        """See ``SpanSink``."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()

    def _emit(self, span: SpanRecord) -> None:
        key = span.key
        context = Context() if span.parent is None else _below(key, span.parent)
        links = [trace.Link(caller)] if span.parent is None and (caller := _caller()).is_valid else []
        about = {"modelcast.model": key.model, "modelcast.generation": key.generation, **span.attributes}
        with self._lock:
            self._ids.trace_id = key.trace_id
            self._ids.span_id = 0 if span.path is None else key.span_id(span.path)
            made = self._tracer.start_span(span.name, context, attributes=about, links=links, start_time=span.began_ns)
        if span.error:
            made.set_status(trace.StatusCode.ERROR, span.error)
        made.end(max(span.began_ns, span.ended_ns))

    def _sampled(self, span: SpanRecord) -> bool:
        """By the trace's id alone, so that every process that works on an entry decides alike."""
        decided = self._provider.sampler.should_sample(Context(), span.key.trace_id, span.name)
        return decided.decision is Decision.RECORD_AND_SAMPLE


def _below(key: TraceKey, path: Path) -> Context:
    parent = trace.SpanContext(key.trace_id, key.span_id(path), is_remote=True, trace_flags=trace.TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def _caller() -> trace.SpanContext:
    """The span in which a training job publishes, if it has one of its own."""
    return trace.get_current_span().get_span_context()


def _exporter(name: str) -> SpanExporter:
    for found in entry_points(group=EXPORTERS, name=OTLP.get(name, name)):
        made: SpanExporter = found.load()()
        return made
    raise LookupError(f"no exporter {name!r} is installed (OTEL_TRACES_EXPORTER)")
