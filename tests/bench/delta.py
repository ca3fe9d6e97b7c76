"""How small deltas are and how fast: against the entropy that bounds them, zstd, gzip and memcpy, in one run.

Pairs are made here. The bound is the empirical conditional entropy of the difference given the old value's exponent
(over the rows of 64 values that changed, where changes cluster). It is taken from counts, so where nearly every
difference is unique (fp32) it comes out too low on small files, and the share of the bound is understated.
Codec speeds are of full-model bytes, from mapped files to memory, without hashing and writing; ``make`` and ``apply``
are the whole calls, with SHA-256 of both files, fsync and rename. MB/s, medians, with minimum and maximum.

    python -m tests.bench.delta --json delta.json [--rounds 5] [--mib 64] [--slow] [--threads 2]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.infra import delta
from modelcast.infra.delta import container, frames, kernels, pipeline
from modelcast.infra.delta.dtypes import SAFETENSORS
from modelcast.infra.delta.files import mapped
from modelcast.infra.delta.layouts import layout_of_data
from modelcast.infra.delta.make_file import plan_of
from modelcast.infra.delta.plan import plan_whole
from tests.infra.delta.pairs import adam_step, bf16, safetensors_bytes, weights

Values = NDArray[Any]
LAYERS = 16


def fp8(values: Values) -> NDArray[np.uint8]:
    """Floats as e4m3 bits, scaled to use its range; halves round up."""
    bits = (np.clip(np.abs(values) * 256, 2.0**-6, 440).astype(np.float32).view(np.uint32) + (1 << 19)) >> 20
    return ((bits - (120 << 3)).astype(np.uint8) & 0x7F) | (np.signbit(values).astype(np.uint8) << 7)


def lora(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A rank-8 update merged into the last tenth."""
    rng = np.random.default_rng(2)
    rows = len(values) // 10 // 1024
    update = (rng.standard_normal((rows, 8)) @ rng.standard_normal((8, 1024)) * 3e-4).astype(np.float32)
    return np.concatenate(
        [values[: len(values) - rows * 1024], values[len(values) - rows * 1024 :] + update.reshape(-1)]
    )


def some_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """2 % of the rows of an embedding table, by a step."""
    table = values.reshape(-1, 256).copy()
    rows = np.random.default_rng(3).choice(len(table), len(table) // 50, replace=False)
    table[rows] += (np.random.default_rng(4).standard_normal((len(rows), 256)) * 1e-3).astype(np.float32)
    return table.reshape(-1)


def heavy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step with tails far heavier than an optimiser's."""
    return values + (np.random.default_rng(5).standard_t(1.5, len(values)) * 1e-5).astype(np.float32)


def int8(values: NDArray[np.float32]) -> NDArray[np.int8]:
    """Quantised to 127 steps of four deviations."""
    return np.clip(np.round(values * 800), -127, 127).astype(np.int8)


PAIRS: dict[str, tuple[str, Callable[[int], tuple[Values, Values]]]] = {
    "bf16 Adam step": ("BF16", lambda n: (bf16(w := weights(n // 2)), bf16(adam_step(w, 1e-5)))),
    "fp32 Adam step": ("F32", lambda n: (w := weights(n // 4), adam_step(w, 1e-5))),
    "embedding, 2 % of rows": ("BF16", lambda n: (bf16(w := weights(n // 2)), bf16(some_rows(w)))),
    "bf16 LoRA merge": ("BF16", lambda n: (bf16(w := weights(n // 2)), bf16(lora(w)))),
    "fp16 step": ("F16", lambda n: ((w := weights(n // 2)).astype("f2"), adam_step(w, 1e-5).astype("f2"))),
    "fp8 step": ("F8_E4M3", lambda n: (fp8(w := weights(n)), fp8(adam_step(w, 3e-4)))),
    "int8 step": ("I8", lambda n: (int8(w := weights(n)), int8(adam_step(w, 1e-4)))),
    "bf16 heavy tails": ("BF16", lambda n: (bf16(w := weights(n // 2)), bf16(heavy(w)))),
}


def bound_bytes(old: Values, new: Values, dtype: str) -> float:
    """The conditional entropy of the difference given the old exponent, of all values, in bytes."""
    kind = SAFETENSORS[dtype]
    old, new = old.view(kind.unsigned), new.view(kind.unsigned)
    rows = (old != new)[: len(old) // 64 * 64].reshape(-1, 64).any(axis=1)
    share = np.count_nonzero(old != new) / len(old)
    bits = 0.0
    if rows.mean() < 0.9 * (1 - (1 - share) ** 64):
        p = rows.mean()
        bits -= len(rows) * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) if 0 < p < 1 else 0.0
        kept = np.repeat(rows, 64)
        old, new = old[: len(kept)][kept], new[: len(kept)][kept]
    keys = (old >> old.dtype.type(kind.shift)) & old.dtype.type(kind.mask)
    difference = new - old
    for key in np.unique(keys):
        counts = np.unique(difference[keys == key], return_counts=True)[1]
        total = counts.sum()
        bits += float(total * np.log2(total) - (counts * np.log2(counts)).sum())
    return bits / 8


def timed(rounds: int, work: Callable[[], object]) -> list[float]:
    """Seconds of each round, after one that warms up."""
    work()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def speed(size: int, seconds: list[float]) -> dict[str, float]:
    """MB/s: median, minimum and maximum."""
    rates = [size / s / 1e6 for s in seconds]
    return {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}


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

        size = len(target)
        return {"encode_mb_s": speed(size, timed(rounds, encode)), "decode_mb_s": speed(size, timed(rounds, decode))}


def tool(command: list[str], out: Path) -> int | None:
    """The size that a tool makes of the pair, or None where it is not installed."""
    if not shutil.which(command[0]):
        return None
    with out.open("wb") as file:
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
    return out.stat().st_size


def one_pair(folder: Path, name: str, size: int, rounds: int, threads: int, *, slow: bool) -> dict[str, Any]:
    """All figures of one pair."""
    dtype, make_values = PAIRS[name]
    old_values, new_values = make_values(size)
    old, new, made = folder / "old", folder / "new", folder / "delta"
    for path, values in ((old, old_values), (new, new_values)):
        parts = np.array_split(values, LAYERS)
        path.write_bytes(safetensors_bytes({f"layers.{i}.weight": (dtype, p) for i, p in enumerate(parts)}))
    changed = float(
        np.mean(old_values.view(SAFETENSORS[dtype].unsigned) != new_values.view(SAFETENSORS[dtype].unsigned))
    )
    info = delta.make(old, new, made, threads=threads)
    total = new.stat().st_size
    bound = total / bound_bytes(old_values, new_values, dtype)
    figures: dict[str, Any] = {
        "size_bytes": total,
        "changed": changed,
        "ratio": info.ratio,
        "bound": bound,
        "of_bound": info.ratio / bound,
    }
    for kind in ("numba", "numpy"):
        figures[kind] = codec(old, new, made, kind, threads, rounds)
    make_seconds = timed(rounds, lambda: delta.make(old, new, folder / "made", threads=threads))
    apply_seconds = timed(rounds, lambda: delta.apply(old, made, folder / "out", threads=threads))
    figures["make_mb_s"], figures["apply_mb_s"] = speed(total, make_seconds), speed(total, apply_seconds)
    whole, alone = folder / "whole", None
    if SAFETENSORS[dtype].rotates and name.endswith("step"):
        alone = {"ratio": delta.make(None, new, whole, threads=threads).ratio}
        alone |= codec(None, new, whole, "numba", 1, rounds)
    figures["whole_one_thread"] = alone
    copy = np.empty(total, np.uint8)
    source, copy = np.fromfile(new, np.uint8), np.empty(total, np.uint8)
    figures["memcpy_mb_s"] = speed(total, timed(rounds, lambda: np.copyto(copy, source)))
    peers = {
        "gzip": tool(["gzip", "-6", "-c", str(new)], folder / "peer"),
        "zstd -3": tool(["zstd", "-3", "-c", "-q", str(new)], folder / "peer"),
        "zstd -3 --patch-from": tool(
            ["zstd", "-3", "--long=31", "-c", "-q", f"--patch-from={old}", str(new)], folder / "peer"
        ),
    }
    if slow:
        command = ["zstd", "-19", "--long=31", "-T0", "-c", "-q", f"--patch-from={old}", str(new)]
        peers["zstd -19 --patch-from"] = tool(command, folder / "peer")
    figures["peers"] = {k: total / v for k, v in peers.items() if v}
    return figures


def main() -> None:
    """Every pair in turn: a table on the screen, all figures in JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=64, help="size of each model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slow", action="store_true", help="zstd -19 --patch-from, too: minutes a pair")
    parser.add_argument("--only", nargs="+", choices=sorted(PAIRS))
    options = parser.parse_args()
    found: dict[str, Any] = {"threads": options.threads, "load": os.getloadavg()[0], "pairs": {}}
    print(
        f"{'pair':24} {'ratio':>7} {'bound':>7} {'of it':>6} | numba enc, dec | numpy enc, dec | make, apply | memcpy"
    )
    for name in options.only or PAIRS:
        with tempfile.TemporaryDirectory() as folder:
            size = options.mib << 20
            figures = one_pair(Path(folder), name, size, options.rounds, options.threads, slow=options.slow)
        found["pairs"][name] = figures
        rates = [figures[k][w]["median"] for k in ("numba", "numpy") for w in ("encode_mb_s", "decode_mb_s")]
        rates += [figures[k]["median"] for k in ("make_mb_s", "apply_mb_s", "memcpy_mb_s")]
        ratios = f"{figures['ratio']:7.2f} {figures['bound']:7.2f} {figures['of_bound']:6.1%}"
        print(f"{name:24} {ratios} | " + "  ".join(f"{r:6.0f}" for r in rates), flush=True)
        print(" " * 25 + ", ".join(f"{k} {v:.2f}×" for k, v in figures["peers"].items()), flush=True)
        if figures["whole_one_thread"]:
            alone = figures["whole_one_thread"]
            rates = [alone[w]["median"] for w in ("encode_mb_s", "decode_mb_s")]
            print(
                f"{'':25}whole, one thread: {alone['ratio']:.3f}× at {rates[0]:.0f} and {rates[1]:.0f} MB/s", flush=True
            )
    options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
