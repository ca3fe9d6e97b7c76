"""Folders and files that are no tensors."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from modelcast.infra import delta
from modelcast.infra.delta import zstd
from modelcast.infra.delta.folder import tree_digest
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, UsageError
from tests.infra.delta.pairs import adam_step, bf16, safetensors_bytes, weights


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


VALUES = weights(200_000)
VOCABULARY = json.dumps({f"word{i}": i for i in range(20_000)}).encode()
OLD = {
    "model.safetensors": safetensors_bytes({"t": ("BF16", bf16(VALUES))}),
    "tokenizer.json": VOCABULARY,
    "moved/before.bin": bytes(np.random.default_rng(1).bytes(50_000)),
    "gone.txt": b"gone",
}
NEW = {
    "model.safetensors": safetensors_bytes({"t": ("BF16", bf16(adam_step(VALUES, 1e-5)))}),
    "tokenizer.json": VOCABULARY.replace(b"word777", b"other777"),
    "after.bin": OLD["moved/before.bin"],
    "config/new.json": b'{"a": 1}',
    "empty": b"",
}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return lay(tmp_path / "old", OLD), lay(tmp_path / "new", NEW)


def test_a_folder_comes_back_and_moved_files_cost_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    info = delta.make(*folders, tmp_path / "d")
    digests = {name: sha256_of(data) for name, data in NEW.items()}
    delta.apply(
        folders[0], tmp_path / "d", tmp_path / "out", expected_digest=tree_digest(digests), expected_files=digests
    )
    assert content(tmp_path / "out") == NEW
    assert (info.kind, info.files, info.files_unchanged, info.new_digest) == ("folder", 5, 1, tree_digest(digests))
    assert info.ratio > 10
    assert info == delta.info(tmp_path / "d")


def test_a_folder_without_a_base(folders: tuple[Path, Path], tmp_path: Path) -> None:
    delta.make(None, folders[1], tmp_path / "d")
    delta.apply(None, tmp_path / "d", tmp_path / "out")
    assert content(tmp_path / "out") == NEW


def test_another_base_folder_is_refused_and_leaves_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    delta.make(*folders, tmp_path / "d")
    (folders[0] / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(delta.WrongBase, match=r"tokenizer\.json"):
        delta.apply(folders[0], tmp_path / "d", tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"old", "new", "d"}


def test_other_files_than_the_manifest_lists_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    delta.make(*folders, tmp_path / "d")
    with pytest.raises(delta.WrongResult):
        delta.apply(folders[0], tmp_path / "d", tmp_path / "out", expected_files={"x": sha256_of(b"")})


def test_a_folder_that_is_there_is_not_written_into(folders: tuple[Path, Path], tmp_path: Path) -> None:
    delta.make(*folders, tmp_path / "d")
    with pytest.raises(UsageError):
        delta.apply(folders[0], tmp_path / "d", folders[1])
    assert content(folders[1]) == NEW


@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", "a/../../escaped", "same"])
@pytest.mark.parametrize("column", [0, 3])
def test_paths_that_leave_the_folder_or_stand_twice(path: str, column: int, tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {"same": b"x"})
    row = ["same", 1, sha256_of(b"x"), "same", 1, sha256_of(b"x"), 0]
    bad = list(row)
    bad[column] = path
    raw = json.dumps([row, bad]).encode()
    packed = zstd.compress(raw, level=3)
    head = struct.pack("<8sHHIII", b"\x89MCDELTA", 1, 2, len(packed), len(raw), zlib.crc32(packed))
    (tmp_path / "d").write_bytes(head + packed)
    with pytest.raises(delta.BadDelta):
        delta.apply(old, tmp_path / "d", tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"old", "d"}


def test_links_are_not_followed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "link").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="link"):
        delta.make(*folders, tmp_path / "d")


def test_damage_anywhere_in_a_folder_delta_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    delta.make(*folders, tmp_path / "d")
    sound = (tmp_path / "d").read_bytes()
    for at in [*range(30), *range(30, len(sound), len(sound) // 300)]:
        damaged = bytearray(sound)
        damaged[at] ^= 0x10
        (tmp_path / "d").write_bytes(damaged)
        with pytest.raises(delta.BadDelta):
            delta.apply(folders[0], tmp_path / "d", tmp_path / "out")
    for length in range(0, len(sound), len(sound) // 60):
        (tmp_path / "d").write_bytes(sound[:length])
        with pytest.raises(delta.BadDelta):
            delta.apply(folders[0], tmp_path / "d", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_edited_text_costs_its_edits(tmp_path: Path) -> None:
    lines = [f"{i},{i * i % 9973},{i * 7 % 613}\n".encode() for i in range(200_000)]
    old = b"".join(lines)
    lines[::20_000] = [b"edited\n"] * 10
    del lines[5:50]  # everything after this lies elsewhere
    new = b"".join(lines)
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    info = delta.make(tmp_path / "old", tmp_path / "new", tmp_path / "d")
    delta.apply(tmp_path / "old", tmp_path / "d", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == new
    assert info.ratio > 1000


def test_a_large_file_is_worked_through_in_chunks(tmp_path: Path) -> None:
    old = np.random.default_rng(0).bytes(40 << 20)
    new = old[:1000] + b"inserted" + old[2000 : 35 << 20] + b"changed" + old[(35 << 20) + 7 :]
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    info = delta.make(tmp_path / "old", tmp_path / "new", tmp_path / "d")
    delta.apply(tmp_path / "old", tmp_path / "d", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == new
    assert info.ratio > 500


def test_a_file_is_not_compared_with_a_folder(tmp_path: Path) -> None:
    lay(tmp_path, {"f": b"x", "g/h": b"y"})
    with pytest.raises(UsageError):
        delta.make(tmp_path / "f", tmp_path / "g", tmp_path / "d")
    with pytest.raises(NotFound):
        delta.make(tmp_path / "f", tmp_path / "nowhere", tmp_path / "d")
    delta.make(tmp_path / "f", tmp_path / "f", tmp_path / "d")
    with pytest.raises(UsageError):
        delta.apply(tmp_path / "g", tmp_path / "d", tmp_path / "out")
