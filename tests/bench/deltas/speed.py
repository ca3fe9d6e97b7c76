"""How fast deltas are encoded and decoded, and how fast memory is copied."""

import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.deltas.codec import container, frames
from modelcast.deltas.codec.files import mapped
from modelcast.deltas.codec.kernels import pipeline
from modelcast.deltas.codec.kernels import selection as kernels
from modelcast.deltas.codec.layouts.detection import layout_of_data
from modelcast.deltas.codec.make_file import plan_of
from modelcast.deltas.codec.work import plan_whole
from tests.bench.figures import spread

Speed = dict[str, float]
WAYS = ("encode", "decode")
CLOCKS = {"wall": "median", "cpu": "cpu"}  # what a speed has by each


def timed(rounds: int, work: Callable[[], object]) -> list[tuple[float, float]]:
    """Seconds of each round, by the wall and of CPU in all threads, after one that warms up."""
    work()
    found = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return found


def speed(size: int, seconds: list[tuple[float, float]], threads: int = 1) -> Speed:
    """MB/s: median, minimum and maximum by the wall; ``cpu``: the best that its CPU time would give on free cores."""
    cpu = size * threads / max(min(c for _, c in seconds), 1e-9) / 1e6
    return {**spread([size / s / 1e6 for s, _ in seconds]), "cpu": cpu}


def codec(old: Path | None, new: Path, made: Path, name: str, threads: int, rounds: int) -> dict[str, Any]:
    """Encode and decode, mapped files to memory."""
    chosen = kernels.choose(0, name)
    with mapped(new) as target, mapped(made) as packed, mapped(old or new) as base:
        plan = plan_of(base, target) if old else plan_whole(layout_of_data(target), len(target))
        source = base if old else memoryview(b"")
        index = container.decode_index(packed)
        starts = list(accumulate((f.size for f in index.frames), initial=index.payloads_start))

        def encode() -> None:
            for _ in pipeline.in_order(lambda w: frames.encode(w, source, target, chosen), plan, threads):
                pass

        def decode_one(at: int) -> None:
            frame = index.frames[at]
            if frame.method is container.Method.COPY:
                for s in frame.segments:
                    np.frombuffer(base[s.old : s.old + s.old_size], np.uint8).copy()
            else:
                frames.decode(frame, packed[starts[at] : starts[at + 1]], source, chosen)

        def decode() -> None:
            for _ in pipeline.in_order(decode_one, range(len(index.frames)), threads):
                pass

        return {
            "encode_mb_s": speed(len(target), timed(rounds, encode), threads),
            "decode_mb_s": speed(len(target), timed(rounds, decode), threads),
        }


def memcpy(new: Path, rounds: int) -> Speed:
    """Copying the file's bytes in memory, on one thread."""
    source = np.fromfile(new, np.uint8)
    copy = np.empty_like(source)
    return speed(len(source), timed(max(rounds, 5), lambda: np.copyto(copy, source)))


def shares(speeds: dict[str, Any], copying: Speed) -> dict[str, float]:
    """What ``codec`` found, as ratios to ``memcpy``: ``encode_of_memcpy_wall``, ``…_cpu``, and of decoding."""
    return {
        f"{way}_of_memcpy_{clock}": speeds[f"{way}_mb_s"][key] / copying[key]
        for way in WAYS
        for clock, key in CLOCKS.items()
    }
