"""Twenty-one files that attack who loads them; none is published unless somebody asks for it."""

import bz2
import gzip
import importlib
import io
import logging.config
import os
import pickle
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save

from modelcast.producers.artifact import check_known, scan
from modelcast.schemas.errors import ExitCode, Refused

LARGE = 200_000


def calls(function: Callable[..., object], *arguments: object, protocol: int = 4) -> bytes:
    """A pickle that calls it when it is loaded."""

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (function, arguments)

    return pickle.dumps(Evil(), protocol)


EVIL = calls(os.system, "true")
CALL = b"cos\nsystem\n(S'true'\ntR."


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        info = tarfile.TarInfo("weights")
        info.size = len(data)
        made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def array_of_objects() -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.array([{}], dtype=object), allow_pickle=True)
    return out.getvalue()


NOISE = b"\x01\xff\x00" + random.Random(3).randbytes(3_000_000)
WEIGHTS = save({"w": numpy.zeros(10, "f4")})
HOSTILE = {
    "a pickle": ("model.bin", EVIL),
    "a pickle of protocol 0": ("model.txt", calls(os.system, "true", protocol=0)),
    "a pickle of protocol 2": ("model", calls(os.system, "true", protocol=2)),
    "a large object comes first": ("model.bin", pickle.dumps([os.urandom(LARGE), EVIL], 4)),
    "a long text without a header comes first": ("model.bin", b"V" + b"a" * LARGE + b"\n0" + CALL),
    "the second of two pickles": ("model.bin", pickle.dumps(1) + EVIL),
    "a late member of a zip": ("model.zip", zipped({f"{n}.txt": b"x" for n in range(2_100)} | {"data": EVIL})),
    "a renamed member of a zip": ("model.zip", zipped({"weights.json": EVIL})),
    "a zip behind junk": ("model.bin", b"#!/bin/sh\n" + zipped({"data": EVIL})),
    "a zip as PyTorch writes it": ("model.pt", zipped({"archive/data.pkl": EVIL, "archive/version": b"3"})),
    "a tar": ("model.tar", tarred(EVIL)),
    "gzip": ("model.gz", gzip.compress(EVIL)),
    "zlib": ("model.bin", zlib.compress(EVIL)),
    "bzip2": ("model.bz2", bz2.compress(EVIL)),
    "an array of objects": ("model.npy", array_of_objects()),
    "arrays of objects": ("model.npz", zipped({"arr_0.npy": array_of_objects()})),
    "it imports a module": ("model.bin", calls(importlib.import_module, "antigravity")),
    "it starts a program": ("model.bin", calls(os.spawnv, os.P_WAIT, "/bin/true", ["true"])),
    "it configures logging": ("model.bin", calls(logging.config.dictConfig, {"version": 1})),
    "behind more noise than is looked through": ("model.bin", NOISE + EVIL),
    "behind whole weights": ("model.safetensors", WEIGHTS + EVIL),
}


def published(path: Path, *, allow_pickle: bool = False) -> None:
    check_known(scan(path, allow_pickle=allow_pickle).unknown, (), subject=str(path))


def test_there_are_21() -> None:
    assert len(HOSTILE) == 21


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused(what: str, tmp_path: Path) -> None:
    name, data = HOSTILE[what]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refused) as caught:
        published(tmp_path)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert name in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "what", ["a pickle", "a pickle of protocol 2", "the second of two pickles", "a zip as PyTorch writes it"]
)
def test_one_that_runs_commands_is_refused_where_pickles_are_allowed(what: str, tmp_path: Path) -> None:
    pytest.importorskip("picklescan")
    name, data = HOSTILE[what]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refused, match=r"imports (posix|nt|os)\.system: loading it runs commands") as caught:
        published(tmp_path, allow_pickle=True)
    assert "--allow-pickle does not cover it" in caught.value.hint


def test_a_pickle_of_numbers_is_carried_where_pickles_are_allowed(tmp_path: Path) -> None:
    pytest.importorskip("picklescan")
    (tmp_path / "scaler.pkl").write_bytes(pickle.dumps({"mean": [1.0, 2.0]}))
    found = scan(tmp_path, allow_pickle=True)
    assert (found.unknown, found.notes) == ((), ())


def test_a_pickle_that_picklescan_cannot_read_is_said_so(tmp_path: Path) -> None:
    pytest.importorskip("picklescan")
    (tmp_path / "model.bin").write_bytes(zlib.compress(EVIL))
    (note,) = scan(tmp_path, allow_pickle=True).notes
    assert "picklescan can't read it" in note


def test_without_picklescan_it_is_said_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "picklescan.scanner", None)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(1))
    (note,) = scan(tmp_path, allow_pickle=True).notes
    assert "pip install 'modelcast[pickle]'" in note
