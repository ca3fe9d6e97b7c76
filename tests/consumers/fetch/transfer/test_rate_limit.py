"""The rate limit: nobody exceeds it over any window, by the caller's clock; it changes while transfers run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.consumers.fetch import ArtifactCache, Context, Fetcher
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.consumers.fetch.transfer.rate_limit import (
    BURST_SECONDS,
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    RateLimit,
    TokenBucket,
)
from modelcast.consumers.fetch.transfer.stall_watchdog import StallWatchdog, Stopwatch
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.ports import ByteStream
from tests.consumers.fetch.publishing import MIB, Wrapped, noise, publish

RATE = 1000.0


def read_for(bucket: TokenBucket, seconds: float, chunk: int, start: float = 0.0) -> list[tuple[float, int]]:
    """What a reader that always waits as told gets through: (when, bytes)."""
    now, came = start, []
    while now < start + seconds:
        came.append((now, chunk))
        now += bucket.spend(chunk, now)
        now += 0.001  # the bytes themselves
    return came


def most_in_a_window(came: list[tuple[float, int]], window: float) -> int:
    return max(sum(n for at, n in came if begin <= at < begin + window) for begin, _ in came)


@settings(deadline=None)
@given(chunk=st.integers(1, 400), pause=st.floats(0, 5))
def test_no_window_of_ten_seconds_brings_a_tenth_more_than_the_rate_limit(chunk: int, pause: float) -> None:
    bucket = TokenBucket(RATE, 0.0)
    came = read_for(bucket, 12.0, chunk) if chunk > 20 else read_for(bucket, 11.0, 20)
    came += read_for(bucket, 8.0, max(chunk, 20), start=came[-1][0] + 1 + pause)
    assert most_in_a_window(came, 10.0) <= RATE * 10 + RATE * BURST_SECONDS + 400
    assert most_in_a_window(came, 10.0) <= RATE * 10 * 1.1


def test_a_rate_limit_is_used_up() -> None:
    assert sum(n for _, n in read_for(TokenBucket(RATE, 0.0), 10.0, 100)) >= RATE * 10 * 0.95


def test_two_buckets_of_half_the_rate_stay_within_the_whole() -> None:
    both = [pair for _ in range(2) for pair in read_for(TokenBucket(RATE / 2, 0.0), 20.0, 90)]
    assert most_in_a_window(both, 10.0) <= RATE * 10 * 1.1


def test_a_debt_is_paid_at_the_new_rate() -> None:
    bucket = TokenBucket(RATE, 0.0)
    assert bucket.spend(10_000, 0.0) == 10.0
    bucket.change(10 * RATE, 0.0)
    assert bucket.owed_seconds(0.0) == 1.0
    bucket.change(None, 0.0)
    assert bucket.owed_seconds(0.0) == 0.0


def test_a_rate_of_nothing_waits_and_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = TokenBucket(0.0, 5.0)
    assert bucket.spend(10, 5.0) > 0
    bucket.change(RATE, 5.0)
    assert bucket.owed_seconds(5.0) == bucket.owed_seconds(4.0) == 0.01


def test_reads_are_small_where_the_rate_limit_is_low() -> None:
    assert RateLimit(None).chunk_bytes() == CHUNK_BYTES_MAX
    assert RateLimit(1.0).chunk_bytes() == CHUNK_BYTES_MIN
    assert RateLimit(1e12).chunk_bytes() == CHUNK_BYTES_MAX


def test_reads_grow_with_the_rate_limit_while_one_is_under_way(origin: MemoryStore, cache: ArtifactCache) -> None:
    """A fetch that began while others had most of the link is not held back when they are done."""
    limit, sizes = RateLimit(1e6, share=lambda: 0.01 if len(sizes) < 3 else 1.0), []

    class Notes(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield _Noted(stream)

    class _Noted:
        def __init__(self, stream: ByteStream) -> None:
            self.info, self._stream = stream.info, stream

        def readinto(self, buffer: memoryview) -> int:
            sizes.append(len(buffer))
            return self._stream.readinto(buffer)

    manifest = publish(origin, {"w": noise(MIB)})
    Fetcher(Notes(origin), None, cache, Link(limit)).fetch(manifest.digest)
    assert sizes[:3] == [CHUNK_BYTES_MIN] * 3
    assert sizes[4] > 20 * CHUNK_BYTES_MIN


def test_a_lifted_limit_frees_who_waits() -> None:
    limit = RateLimit(1.0)
    waits = threading.Event()

    class Noted:
        def is_set(self) -> bool:
            waits.set()
            return False

    reader = threading.Thread(target=lambda: limit.spend(10**9, Context(Noted())))
    reader.start()
    assert waits.wait(60)
    limit.change(None)
    reader.join(60)
    assert not reader.is_alive()


def test_two_workers_together_stay_within_their_rate_limit(tmp_path: Path) -> None:
    """In real time: what they need at least; how much longer a slow machine takes is no matter."""
    rate = 2 * MIB
    origin = MemoryStore("origin")
    manifests = [publish(origin, {"w": noise(2 * MIB, seed)}) for seed in range(2)]
    fetchers = [
        Fetcher(origin, None, ArtifactCache(tmp_path / str(n)), Link(RateLimit(rate, lambda: 0.5))) for n in range(2)
    ]
    threads = [
        threading.Thread(target=fetcher.fetch, args=(manifest.digest,))
        for fetcher, manifest in zip(fetchers, manifests, strict=True)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert time.monotonic() - began >= 4 * MIB / rate / 1.1 - BURST_SECONDS


# --- stall watchdog


def test_a_trickle_is_below_the_floor_only_after_a_whole_window() -> None:
    watchdog = StallWatchdog(1024, 30.0, 0.0)
    assert not watchdog.is_below_floor(10, 29.9)
    assert watchdog.is_below_floor(10, 30.0)
    assert not watchdog.is_below_floor(40 * 1024, 60.0)


def test_waiting_for_the_rate_limit_is_not_held_against_the_link() -> None:
    watchdog = StallWatchdog(1024, 30.0, 0.0)
    assert not watchdog.is_below_floor(5 * 1024, 1.0)
    watchdog.excuse(29.0)
    assert not watchdog.is_below_floor(1, 31.0)


def test_a_stopwatch_counts_overlapping_reads_once() -> None:
    watch = Stopwatch()
    watch.start(1.0)
    watch.start(2.0)
    watch.stop(3.0)
    assert watch.seconds(3.5) == 2.5
    watch.stop(4.0)
    assert watch.seconds(9.0) == 3.0
