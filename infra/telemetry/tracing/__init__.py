"""Traces of what becomes of a log entry, from ``publish()`` to the last read-back; where ``OTEL_*`` asks for them."""

from modelcast.infra.telemetry.tracing.configured import span_sink
from modelcast.infra.telemetry.tracing.headers import announcement_headers, trace_of
from modelcast.infra.telemetry.tracing.spans import TRACEPARENT, Attribute, SpanRecord, SpanSink, TraceKey, traceparent

__all__ = [
    "TRACEPARENT",
    "Attribute",
    "SpanRecord",
    "SpanSink",
    "TraceKey",
    "announcement_headers",
    "span_sink",
    "trace_of",
    "traceparent",
]
