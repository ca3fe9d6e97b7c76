"""Events to all clients: encoded once and kept for a minute; no client is waited for."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelcast.schemas.text.printable import printable

RING_SECONDS = 60.0
RING_EVENTS_MAX = 10_000
QUEUE_MAX = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """An event of the last minute."""

    number: int
    at: float
    frame: bytes


@dataclass(eq=False, slots=True)
class StreamWatcher:
    """One open stream. What does not fit its queue is replaced by one ``resync``."""

    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    resyncs: int = 0

    def put(self, frame: bytes, resync: bytes) -> None:
        """Hand it a frame; if it is behind, ``resync`` instead of everything that waits."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            self.resyncs += 1
            frame = resync
        self.queue.put_nowait(frame)


class EventStream:
    """The events since this dashboard started.

    Args:
        boot: names that life.
    """

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.watchers: set[StreamWatcher] = set()
        self.number = 0
        self.deliveries = 0
        self.resyncs = 0
        self._ring: deque[Kept] = deque(maxlen=RING_EVENTS_MAX)

    def send(self, kind: str, data: Any, now: float) -> None:
        """Send an event to all watchers and keep it for those that come back.

        Args:
            kind: the event's name.
            data: what becomes its JSON.
            now: monotonic seconds.
        """
        self.number += 1
        frame = self.frame(kind, data, self.number)
        self._ring.append(Kept(self.number, now, frame))
        while self._ring and now - self._ring[0].at > RING_SECONDS:
            self._ring.popleft()
        resync = self.frame("resync", {}, self.number)
        for watcher in self.watchers:
            before = watcher.resyncs
            watcher.put(frame, resync)
            self.resyncs += watcher.resyncs - before
        self.deliveries += len(self.watchers)

    def frame(self, kind: str, data: Any, number: int | None = None) -> bytes:
        """One event as it travels."""
        head = b"" if number is None else f"id: {self.boot}-{number}\n".encode()
        return head + f"event: {kind}\ndata: ".encode() + dumps(data) + b"\n\n"

    def join(self, last_event_id: str) -> tuple[StreamWatcher, list[bytes]]:
        """A new watcher, and what it missed since ``last_event_id``: a ``resync`` if that is not known any more."""
        watcher = StreamWatcher()
        self.watchers.add(watcher)
        return watcher, self._missed(last_event_id)

    def leave(self, watcher: StreamWatcher) -> None:
        """Forget a watcher that is gone."""
        self.watchers.discard(watcher)

    def _missed(self, last_event_id: str) -> list[bytes]:
        boot, _, text = last_event_id.rpartition("-")
        if not last_event_id:
            return []
        if boot != self.boot or not text.isascii() or not text.isdigit():
            return [self.frame("resync", {}, self.number)]
        last = int(text)
        oldest = self._ring[0].number if self._ring else self.number + 1
        if last > self.number or last < oldest - 1:
            return [self.frame("resync", {}, self.number)]
        return [kept.frame for kept in self._ring if kept.number > last]


def dumps(data: Any) -> bytes:
    """JSON in one line, without the characters that turn the direction of writing: names come from strangers."""
    encoded = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)
    if encoded.isascii():
        return encoded
    return printable(encoded.decode()).encode()
