"""Memory beyond the mapped files stays within what is promised, whatever the files' size."""

import hashlib
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from modelcast.deltas.codec import container
from modelcast.deltas.codec.container import FRAME_BYTES_MAX, Frame, Header, Method, Segment
from modelcast.deltas.codec.kernels import zstd
from modelcast.deltas.codec.layouts.dtypes import BYTES, by_name
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights, write

PROMISED_MIB = 256
pytestmark = pytest.mark.timeout(1800)
SCRIPT = """
import os, sys, threading, time
from pathlib import Path
from modelcast.deltas import codec as delta
from modelcast.deltas.codec import frames
from modelcast.deltas.codec.kernels import compiled

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
        [sys.executable, "-c", SCRIPT, what, *paths], capture_output=True, text=True, timeout=1800, check=False
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


@pytest.mark.soak
@pytest.mark.parametrize("pair", [bf16_pair, few_rows_pair, fp32_pair, plain_pair])
def test_sixteen_threads_stay_within_the_promise(pair: object, tmp_path: Path) -> None:
    old, new = pair()  # type: ignore[operator]
    write(tmp_path / "old", old)
    write(tmp_path / "new", new)
    assert peak_mib("make", tmp_path) < PROMISED_MIB
    assert peak_mib("apply", tmp_path) < PROMISED_MIB
    assert (tmp_path / "out").read_bytes() == new


@pytest.mark.soak
def test_a_file_of_600_mib_takes_no_more_than_a_small_one(tmp_path: Path) -> None:
    values = weights(8 << 20)
    tiles = bf16(values), bf16(adam_step(values, 1e-5))
    header = safetensors_bytes({"t": ("BF16", np.empty((0,), np.uint16))})
    text = header[8:].rstrip().replace(b"[0, 0]", b"[0, %d]" % (600 << 20)).replace(b"[0]", b"[%d]" % (300 << 20))
    for name, tile in zip(("old", "new"), tiles, strict=True):
        with (tmp_path / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for i in range(600 // 16):
                file.write(np.roll(tile, 1000 * i).tobytes())
            file.write(tile[: (8 << 20) // 2].tobytes())
    assert (tmp_path / "new").stat().st_size == 8 + len(text) + (600 << 20)
    assert peak_mib("make", tmp_path) < PROMISED_MIB
    assert (tmp_path / "delta").stat().st_size < (600 << 20) // 12
    assert peak_mib("apply", tmp_path) < PROMISED_MIB  # which compares the digest of what it made
    assert (tmp_path / "out").stat().st_size == (tmp_path / "new").stat().st_size


@pytest.mark.soak
def test_a_model_of_which_no_tensor_is_aligned_takes_no_more(tmp_path: Path) -> None:
    old, new = fp32_pair()
    length = int.from_bytes(old[:8], "little")
    for name, data in (("old", old), ("new", new)):  # one byte more of header: every value lies askew
        write(tmp_path / name, (length + 1).to_bytes(8, "little") + data[8 : 8 + length] + b" " + data[8 + length :])
    assert peak_mib("make", tmp_path) < PROMISED_MIB
    assert peak_mib("apply", tmp_path) < PROMISED_MIB


def _nothing_changes(dtype: str) -> tuple[Method, str, bytes]:
    count = FRAME_BYTES_MAX // by_name(dtype).width
    fixed = struct.pack("<BBHIII", 0, 0, 1, count, 0, 0)
    return Method.GROUPED, dtype, fixed + b"\0" + struct.pack("<IBI", count, 0, 0)


@pytest.mark.parametrize(
    ("method", "dtype", "payload"),
    [
        *(pytest.param(*_nothing_changes(dtype), marks=pytest.mark.soak) for dtype in ("bf16", "fp8-e4m3", "fp64")),
        (Method.ZSTD, "bytes", zstd.compress_against(bytes(FRAME_BYTES_MAX), bytes(FRAME_BYTES_MAX), level=1)),
    ],
)
def test_few_bytes_that_make_frames_of_full_size_take_no_more(
    method: Method, dtype: str, payload: bytes, tmp_path: Path
) -> None:
    count = 8
    size = count * FRAME_BYTES_MAX
    for name in ("old", "new"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    with (tmp_path / "new").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    kind = BYTES if dtype == "bytes" else by_name(dtype)
    frames = [
        Frame(method, kind, (Segment(at, FRAME_BYTES_MAX, at, FRAME_BYTES_MAX),), len(payload), zlib.crc32(payload))
        for at in range(0, size, FRAME_BYTES_MAX)
    ]
    made = container.encode_index(Header(size, digest, size, digest), frames) + payload * count
    assert len(write(tmp_path / "delta", made).read_bytes()) < 100_000
    assert peak_mib("apply", tmp_path) < PROMISED_MIB
