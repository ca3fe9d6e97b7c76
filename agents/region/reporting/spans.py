"""Spans of what a region does for a log entry; plugged in where traces are on, and nothing depends on them."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.agents.region.decider.events_and_effects import (
    Effect,
    Event,
    Fetch,
    Fetched,
    FetchFailed,
    Folded,
    Load,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodLost,
)
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.reporting.snapshot_reporter import RecordOutbox
from modelcast.agents.region.reporting.step_observer import StepObserver
from modelcast.infra.kafka.outbox import Delivered
from modelcast.infra.telemetry.tracing import Attribute, SpanRecord, SpanSink, TraceKey
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.records import ModelAck
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic

SECOND_NS = 1_000_000_000


def region_path(region: str) -> tuple[str, ...]:
    """The path of a region's span in the trace of an entry."""
    return ("region", region)


@dataclass(slots=True)
class _Work:
    """What is being done for one entry of one model."""

    key: TraceKey
    began_ns: int
    fetches: dict[str, int] = field(default_factory=dict)  # manifest digest -> when it began
    loads: dict[str, int] = field(default_factory=dict)  # pod -> when it was ordered
    loaded: dict[str, int] = field(default_factory=dict)  # pod -> when it said that it serves
    read: set[str] = field(default_factory=set)  # pods that were read back
    attempts: int = 0


class SpanSteps:
    """A ``StepObserver``: spans of wake, fetch, stage, loads and read-backs, below one of the region.

    Args:
        sink: takes the spans.
        region: its name.
        then: the observer that sees each step, too.
    """

    def __init__(self, sink: SpanSink, region: str, then: StepObserver) -> None:
        self._sink, self._region, self._then = sink, region, then
        self._work: dict[str, _Work] = {}
        self._over: dict[str, int] = {}  # by model, the generation whose span was sent: it has one
        self._life = secrets.token_hex(4)  # paths of this process are those of no other one

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """See ``StepObserver``."""
        self._then.stepped(before, event, after, effects)
        now_ns, model = time.time_ns(), after.facts.saved.model
        work = self._work.get(model)
        is_new = after.generation not in {0, self._over.get(model), work.key.generation if work else 0}
        if is_new and not _is_settled(after):
            work = self._begin(model, event, after, now_ns)
        if work is None:
            return
        self._ended(work, event, now_ns)
        self._read_back(work, after, now_ns)
        for effect in effects:
            if isinstance(effect, Fetch):
                work.fetches[effect.update.artifact.manifest_digest] = now_ns
            elif isinstance(effect, Load):
                work.loads[effect.pod] = now_ns
        if _is_settled(after) and after.generation == work.key.generation:
            del self._work[model]
            self._over[model] = after.generation
            path = region_path(self._region)
            about: dict[str, Attribute] = {
                "modelcast.region": self._region,
                "modelcast.state": str(after.state),
                "pods": len(after.pods),
            }
            self._sink.emit(SpanRecord(work.key, f"region {self._region}", work.began_ns, now_ns, (), path, about))

    def _begin(self, model: str, event: Event, after: Replica, now_ns: int) -> _Work:
        key = TraceKey(after.facts.saved.registry_id, model, after.generation)
        read_ns = 0
        if isinstance(event, Folded) and event.asked_at > float("-inf"):
            read_ns = int(max(0.0, asyncio.get_running_loop().time() - event.asked_at) * SECOND_NS)
        work = self._work[model] = _Work(key, now_ns - read_ns)
        self._emit(work, "wake", work.began_ns, now_ns)
        return work

    def _ended(self, work: _Work, event: Event, now_ns: int) -> None:
        match event:
            case Fetched(digest, transfer) if digest in work.fetches:
                work.attempts += 1
                path = (*region_path(self._region), self._life, str(work.attempts))
                cost: dict[str, Attribute] = {
                    "way": transfer.kind,
                    "bytes_moved": transfer.bytes_moved,
                    "bytes_saved": transfer.bytes_saved,
                }
                seconds = {f"seconds.{name}": took for name, took in transfer.stage_seconds.items()}
                self._emit(work, "fetch", work.fetches.pop(digest), now_ns, about={**cost, **seconds}, path=path)
                staging_ns = int(transfer.stage_seconds.get("stage", 0.0) * SECOND_NS)
                self._sink.emit(SpanRecord(work.key, "stage", now_ns - staging_ns, now_ns, path))
            case FetchFailed(digest, message) if digest in work.fetches:
                self._emit(work, "fetch", work.fetches.pop(digest), now_ns, error=message)
            case Loaded(pod) if pod in work.loads:
                work.loaded[pod] = now_ns
                self._emit(work, "load", work.loads.pop(pod), now_ns, about={"modelcast.pod": pod})
            case LoadBroken(pod=pod, message=message) | LoadRefused(pod=pod, message=message) if pod in work.loads:
                self._emit(work, "load", work.loads.pop(pod), now_ns, about={"modelcast.pod": pod}, error=message)
            case PodLost(pod, message) if pod in work.loads:
                self._emit(work, "load", work.loads.pop(pod), now_ns, about={"modelcast.pod": pod}, error=message)

    def _read_back(self, work: _Work, after: Replica, now_ns: int) -> None:
        """Pods that were read, and serve it: what they said is believed from now on, whoever had ordered it."""
        for pod, view in after.pods.items():
            if pod not in work.read and after.confirms(view):
                work.read.add(pod)
                self._emit(work, "read back", work.loaded.pop(pod, now_ns), now_ns, about={"modelcast.pod": pod})

    def _emit(
        self,
        work: _Work,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        about: Mapping[str, Attribute] | None = None,
        path: tuple[str, ...] | None = None,
        error: str = "",
    ) -> None:
        parent = region_path(self._region)
        self._sink.emit(SpanRecord(work.key, name, began_ns, ended_ns, parent, path, dict(about or {}), error))


class SpanOutbox:
    """A ``RecordOutbox``: a span of the acknowledgement by which Kafka knows that the region serves an entry."""

    def __init__(self, outbox: RecordOutbox, sink: SpanSink) -> None:
        self._outbox, self._sink = outbox, sink
        self._delivered: dict[str, int] = {}  # model -> generation

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Delivered, headers: Mapping[str, bytes], /
    ) -> None:
        """See ``RecordOutbox``."""
        self._outbox.send(topic, key, value, self._spanned(value, on_delivery), headers)

    def _spanned(self, value: bytes, on_delivery: Delivered) -> Delivered:
        try:
            ack = decode_as(ModelAck, value)
        except DecodeError:
            return on_delivery
        if ack.state is not State.SERVING or self._delivered.get(ack.model) == ack.generation:
            return on_delivery
        began_ns = time.time_ns()

        def delivered(done: bool) -> None:
            if done and self._delivered.get(ack.model) != ack.generation:
                self._delivered[ack.model] = ack.generation
                trace_key = TraceKey(ack.registry_id, ack.model, ack.generation)
                self._sink.emit(SpanRecord(trace_key, "ack", began_ns, time.time_ns(), region_path(ack.region)))
            on_delivery(done)

        return delivered


def _is_settled(replica: Replica) -> bool:
    """Whether nothing more is to come: all pods serve it, or there are none and it is staged."""
    return replica.state is State.SERVING or (replica.state is State.STAGED and not replica.pods)
