"""Spans of what a publisher or commander does for an entry; plugged in where traces are on."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.telemetry.tracing import SpanRecord, TraceKey, announcement_headers


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step that is over; UTC nanoseconds."""

    name: str
    began_ns: int
    ended_ns: int


def spans_of(
    key: TraceKey,
    name: str,
    began_ns: int,
    *,
    steps: Iterable[TimedStep] = (),
    about: Mapping[str, str | int] | None = None,
    error: str = "",
) -> list[SpanRecord]:
    """The root of an entry's trace, which ends now, and a span of each step."""
    root = SpanRecord(key, name, began_ns, time.time_ns(), None, (), dict(about or {}), error)
    return [root, *(SpanRecord(key, step.name, step.began_ns, step.ended_ns, ()) for step in steps)]


class TracedAnnouncer(KafkaAnnouncer):
    """Names the trace of an announced entry in the header ``traceparent``, for consumers of other people's."""

    def announce(
        self,
        topic: str,
        key: str,
        value: bytes | None,
        *,
        timeout_seconds: float,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """See ``KafkaAnnouncer``."""
        named = {**announcement_headers(value), **(headers or {})}
        super().announce(topic, key, value, timeout_seconds=timeout_seconds, headers=named)
