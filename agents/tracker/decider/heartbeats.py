"""Which regions were heard of, and when, by the clock that the tracker measures with."""

from collections import deque
from dataclasses import dataclass, field

from modelcast.schemas.records import RegionHeartbeat

SAMPLES = 32
REGION_SAMPLES = 8
WORKERS_MAX = 256
"""Workers kept a region; of more, those that were not heard for longest go."""
WORKER_SECONDS_MAX = 24 * 3600.0
"""Seconds after which a silent worker is forgotten: as long as the live view shows it."""


@dataclass(slots=True)
class Heartbeats:
    """The last heartbeat of each region's workers, ``WORKERS_MAX`` at most.

    Kafka stamps heartbeats as it appends them (LogAppendTime). How far its clock is from ours shows in the ones
    that arrive live: the least difference among the last few is the clocks', what exceeds it is delay.
    """

    heard_us: dict[str, int] = field(default_factory=dict)  # region -> Kafka's clock
    workers: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # region/worker -> Kafka's clock, raw
    _offsets_us: dict[str, deque[int]] = field(default_factory=dict)  # region -> Kafka's clock less the region's
    _differences_us: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def hear(self, beat: RegionHeartbeat, raw: bytes, appended_us: int, live_at_us: int | None) -> None:
        """Note a heartbeat.

        Args:
            beat: the heartbeat.
            raw: its bytes.
            appended_us: when Kafka received it, by its clock.
            live_at_us: our clock when it arrived; None if it lay there before we began to read.
        """
        self.heard_us[beat.region] = max(appended_us, self.heard_us.get(beat.region, 0))
        name = f"{beat.region}/{beat.worker}"
        if name not in self.workers:
            self._make_room(beat.region)
        self.workers[name] = (appended_us, raw)
        offsets = self._offsets_us.setdefault(beat.region, deque(maxlen=REGION_SAMPLES))
        offsets.append(appended_us - beat.sent_at_us)
        if live_at_us is not None:
            self._differences_us.append(live_at_us - appended_us)

    def _make_room(self, region: str) -> None:
        """Forget what is silent for too long, and the longest silent where there are too many."""
        oldest_first = sorted(self.workers_of(region), key=lambda name: self.workers[name][0])
        silent_us = self.heard_us[region] - int(WORKER_SECONDS_MAX * 1_000_000)
        for count, name in zip(range(len(oldest_first), 0, -1), oldest_first, strict=True):
            if count >= WORKERS_MAX or self.workers[name][0] < silent_us:
                del self.workers[name]

    def workers_of(self, region: str) -> list[str]:
        """The region's workers that were heard of, as ``region/worker``."""
        return [name for name in self.workers if name.startswith(f"{region}/")]

    def forget(self, region: str) -> None:
        """The region was never heard of."""
        for name in self.workers_of(region):
            del self.workers[name]
        self.heard_us.pop(region, None)
        self._offsets_us.pop(region, None)

    @property
    def ahead_us(self) -> int:
        """How far our clock is ahead of Kafka's."""
        return min(self._differences_us, default=0)

    def by_our_clock(self) -> dict[str, int]:
        """Region to when it was last heard, by our clock."""
        ahead = self.ahead_us
        return {region: heard + ahead for region, heard in self.heard_us.items()}

    def ahead_of_us(self) -> dict[str, int]:
        """Region to how far our clock is ahead of its clock. The least of a few: what exceeds it is delay."""
        ahead = self.ahead_us
        return {region: min(offsets) + ahead for region, offsets in self._offsets_us.items()}

    def ahead_of(self, region: str) -> int:
        """How far our clock is ahead of a region's; 0 where it was not heard."""
        offsets = self._offsets_us.get(region)
        return min(offsets) + self.ahead_us if offsets else 0

    def silent(self, regions: tuple[str, ...], now_us: int, after_seconds: float) -> frozenset[str]:
        """Which of ``regions`` were not heard of for longer than ``after_seconds``."""
        heard = self.by_our_clock()
        return frozenset(r for r in regions if now_us - heard.get(r, 0) > after_seconds * 1_000_000)
