"""Damaged and hostile deltas: an error that says so, nothing written, no memory taken for claims."""

import dataclasses
import random
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard

from modelcast.deltas import codec as delta
from modelcast.deltas.codec import container
from modelcast.deltas.codec.container import Frame, Header, Method, Segment
from modelcast.deltas.codec.kernels import zstd
from modelcast.deltas.codec.layouts.dtypes import BYTES, by_name
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ExitCode, VerificationFailed
from tests.support.lanes import often
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights, write

Files = tuple[Path, Path, bytes]
FLIPS = often(1_000, 100)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Base, delta, and what it makes: a small delta with frames of every method but raw."""
    folder = tmp_path_factory.mktemp("pair")
    values = weights(20_000)
    rows = bf16(weights(64 * 300, 4))
    changed = rows.copy()
    changed[6400:7040] += 1
    old = {
        "step": ("BF16", bf16(values)),
        "dense": ("F32", values),
        "rows": ("F16", rows),
        "same": ("I32", np.arange(50, dtype=np.int32)),
    }
    new = {
        "step": ("BF16", bf16(adam_step(values, 1e-5))),
        "dense": ("F32", adam_step(values, 1e-5)),
        "rows": ("F16", changed),
        "same": old["same"],
        "fresh": ("BF16", bf16(weights(3000, 9))),
    }
    base = write(folder / "old", safetensors_bytes(old))
    wanted = safetensors_bytes(new)
    info = delta.make(base, write(folder / "new", wanted), folder / "delta")
    assert {m.method for m in info.methods} == {"copy", "grouped", "zstd", "planes"}
    return base, folder / "delta", wanted


def refuse(base: Path, data: bytes, folder: Path, wanted: bytes) -> VerificationFailed:
    """Apply damaged bytes: refused in words, and the folder holds nothing of it."""
    damaged, out = write(folder / "damaged", data), folder / "out"
    with pytest.raises(VerificationFailed) as caught:
        delta.apply(base, damaged, out, expected_digest=sha256_of(wanted), size_bytes_max=len(wanted), kernels="numpy")
    assert caught.value.exit_code == ExitCode.VERIFICATION_FAILED
    assert caught.value.subject
    assert [p.name for p in folder.iterdir()] == ["damaged"]
    return caught.value


def test_bits_that_were_flipped_anywhere(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    sound = path.read_bytes()
    for bit in random.Random(1).sample(range(8 * len(sound)), FLIPS):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        refuse(base, bytes(data), tmp_path, wanted)


def test_flipped_bits_under_checksums_that_were_put_right(files: Files, tmp_path: Path) -> None:
    """Checksums stop accidents only: here the decoders themselves meet each flip."""
    base, path, wanted = files
    sound = path.read_bytes()
    index = container.decode_index(memoryview(sound))
    body = sound[index.payloads_start :]
    refused = 0
    for bit in random.Random(2).sample(range(8 * len(body)), FLIPS):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        at, frames = 0, []
        for frame in index.frames:
            frames.append(dataclasses.replace(frame, crc=zlib.crc32(flipped[at : at + frame.size])))
            at += frame.size
        data = container.encode_index(index.header, frames) + bytes(flipped)
        try:
            delta.apply(base, write(tmp_path / "damaged", data), tmp_path / "out", kernels="numpy")
        except VerificationFailed:
            refused += 1
        else:  # padding inside a compressed part may mean nothing: then the file is right
            assert (tmp_path / "out").read_bytes() == wanted
            (tmp_path / "out").unlink()
    assert refused > 0.98 * FLIPS


def test_flipped_bits_in_the_index_under_right_checksums(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    sound = path.read_bytes()
    start = container.HEADER_SIZE
    packed_size = container.decode_header(memoryview(sound))[1][2]
    raw = zstandard.ZstdDecompressor().decompress(sound[start : start + packed_size])
    for bit in random.Random(3).sample(range(8 * len(raw)), min(8 * len(raw), FLIPS)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        packed = zstd.compress(bytes(flipped), level=3)
        fixed = sound[: start - 12] + struct.pack("<II", len(packed), zlib.crc32(packed))
        data = fixed + struct.pack("<I", zlib.crc32(fixed)) + packed + sound[start + packed_size :]
        # A copy's type means nothing: such a flip is let through, and makes the right file.
        out = tmp_path / "out"
        try:
            delta.apply(base, write(tmp_path / "damaged", data), out, kernels="numpy")
        except VerificationFailed:
            assert not out.exists()
        else:
            assert out.read_bytes() == wanted
            out.unlink()


def test_every_truncation(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    sound = path.read_bytes()
    lengths = [*range(container.HEADER_SIZE + 300), *range(container.HEADER_SIZE + 300, len(sound), 97), len(sound) - 1]
    for length in lengths:
        refuse(base, sound[:length], tmp_path, wanted)


def test_bytes_after_the_end(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    refuse(base, path.read_bytes() + b"\0", tmp_path, wanted)


def test_another_base_is_refused_before_anything_is_decoded(files: Files, tmp_path: Path) -> None:
    base, path, _ = files
    other = bytearray(base.read_bytes())
    other[-1] ^= 1
    data = path.read_bytes()
    broken = data[: container.HEADER_SIZE] + bytes(len(data) - container.HEADER_SIZE)
    with pytest.raises(delta.WrongBase, match="another file"):
        delta.apply(write(tmp_path / "base", bytes(other)), write(tmp_path / "d", broken), tmp_path / "out")
    with pytest.raises(delta.WrongBase):
        delta.apply(None, path, tmp_path / "out")


def test_a_base_that_the_caller_has_proved_is_compared_without_reading_it(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    with pytest.raises(delta.WrongBase):
        delta.apply(base, path, tmp_path / "out", base_digest="sha256:" + 64 * "0")
    delta.apply(base, path, tmp_path / "out", base_digest=sha256_of(base.read_bytes()))
    assert (tmp_path / "out").read_bytes() == wanted


def test_a_delta_that_makes_something_else_than_the_manifest_says(files: Files, tmp_path: Path) -> None:
    base, path, wanted = files
    with pytest.raises(delta.WrongResult):
        delta.apply(base, path, tmp_path / "out", expected_digest="sha256:" + 64 * "1")
    with pytest.raises(delta.BadDelta, match="more than"):
        delta.apply(base, path, tmp_path / "out", size_bytes_max=len(wanted) - 1)
    assert not list(tmp_path.iterdir())


def test_what_stood_at_the_target_stays_when_a_delta_fails(files: Files, tmp_path: Path) -> None:
    base, path, _ = files
    out = write(tmp_path / "out", b"serving")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with pytest.raises(VerificationFailed):
        delta.apply(base, write(tmp_path / "d", bytes(data)), out)
    assert out.read_bytes() == b"serving"


BASE = b"x" * 1000
HEADER = Header(1000, bytes.fromhex(sha256_of(BASE)[7:]), 1000, bytes(32))
WHOLE = (Segment(0, 1000, 0, 1000),)
BF16 = by_name("bf16")


def pack(*frames: tuple[Frame, bytes], header: Header = HEADER) -> bytes:
    sized = [dataclasses.replace(f, size=len(p), crc=zlib.crc32(p)) for f, p in frames]
    return container.encode_index(header, sized) + b"".join(p for _, p in frames)


def with_size(size: int) -> Header:
    return dataclasses.replace(HEADER, new_size=size)


BLOCKS = 8192  # of 128 KiB of zeros, each as a run of one byte: to have a GiB compressed at import costs one
BOMB = (
    bytes.fromhex("28b52ffd 80 58")
    + (BLOCKS << 17).to_bytes(4, "little")
    + b"".join((1 << 20 | 1 << 1 | (number == BLOCKS - 1)).to_bytes(3, "little") + b"\0" for number in range(BLOCKS))
)
ALL_ROWS = zstd.compress(b"\xff", level=3)
FIXED = struct.Struct("<BBHIII")  # up, zero, keys, kept, row, bitmap
HOSTILE = {
    "reaches past the base": pack((Frame(Method.COPY, BYTES, (Segment(0, 1000, 1, 1000),)), b"")),
    "reaches past the base by wrapping": pack((Frame(Method.COPY, BYTES, (Segment(0, 1000, 2**64 - 1, 1000),)), b"")),
    "makes a byte twice": pack(
        (Frame(Method.COPY, BYTES, (Segment(0, 600, 0, 600),)), b""),
        (Frame(Method.COPY, BYTES, (Segment(500, 500, 0, 500),)), b""),
    ),
    "leaves a byte out": pack((Frame(Method.COPY, BYTES, (Segment(0, 999, 0, 999),)), b"")),
    "writes past its end": pack((Frame(Method.COPY, BYTES, (Segment(0, 1000, 0, 1000),)), b""), header=with_size(999)),
    "declares a petabyte": pack((Frame(Method.RAW, BYTES, (Segment(0, 1 << 49),)), b""), header=with_size(1 << 49)),
    "declares a large frame": pack(
        (Frame(Method.ZSTD, BYTES, (Segment(0, 1 << 30),)), BOMB), header=with_size(1 << 30)
    ),
    "is a decompression bomb": pack((Frame(Method.ZSTD, BYTES, (Segment(0, 1000),)), BOMB)),
    "hides a bomb in a plane": pack(
        (Frame(Method.PLANES, BF16, (Segment(0, 1000),)), struct.pack("<I", len(BOMB)) + BOMB + bytes(500))
    ),
    "hides a bomb in a bitmap": pack(
        (Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(0, 0, 0, 0, 64, len(BOMB)) + BOMB)
    ),
    "counts four thousand million values": pack(
        (Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(0, 0, 1, 500, 0, 0) + b"\0" + b"\xff" * 4)
    ),
    "has an odd number of bytes of wide values": pack(
        (Frame(Method.GROUPED, BF16, (Segment(0, 999, 0, 999), Segment(999, 1, 999, 1))), b"")
    ),
    "has rows of four thousand million values": pack(
        (Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(0, 0, 0, 0, 2**32 - 1, 0))
    ),
    "has a bitmap but no rows": pack((Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(0, 0, 0, 500, 0, 9) + bytes(9))),
    "keeps more rows than it has": pack(
        (Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(0, 0, 0, 501, 64, len(ALL_ROWS)) + ALL_ROWS)
    ),
    "shifts by more than a value has": pack(
        (Frame(Method.GROUPED, BF16, WHOLE), FIXED.pack(16, 0, 1, 500, 0, 0) + b"\0" + struct.pack("<I", 500))
    ),
    "groups by other exponents than the base has": pack(
        (
            Frame(Method.GROUPED, by_name("fp32"), (Segment(0, 40_000, 0, 40_000),)),
            FIXED.pack(0, 0, 2, 10_000, 0, 0)
            + bytes([1, 2])
            + struct.pack("<II", 5000, 5000)
            + 2 * (struct.pack("<BI", 3, 5000) + bytes(20_000)),
        ),
        header=dataclasses.replace(with_size(40_000), base_size=40_000),
    ),
    "has a frame of no segments": pack((Frame(Method.COPY, BYTES, WHOLE), b""), (Frame(Method.RAW, BYTES, ()), b"")),
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_a_delta_that(what: str, kernels: str, tmp_path: Path) -> None:
    base = write(tmp_path / "base", BASE)
    data = HOSTILE[what]
    if what.startswith("groups"):
        base = write(tmp_path / "base", bytes(40_000))
        fixed = data[:24] + bytes.fromhex(sha256_of(bytes(40_000))[7:]) + data[56 : container.HEADER_SIZE - 4]
        data = fixed + struct.pack("<I", zlib.crc32(fixed)) + data[container.HEADER_SIZE :]
    with pytest.raises(delta.BadDelta):
        delta.apply(base, write(tmp_path / "d", data), tmp_path / "out", kernels=kernels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "d"]


def test_an_index_that_is_a_bomb(tmp_path: Path) -> None:
    data = bytearray(pack((Frame(Method.COPY, BYTES, WHOLE), b"")))
    fixed = bytes(data[: container.HEADER_SIZE - 12]) + struct.pack("<II", len(BOMB), zlib.crc32(BOMB))
    bomb = fixed + struct.pack("<I", zlib.crc32(fixed)) + BOMB
    with pytest.raises(delta.BadDelta):
        delta.info(write(tmp_path / "d", bomb))


def test_an_index_of_more_pieces_than_the_file_has_room_for(tmp_path: Path) -> None:
    """A delta of a small file with a million of them would take half a minute to read."""
    count = container.pieces_max(1 << 20) + 1
    last = Segment(count - 1, (1 << 20) - count + 1, 0, 1)
    pieces = (*(Segment(at, 1, 0, 1) for at in range(count - 1)), last)
    for frames in (
        [(Frame(Method.ZSTD, BYTES, pieces), b"")],
        [(Frame(Method.ZSTD, BYTES, (piece,)), b"") for piece in pieces],
    ):
        data = pack(*frames, header=dataclasses.replace(with_size(1 << 20), base_size=1000))
        with pytest.raises(delta.BadDelta, match="impossible sizes"):
            delta.info(write(tmp_path / "d", data))


def test_flipped_statistics_take_no_memory(tmp_path: Path) -> None:
    """pcodec's own metadata, flipped bit by bit in a process that may take little: no mode opens that needs more."""
    script = f"""
import random, resource
import numpy as np
from modelcast.deltas.codec.kernels import pco
from modelcast.deltas.codec.errors import BadDelta
meta, page = pco.compress((np.random.default_rng(0).standard_normal(5000) * 20).astype("<i2"))
out = np.empty(5000, "<i2"); pco.decompress(meta, page, out)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {64 << 20}, {resource.RLIM_INFINITY}))
for bit in range(8 * len(meta)):
    data = bytearray(meta); data[bit // 8] ^= 1 << bit % 8
    try:
        pco.decompress(bytes(data), page, out)
    except BadDelta:
        pass
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "done\n", done.stderr[-2000:]
