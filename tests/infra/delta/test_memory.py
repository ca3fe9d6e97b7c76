"""Memory beyond the mapped files stays within what is promised, whatever the files' size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.infra.delta.pairs import adam_step, bf16, safetensors_bytes, weights, write

PROMISED_MIB = 256
SCRIPT = """
import os, sys, threading, time
from pathlib import Path
from modelcast.infra import delta
from modelcast.infra.delta import frames, kernels_numba  # loaded before counting starts

def anonymous_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith("RssAnon"))

before, peak, over = anonymous_kib(), 0, threading.Event()
def watch():
    global peak
    while not over.wait(0.005):
        peak = max(peak, anonymous_kib())
threading.Thread(target=watch, daemon=True).start()
old, new, made, out = map(Path, sys.argv[2:])
if sys.argv[1] == "make":
    delta.make(old, new, made, threads=16)
else:
    delta.apply(old, made, out, threads=16)
over.set()
print((max(peak, anonymous_kib()) - before) // 1024)
"""


def peak_mib(what: str, folder: Path) -> int:
    paths = [str(folder / n) for n in ("old", "new", "delta", "out")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what, *paths], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


def bf16_pair() -> tuple[bytes, bytes]:
    values = weights(64 << 20)  # 128 MiB of bf16: with 16 threads every block would be in memory at once
    old, new = bf16(values), bf16(adam_step(values, 1e-5))
    return safetensors_bytes({"t": ("BF16", old)}), safetensors_bytes({"t": ("BF16", new)})


def fp32_pair() -> tuple[bytes, bytes]:
    values = weights(32 << 20)
    return safetensors_bytes({"t": ("F32", values)}), safetensors_bytes({"t": ("F32", adam_step(values, 1e-5))})


def plain_pair() -> tuple[bytes, bytes]:
    old = np.random.default_rng(0).bytes(96 << 20)
    return old, old[1000:] + bytes(1000)


def few_rows_pair() -> tuple[bytes, bytes]:
    table = bf16(weights(64 << 20)).reshape(-1, 256)
    later = table.copy()
    later[::50] += 3
    return safetensors_bytes({"t": ("BF16", table)}), safetensors_bytes({"t": ("BF16", later)})


@pytest.mark.parametrize("pair", [few_rows_pair, bf16_pair, fp32_pair, plain_pair])
def test_sixteen_threads_stay_within_the_promise(pair: object, tmp_path: Path) -> None:
    old, new = pair()  # type: ignore[operator]
    write(tmp_path / "old", old)
    write(tmp_path / "new", new)
    assert peak_mib("make", tmp_path) < PROMISED_MIB
    assert peak_mib("apply", tmp_path) < PROMISED_MIB
    assert (tmp_path / "out").read_bytes() == new
