"""How small deltas are and how fast: against the entropy that bounds them, other tools and memcpy, in one run.

Pairs are made here, three of them by really training a transformer (once; kept in the user's cache). The bound is the
empirical conditional entropy of the difference given the old value's exponent. It is taken from counts, so where nearly
every difference is unique (fp32) it comes out too low on small files, and the share of the bound is understated; the
share of the bound corrected for that (``delta_pairs.bound_bytes``) stands beside it.

Codec speeds are of full-model bytes, from mapped files to memory, without hashing and writing; ``make`` and ``apply``
are the whole calls, with SHA-256 of both files, fsync and rename. MB/s: medians, with minimum and maximum; beside the
wall clock's, what the CPU time of all threads would give on as many free cores, which a busy machine changes less.

    python -m tests.bench.delta --json delta.json [--rounds 5] [--mib 64] [--slow] [--threads 2] [--svg docs/delta.svg]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.infra import delta
from modelcast.infra.delta import container, frames, kernels, pipeline
from modelcast.infra.delta.dtypes import SAFETENSORS
from modelcast.infra.delta.files import mapped
from modelcast.infra.delta.layouts import layout_of_data
from modelcast.infra.delta.make_file import plan_of
from modelcast.infra.delta.plan import plan_whole
from tests.bench import delta_peers, plot_delta
from tests.bench.delta_pairs import PAIRS, WANTED, bound_bytes, changed_share, files_of, total_bytes
from tests.bench.delta_trained import trained
from tests.infra.delta.pairs import Tensors

Speed = dict[str, float]


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
    rates = [size / s / 1e6 for s, _ in seconds]
    cpu = size * threads / max(min(c for _, c in seconds), 1e-9) / 1e6
    return {"median": statistics.median(rates), "min": min(rates), "max": max(rates), "cpu": cpu}


def codec(old: Path | None, new: Path, made: Path, name: str, threads: int, rounds: int) -> dict[str, Speed]:
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


def written(folder: Path, tensors: tuple[Tensors, Tensors]) -> tuple[Path, Path]:
    """Both as files."""
    paths = folder / "old", folder / "new"
    for path, data in zip(paths, files_of(*tensors), strict=True):
        path.write_bytes(data)
    return paths


def one_pair(folder: Path, name: str, size: int, rounds: int, threads: int) -> dict[str, Any]:
    """Our own figures of one pair."""
    tensors = PAIRS[name](size)
    old, new = written(folder, tensors)
    made = folder / "delta"
    info = delta.make(old, new, made, threads=threads)
    total = total_bytes(tensors[1])
    bounds = [total / bound_bytes(*tensors, corrected=c) for c in (False, True)]
    figures: dict[str, Any] = {
        "size_bytes": new.stat().st_size,
        "changed": changed_share(*tensors),
        "ratio": info.ratio,
        "bound": bounds[0],
        "of_bound": info.ratio / bounds[0],
        "of_bound_corrected": info.ratio / bounds[1],
        "wanted": WANTED[name],
    }
    for kind in ("numba", "numpy"):
        figures[kind] = codec(old, new, made, kind, threads, rounds)
    full = new.stat().st_size
    make_seconds = timed(rounds, lambda: delta.make(old, new, folder / "made", threads=threads))
    apply_seconds = timed(rounds, lambda: delta.apply(old, made, folder / "out", threads=threads))
    figures["make_mb_s"], figures["apply_mb_s"] = (
        speed(full, make_seconds, threads),
        speed(full, apply_seconds, threads),
    )
    dtype = SAFETENSORS[next(iter(tensors[1].values()))[0]]
    if dtype.rotates and name.endswith("step"):
        whole = folder / "whole"
        alone: dict[str, Any] = {"ratio": delta.make(None, new, whole, threads=threads).ratio}
        alone["zipnn_published"] = delta_peers.ZIPNN_PUBLISHED.get(dtype.name)
        figures["whole_one_thread"] = alone | codec(None, new, whole, "numba", 1, rounds)
    figures["memcpy_mb_s"] = memcpy(new, rounds)
    for what in ("encode", "decode"):
        for clock in ("median", "cpu"):
            rate = figures["numba"][f"{what}_mb_s"][clock] / figures["memcpy_mb_s"][clock]
            figures[f"{what}_of_memcpy_{'wall' if clock == 'median' else clock}"] = rate
    return figures


def peers_of(folder: Path, name: str, size: int, *, slow: bool) -> dict[str, Any]:
    """The other tools, and this one, on a pair of ``size`` bytes: theirs take minutes on larger ones."""
    old, new = written(folder, PAIRS[name](size))
    ours = delta.make(old, new, folder / "delta")
    return {"size_bytes": new.stat().st_size, "this": {"ratio": ours.ratio}} | delta_peers.measured(
        old, new, folder, slow=slow
    )


def show(name: str, figures: dict[str, Any]) -> None:
    """A few lines a pair."""
    rates = [figures[k][w]["median"] for k in ("numba", "numpy") for w in ("encode_mb_s", "decode_mb_s")]
    rates += [figures[k]["median"] for k in ("make_mb_s", "apply_mb_s", "memcpy_mb_s")]
    shares = f"{figures['of_bound']:6.1%} {figures['of_bound_corrected']:6.1%}"
    print(
        f"{name:30} {figures['ratio']:7.2f} {figures['bound']:7.2f} {shares} | " + "  ".join(f"{r:6.0f}" for r in rates)
    )
    free = [figures["numba"][w]["cpu"] for w in ("encode_mb_s", "decode_mb_s")]
    free += [figures["numpy"]["decode_mb_s"]["cpu"], figures["memcpy_mb_s"]["cpu"]]
    print(
        f"{'':31}by CPU time: numba {free[0]:.0f} and {free[1]:.0f}, numpy decode {free[2]:.0f}, memcpy {free[3]:.0f}; "
        f"of memcpy {figures['encode_of_memcpy_cpu']:.1%} and {figures['decode_of_memcpy_cpu']:.1%}"
    )
    known = {k: v for k, v in figures["peers"].items() if isinstance(v, dict) and "ratio" in v}
    print(f"{'':31}" + ", ".join(f"{k} {v['ratio']:.2f}×" for k, v in known.items()), flush=True)
    alone = figures.get("whole_one_thread")
    if alone:
        rates = [alone[w][c] for w in ("encode_mb_s", "decode_mb_s") for c in ("median", "cpu")]
        print(
            f"{'':31}whole, one thread: {alone['ratio']:.3f}× (ZipNN says {alone['zipnn_published'] or '–'}) at "
            f"{rates[0]:.0f} and {rates[2]:.0f} MB/s (by CPU time {rates[1]:.0f} and {rates[3]:.0f})",
            flush=True,
        )


def main() -> None:
    """Every pair in turn: a table on the screen, all figures in JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=64, help="size of each model")
    parser.add_argument("--peer-mib", type=int, default=16, help="size of the models that other tools work on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slow", action="store_true", help="zstd -19 and bsdiff, too: a minute a pair")
    parser.add_argument("--only", nargs="+", choices=sorted(PAIRS))
    parser.add_argument("--svg", type=Path, help="draw the ratios")
    options = parser.parse_args()
    found: dict[str, Any] = {"threads": options.threads, "load": os.getloadavg()[0], "pairs": {}}
    names = options.only or list(PAIRS)
    if any(n.startswith("trained") for n in names):
        trained()
    columns = f"{'pair':30} {'ratio':>7} {'bound':>7} {'of it':>6} {'corr.':>6}"
    print(f"{columns} | numba enc, dec | numpy enc, dec | make, apply | memcpy")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            figures = one_pair(Path(folder), name, options.mib << 20, options.rounds, options.threads)
            figures["peers"] = peers_of(Path(folder), name, options.peer_mib << 20, slow=options.slow)
        found["pairs"][name] = figures
        show(name, figures)
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(plot_delta.svg(found))


if __name__ == "__main__":
    main()
