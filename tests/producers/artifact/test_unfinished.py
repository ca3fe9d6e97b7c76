"""Files that are not what their names say are refused before anything is uploaded, and with what to do."""

import json
import struct
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
