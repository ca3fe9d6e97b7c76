"""Spans of what the tracker does for log entries; plugged in where traces are on, and nothing depends on them."""

import time
from collections.abc import Mapping

from modelcast.agents.tracker.ports import Letters
from modelcast.infra.kafka.outbox import Delivered, Outbox
from modelcast.infra.telemetry.tracing import Attribute, SpanRecord, SpanSink, TraceKey, announcement_headers
from modelcast.schemas.records import ModelUpdate, VersionState
from modelcast.schemas.topics import Topic


class FoldSpans:
    """A ``StateListener``: a span for each region that is known to serve an entry from now on, below the region's own.

    Attributes:
        sink: takes the spans.
    """

    def __init__(self, sink: SpanSink) -> None:
        self.sink = sink

    def reported(
        self, state: VersionState, before: VersionState | None, _updates: Mapping[int, ModelUpdate], _now_us: int
    ) -> None:
        """See ``StateListener``. Where nothing was reported before, nobody knows what is new."""
        if before is None:
            return
        old = {row.region: row for row in before.regions}
        for row in state.regions:
            known = old.get(row.region)
            if row.serves and (known is None or not known.serves or known.served_generation < row.served_generation):
                key = TraceKey(state.registry_id, state.model, row.served_generation)
                at_ns = state.updated_at_us * 1000
                about: dict[str, Attribute] = {"modelcast.region": row.region, "pods": row.pods_serving}
                self.sink.emit(
                    SpanRecord(key, "fold", at_ns, max(at_ns, time.time_ns()), ("region", row.region), None, about)
                )

    def unchanged(self, model: str, reported_at_us: Mapping[str, int], now_us: int) -> None:
        """See ``StateListener``: no entry begins to be served."""


class SpanSender:
    """A ``Sender``: announcements that the tracker makes up for name their entry's trace, too."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def dead_letter(self) -> Letters:
        """See ``Sender``."""
        return self._outbox.dead_letter

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Delivered = lambda done: None, /) -> None:
        """See ``Sender``."""
        headers = announcement_headers(value) if topic is Topic.MODEL_UPDATES else {}
        self._outbox.send(topic, key, value, on_delivery, headers)
