"""Files that are not what their names say are refused before anything is uploaded, and with what to do."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.producers.artifact import scan
from modelcast.schemas.errors import ExitCode, Refused


def refused(path: Path, match: str, hint: str) -> None:
    with pytest.raises(Refused, match=match) as caught:
        scan(path)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert hint in caught.value.hint


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 13487563219\n"


def test_a_pointer_in_place_of_the_model_is_refused(tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.pkl", "vocab.txt"):
        (tmp_path / name).write_bytes(LFS)
        refused(tmp_path, f"{name}: a git-lfs pointer to 13487563219 bytes", "git lfs pull")
        refused(tmp_path / name, "a git-lfs pointer", "git lfs pull")
        (tmp_path / name).unlink()
    (tmp_path / "model.onnx").write_bytes(b"/annex/objects/SHA256E-s13--4f2c.onnx\n")
    refused(tmp_path, "a git-annex pointer", "git annex get")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_pointer_that_windows_wrote_anew_is_one(tmp_path: Path, encoding: str) -> None:
    text = LFS.decode().replace("\n", "\r\n")
    (tmp_path / "model.safetensors").write_bytes(text.encode(encoding))
    refused(tmp_path, "a git-lfs pointer to 13487563219 bytes", "git lfs pull")
    (tmp_path / "model.safetensors").write_bytes(b"\n" + LFS)
    refused(tmp_path, "a git-lfs pointer to 13487563219 bytes", "git lfs pull")


def test_a_text_about_pointers_is_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"# About\n" + LFS)
    (tmp_path / "longer.txt").write_bytes(LFS + bytes(2000))
    assert len(scan(tmp_path).files) == 2


@pytest.mark.parametrize(
    "name",
    [
        "model.bin.incomplete", "model.onnx.part", "model.onnx.crdownload", "model.gguf.aria2", "a.partial",
        "model.zip.filepart", ".modelcast.pulling/lock", "sub/model.onnx.download/model.onnx", "MODEL.PART",
    ],
)  # fmt: skip
def test_an_unfinished_download_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"half")
    refused(tmp_path, "an unfinished download", "let it finish")
    (tmp_path / ".modelcastignore").write_text(name)
    assert len(scan(tmp_path).files) == 1


def test_a_download_that_hugging_face_has_not_finished_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sub" / ".cache" / "huggingface" / "download"
    folder.mkdir(parents=True)
    (tmp_path / "sub" / "config.json").write_bytes(b"{}")
    (folder / "config.json.metadata").write_bytes(b"x")
    assert len(scan(tmp_path).files) == 1
    (folder / "abc.4f2c.incomplete").write_bytes(b"half")
    refused(tmp_path, r"abc\.4f2c\.incomplete: an unfinished download, of Hugging Face", "let it finish")


@pytest.mark.parametrize("name", ["model.onnx", "a/weights.safetensors", "model.PT", "x.gguf"])
def test_an_empty_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    (tmp_path / "__init__.py").touch()
    refused(tmp_path, f"{name}: an empty file", "write it again")


def test_other_empty_files_are_carried(tmp_path: Path) -> None:
    for name in ("__init__.py", ".gitkeep", "added_tokens.txt"):
        (tmp_path / name).touch()
    assert len(scan(tmp_path).files) == 3


def test_a_web_page_in_place_of_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"\n<!DOCTYPE html><title>Log in</title>")
    refused(tmp_path, "a web page", "download it again")


def safetensors(size: int) -> bytes:
    header = json.dumps({"__metadata__": {"a": "b"}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(size)


def test_safetensors_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "model.safetensors", safetensors(5_000)
    path.write_bytes(whole)
    assert scan(path).manifest.framework == "safetensors"
    for length in (len(whole) - 1, 500, 50):
        path.write_bytes(whole[:length])
        refused(path, f"cut off: {length} bytes of", "to its end")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.onnx", b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'),
        ("model.gguf", b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>BlobNotFound</Code></Error>"),
        ("model.safetensors", b'{"error": "Repository not found"}'),
        ("model.bin", json.dumps({"Message": "denied" * 1000}).encode()),
    ],
)
def test_a_servers_error_in_place_of_a_model_is_refused(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    refused(tmp_path, "a server's error message", "download the model again")


def test_a_model_in_json_or_xml_is_none(tmp_path: Path) -> None:
    (tmp_path / "trees.model").write_bytes(b'{"learner": {"message": ""}, "version": [3, 0, 0]}')
    (tmp_path / "error.json").write_bytes(b'{"error": 0.3}')
    (tmp_path / "a.model").write_bytes(b"<?xml version='1.0'?><PMML/>")
    assert len(scan(tmp_path).files) == 3


def text_of(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf() -> bytes:
    """A text, a list of texts, an alignment of 64; two tensors, the second at 128."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 3)
    head += text_of(b"general.name") + struct.pack("<I", 8) + text_of(b"tiny")
    head += text_of(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text_of(b"a") + text_of(b"bc")
    head += text_of(b"general.alignment") + struct.pack("<II", 4, 64)
    for name, offset in ((b"w", 0), (b"v", 128)):
        head += text_of(name) + struct.pack("<IQIQ", 1, 32, 0, offset)
    return head + bytes(-len(head) % 64) + bytes(256)


def hdf5(version: int) -> bytes:
    sizes = bytes([0, 0, 0, 0, 8, 8, 0]) + bytes(8 if version == 0 else 12) if version < 2 else bytes([8, 8, 0])
    addresses = struct.pack("<QQQQ", 0, 2**64 - 1, 2000, 2**64 - 1)
    head = b"\x89HDF\r\n\x1a\n" + bytes([version]) + sizes + addresses
    return head + bytes(2000 - len(head))


def onnx_model() -> bytes:
    onnx = pytest.importorskip("onnx")
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1000], bytes(4000), raw=True)
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    return bytes(onnx.helper.make_model(graph, producer_name="test").SerializeToString())


@pytest.mark.parametrize(
    ("name", "make", "lengths"),
    [
        ("model.gguf", gguf, [-250, 150, 30]),
        ("model.h5", lambda: hdf5(0), [-1, 100]),
        ("model.hdf5", lambda: hdf5(1), [-1, 100]),
        ("model.keras", lambda: hdf5(2), [-1, 100]),
        ("model.h5", lambda: hdf5(3), [-1, 100]),
        ("model.onnx", onnx_model, [-100, 500, 50]),
    ],
)
def test_other_models_that_are_cut_off_are_refused(
    tmp_path: Path, name: str, make: Callable[[], bytes], lengths: list[int]
) -> None:
    path, whole = tmp_path / name, make()
    path.write_bytes(whole)
    assert scan(path).manifest.size_bytes == len(whole)
    for length in lengths:
        path.write_bytes(whole[:length])
        refused(path, "cut off: [0-9]+ bytes of at least", "to its end")


@pytest.mark.parametrize("name", ["model.gguf", "model.h5", "model.onnx"])
def test_a_head_that_makes_no_sense_is_left_to_who_loads_the_model(tmp_path: Path, name: str) -> None:
    gguf_head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text_of(b"k")
    heads = [
        gguf_head + struct.pack("<I", 99) + bytes(99),
        gguf_head + struct.pack("<IIQ", 9, 12, 2**64 - 1) + bytes(99),
        gguf_head + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5_000,
        b"\x89HDF\r\n\x1a\n" + bytes([9]) + b"\xff" * 99,
        hdf5(2)[:28] + b"\xff" * 99,
        b"\x08" + b"\xff" * 99,
        b"\x08\x0a\x7a\xff" + bytes(99),
    ]
    for head in heads:
        (tmp_path / name).write_bytes(head)
        assert len(scan(tmp_path).files) == 1
