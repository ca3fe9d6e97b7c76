"""The header by which an announcement names its entry's trace."""

from modelcast.infra.telemetry.tracing.spans import TRACEPARENT, TraceKey, traceparent
from modelcast.schemas.codec import DEFAULT
from modelcast.schemas.errors import ContentError
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.records import Entry


def trace_of(entry: Entry) -> TraceKey:
    """Where the spans about an entry belong."""
    return TraceKey(entry.registry_id, entry.model, entry.generation)


def announcement_headers(body: bytes | None) -> dict[str, bytes]:
    """``traceparent`` for the announcement of these bytes; none if they are no log entry."""
    try:
        entry = read_stated(body, book=DEFAULT).entry
    except ContentError:
        return {}
    return {TRACEPARENT: traceparent(trace_of(entry))}
