"""Spans as values. Ids are derived from the entry, so that they need no carrier and survive restarts. Pure.

The trace of an entry is named by (registry, model, generation). Whoever works on the entry can compute the ids of the
trace, of its root and of each region's span; nothing that is lost or forged on Kafka changes them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

TRACEPARENT = "traceparent"
"""The header of W3C Trace Context that an announcement carries for consumers of other people's."""
Attribute = str | int | float | bool
Path = tuple[str, ...]
"""Names a span within its trace: () is the root, ("region", "eu") a region's."""


@dataclass(frozen=True, slots=True)
class TraceKey:
    """Names the trace of one log entry."""

    registry_id: str
    model: str
    generation: int

    @property
    def trace_id(self) -> int:
        """128 bits, never 0."""
        return int.from_bytes(self._digest("trace")[:16]) or 1

    def span_id(self, path: Path) -> int:
        """64 bits, never 0."""
        return int.from_bytes(self._digest("span", *path)[:8]) or 1

    def _digest(self, *words: str) -> bytes:
        return hashlib.sha256("\0".join((self.registry_id, self.model, str(self.generation), *words)).encode()).digest()


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """Something that is over.

    Attributes:
        key: whose trace it is in.
        name: what was done.
        began_ns: UTC nanoseconds.
        ended_ns: as ``began_ns``.
        parent: the path of the span that it is a part of; None: it is the root.
        path: its own, if it has parts; None: it has none.
        attributes: what else is known.
        error: why it failed; "": it did not.
    """

    key: TraceKey
    name: str
    began_ns: int
    ended_ns: int
    parent: Path | None
    path: Path | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""


class SpanSink(Protocol):
    """Takes spans to where people look at them. Thread-safe; never raises, never waits."""

    def emit(self, span: SpanRecord, /) -> None:
        """Take one."""
        ...

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...


def traceparent(key: TraceKey) -> bytes:
    """The header that makes the root of the entry's trace the parent of what a consumer does."""
    return f"00-{key.trace_id:032x}-{key.span_id(()):016x}-01".encode()
