"""What is known to be a pickle, whatever it is called and wherever it hides."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import random
import string
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from modelcast.producers.artifact import archives
from modelcast.producers.artifact.forward import Forward
from modelcast.producers.artifact.opcodes import holds_pickle
from modelcast.producers.artifact.pickles import pickle_reason


def reason(data: bytes, name: str = "model.bin") -> str | None:
    return pickle_reason(name, io.BytesIO(data))


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("true",))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("what", [Evil(), {"weights": [1.0, 2.0, Evil()]}, [Evil()] * 50])
def test_pickles_of_every_protocol_are_known_by_their_content(what: object, protocol: int) -> None:
    data = pickle.dumps(what, protocol)
    assert pickle_reason("model.bin", io.BytesIO(data))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_long_pickle_is_known_by_its_beginning(protocol: int) -> None:
    data = pickle.dumps({"w": bytes(300_000), "x": list(range(100_000))}, protocol)
    assert pickle_reason("weights", io.BytesIO(data))


@pytest.mark.parametrize("name", ["m.pkl", "m.PICKLE", "m.joblib", "m.pkl.gz"])
def test_pickles_are_known_by_their_names(name: str) -> None:
    assert pickle_reason(name, io.BytesIO(b"anything"))


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


def test_torch_archives_and_arrays_of_objects_are_pickles() -> None:
    assert pickle_reason("model.pt", io.BytesIO(archive(archive__data_dot_pkl=pickle.dumps(1))))
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    objects = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    floats = objects.replace(b"|O", b"<f")
    assert pickle_reason("a.npy", io.BytesIO(objects))
    assert pickle_reason("a.npz", io.BytesIO(archive(arr_0_dot_npy=objects)))
    assert not pickle_reason("a.npy", io.BytesIO(floats))
    assert not pickle_reason("a.npz", io.BytesIO(archive(arr_0_dot_npy=floats)))


def test_other_files_are_not_taken_for_pickles() -> None:
    texts = [
        b"",
        b".",
        b"(lambda x: x).",
        b"This is a README.",
        b"{'a': 1}.",
        b"cat\ndog\nbird\nhorse\nship\n",
        b"N.",
        b"I42\n.",
    ]
    safetensors = [struct.pack("<Q", n) + b'{"w":{"dtype":"F32"}}' + bytes(500) for n in range(0x0200, 0x0600)]
    onnx = b"\x08\x08\x12\x07skl2onnx\x1a\x061.18.0:" + bytes(1000)
    for data in [*texts, *safetensors, onnx]:
        assert not pickle_reason("file.bin", io.BytesIO(data)), data[:40]
    rng = random.Random(7)
    assert not any(holds_pickle(Forward(io.BytesIO(rng.randbytes(2000)).read)) for _ in range(20_000))


CALL = b"cos\nsystem\n(S'true'\ntR."
EVIL = {protocol: pickle.dumps(Evil(), protocol) for protocol in range(6)}
LARGE = 200_000


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


HIDDEN = {
    "its first object is large": pickle.dumps([os.urandom(LARGE), Evil()], 4),
    "its first object is large, without a header": b"B" + struct.pack("<I", LARGE) + bytes(LARGE) + b"0" + CALL,
    "its first line is long": b"V" + b"a" * LARGE + b"\n0" + CALL,
    "many opcodes come before": b"N0" * 50_000 + CALL,
    "more opcodes than are looked at": b"N0" * 500_000 + CALL,
    "it is the second of two": pickle.dumps(1, 2) + EVIL[2],
    "the first of two is no more than a number": b"I1\n." + CALL,
    "it stops early": EVIL[4][:-1],
    "it goes on with junk": b"(" + CALL[:-1] + b"\xff" * 100,
    "it calls by an instance": b"(S'true'\nios\nsystem\n.",
    "names are on the stack": b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "only data, of protocol 0": pickle.dumps({"weights": [1.0, 2.0]}, 0),
    "only data, of protocol 1": pickle.dumps({"weights": [1.0, 2.0]}, 1),
    "a late member of a zip": zipped({f"{n}.txt": b"x" for n in range(2_100)} | {"model": EVIL[0]}),
    "a member with another name": zipped({"weights.json": EVIL[4]}),
    "a stored member": zipped({"weights.json": EVIL[2]}, zipfile.ZIP_STORED),
    "a zip behind something else": b"#!/bin/sh\n" + zipped({"data": EVIL[4]}),
    "a zip in a zip": zipped({"inner": zipped({"data": EVIL[1]})}),
    "a zip of bzip2": zipped({"data": EVIL[4]}, zipfile.ZIP_BZIP2),
    "a zip of lzma": zipped({"data": EVIL[4]}, zipfile.ZIP_LZMA),
    "a tar": tarred({"version": b"1", "tensors": EVIL[0]}),
    "a tar of GNU": tarred({"n" * 150: EVIL[3]}, tarfile.GNU_FORMAT),
    "an old tar": tarred({"data": EVIL[3]}, tarfile.USTAR_FORMAT),
    "a tar in gzip": gzip.compress(tarred({"data": EVIL[3]})),
    "a zip in a tar": tarred({"model.nemo": zipped({"x": EVIL[3]})}),
    "gzip": gzip.compress(EVIL[4]),
    "the second stream of gzip": gzip.compress(b"") + gzip.compress(EVIL[4]),
    "zlib": zlib.compress(EVIL[0], 3),
    "zlib, little compressed": zlib.compress(EVIL[2], 1),
    "zlib, much compressed": zlib.compress(EVIL[2], 9),
    "bzip2": bz2.compress(EVIL[0]),
    "xz": lzma.compress(EVIL[4]),
    "lzma": lzma.compress(EVIL[4], lzma.FORMAT_ALONE),
    "gzip in gzip": gzip.compress(gzip.compress(EVIL[0])),
    "gzip that is cut off": gzip.compress(pickle.dumps([Evil(), os.urandom(LARGE)]))[: -LARGE // 2],
    "a large object in gzip": gzip.compress(b"B" + struct.pack("<I", LARGE) + bytes(LARGE) + b"0" + CALL),
    "joblib of old, compressed": b"ZF" + hex(len(EVIL[2])).ljust(19).encode() + zlib.compress(EVIL[2]),
    "joblib of old, from Python 2": b"ZF" + b"0x2aL".ljust(19) + b" " + zlib.compress(EVIL[2]),
    **{f"behind a line of text, of protocol {n}": b"model of 2026\n" + data for n, data in EVIL.items()},
    **{f"behind junk, of protocol {n}": b"\x00\xffmagic" + data for n, data in EVIL.items()},
    "behind many lines": b"a line that says little\n" * 1_000 + CALL,
    "behind much": bytes(500_000) + EVIL[4],
    "behind a line, and its first object is large": b"one\n" + pickle.dumps([os.urandom(2 * LARGE), Evil()], 4),
    "behind a line, in gzip": gzip.compress(b"one\n" + EVIL[0]),
    "behind a line, in a zip": zipped({"weights": b"one\n" + EVIL[5]}),
    "behind a line, it calls by an instance": b"one\n(S'true'\nios\nsystem\n.",
    "behind a line, it calls without arguments": b"one\n(ios\nabort\n.",
    "behind a line, it calls an object": b"one\n(cos\nsystem\nS'true'\no.",
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_pickle_is_found_where(where: str) -> None:
    assert reason(HIDDEN[where])


@pytest.mark.parametrize("where", ["lz4", "zstandard"])
def test_what_cannot_be_looked_into_may_be_a_pickle(where: str) -> None:
    magic = {"lz4": b"\x04\x22\x4d\x18", "zstandard": b"\x28\xb5\x2f\xfd"}[where]
    assert reason(magic + bytes(100)) == f"perhaps a pickle: it is compressed with {where}"


def test_a_zip_that_others_may_still_read_may_be_a_pickle() -> None:
    whole = zipped({"a": b"x" * 1000, "b": EVIL[2]}, zipfile.ZIP_STORED)
    assert "unfinished" in (reason(whole[:-30]) or "")
    renamed = whole.replace(b"a", b"z", 1)  # in front of the member, not in the list of members
    assert "damaged" in (reason(renamed) or "")
    encrypted = bytearray(zipped({"a": b"x"}))
    listed = encrypted.find(b"PK\x01\x02")
    encrypted[listed + 8] |= 1
    encrypted[6] |= 1
    assert "can't be read" in (reason(bytes(encrypted)) or "")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happened_to_an_archive_it_is_looked_into_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    small = [data for data in (*HIDDEN.values(), *TEXTS.values()) if len(data) < 20_000]
    for _ in range(1_000):
        data = bytearray(rng.choice(small))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data) or 1)
            match rng.randrange(3):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    data[at : at + rng.randrange(40)] = rng.randbytes(rng.randrange(9))
                case _:
                    data[at : at + 8] = struct.pack("<Q", rng.choice([0, 1, 1 << 31, 1 << 63, (1 << 64) - 1]))
        reason(bytes(data))


def test_a_damaged_tar_may_be_a_pickle() -> None:
    whole = bytearray(tarred({"a": b"x", "b": EVIL[2]}))
    at = whole.find(b"b\0", 1024)
    whole[at] ^= 1
    assert "damaged" in (reason(bytes(whole)) or "")


def test_the_size_of_a_tars_member_may_stand_in_its_longer_header() -> None:
    """Beyond 8 GiB; a reader that believes the short header looks for the next member in the middle of this one."""
    body = tarred({"first": bytes(2000), "second": EVIL[2]})
    first = body.index(b"first\0")
    header = tarfile.TarInfo.frombuf(body[first : first + 512], "utf-8", "strict")
    header.size = 0
    told = b"13 size=2000\n"
    longer = tarfile.TarInfo("x")
    longer.type, longer.size = tarfile.XHDTYPE, len(told)
    blocks = longer.tobuf(tarfile.USTAR_FORMAT) + told.ljust(512, b"\0") + header.tobuf(tarfile.USTAR_FORMAT)
    data = body[:first] + blocks + body[first + 512 :]
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert read.getnames() == ["folder", "first", "second"]
    assert "second" in (reason(data) or "")


def test_archives_in_archives_end_somewhere() -> None:
    data = b"x"
    for _ in range(8):
        data = gzip.compress(data)
    assert "archives in archives" in (reason(data) or "")


def test_a_bomb_takes_neither_memory_nor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPACKED_MAX_BYTES", 50_000_000)
    bomb = gzip.compress(b"B" + struct.pack("<I", 100_000_000) + bytes(100_000_000) + b"0" + CALL)
    tracemalloc.start()
    begun = time.process_time()
    assert "too much" in (reason(bomb) or "")
    assert time.process_time() - begun < 5
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_large_object_is_passed_over_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with path.open("wb") as file:
        file.write(b"\x8e" + struct.pack("<Q", 1 << 36))
        file.seek(1 << 36, os.SEEK_CUR)
        file.write(b"0" + CALL)
    begun = time.process_time()
    with path.open("rb", buffering=0) as raw:
        assert pickle_reason("model", raw)  # type: ignore[arg-type]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("length", [1 << 20, 1 << 33, (1 << 64) - 1])
def test_a_length_beyond_the_end_is_no_object(tmp_path: Path, length: int) -> None:
    (tmp_path / "model").write_bytes(b"\x8e" + struct.pack("<Q", length) + b"(lp0\nI1\na.")
    with (tmp_path / "model").open("rb", buffering=0) as raw:
        assert not pickle_reason("model", raw)  # type: ignore[arg-type]


TEXTS = {
    "model.pkl.dvc": b"outs:\n- md5: 4f2c1a\n  size: 12\n  path: model.pkl\n",
    "scaler.joblib.sha256": b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  scaler.joblib\n",
    "m.pkl.json": b'{"a": 1}',
    "model.pkl.md5": b"098f6bcd4621d373cade4e832627b4f6",
    "model.joblib.sig": b"-----BEGIN PGP SIGNATURE-----\n",
    "notes.pickle.txt": b"cos\ncat\n",
    "words.txt": b"(if\nit were so)\n",
    "x.csv": b"N,N,N\nN,N,N\n",
    "sequence": b"ACGTNNNNNNNNACGT" * 100,
    "caret": b"x^2 + 1\n",
    "zeros": bytes(100_000),
    "table.csv.gz": gzip.compress(b"a,b\n1,2\n" * 1000),
    "data.tar": tarred({"a.txt": b"one", "b/c.json": b"{}"}),
    "data.tar.xz": lzma.compress(tarred({"a.txt": b"one", "b/c.json": b"{}"})),
    "model.keras": zipped({"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(900)}),
    "docs.zip": zipped({"a/": b"", "a/readme.pkl.md": b"about pickles", "empty": b""}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_this_is_no_pickle(name: str) -> None:
    assert reason(TEXTS[name], name) is None


def test_words_and_noise_are_not_taken_for_pickles_behind_something() -> None:
    rng = random.Random(11)
    letters = string.ascii_letters + string.digits
    marks = [*string.punctuation, "(", ")", "R", "b", "o", "t", "."]
    words = ["".join(rng.choices(letters, k=rng.randrange(1, 9))) for _ in range(40_000)] + marks * 1_000
    rng.shuffle(words)
    assert reason("\n".join(words).encode()) is None
    assert reason("\n".join(sorted(words)).encode()) is None
    assert reason(b"\x01" + rng.randbytes(4_000_000)) is None
    assert reason(("ZF 12 items and more\n" * 20).encode()) is None
    for file in Path(__file__).parents[2].rglob("*.py"):
        assert reason(file.read_bytes()) is None, file


def test_looking_behind_something_takes_little_time() -> None:
    for data in (b"c" * 2_000_000, b"ca\nb\n" * 300_000, b"\x80\x02]" * 500_000, b"\n(" * 500_000):
        begun = time.process_time()
        reason(b"#" + data)
        assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    "descr", ["'O'", "'<O8'", "'object'", "[('a', '<f4'), ('b', '|O')]", "'f4,O'", "{'names': []}"]
)
def test_arrays_that_may_hold_objects_are_pickles(descr: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode()
    assert reason(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert reason(b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header)
    assert reason(zipped({"arr_0.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header}))


@pytest.mark.parametrize(
    "descr",
    ["'<f4'", "'|b1'", "'<U12'", "'<M8[ns]'", "'|V16'", "[('a', '<f4'), ('b', '<i8', (2, 3))]"],
)
def test_other_arrays_are_not(descr: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (10L,), }}".encode()
    assert not reason(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def test_what_frameworks_write(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    numpy = pytest.importorskip("numpy")
    for compress in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        path = tmp_path / "scaler"
        joblib.dump({"mean": numpy.arange(100_000.0)}, path, compress=compress)
        with path.open("rb") as file:
            assert pickle_reason("scaler", file), compress
    numpy.savez(tmp_path / "plain.npz", a=numpy.arange(10), b=numpy.array(["x"]))
    numpy.savez(tmp_path / "objects.npz", a=numpy.arange(10), b=numpy.array([{}], dtype=object))
    with (tmp_path / "plain.npz").open("rb") as plain, (tmp_path / "objects.npz").open("rb") as objects:
        assert not pickle_reason("plain.npz", plain)
        assert "objects" in (pickle_reason("objects.npz", objects) or "")
