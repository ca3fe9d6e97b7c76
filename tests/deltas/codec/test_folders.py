"""Folders and files that are no tensors."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.codec.folders.index import decode_tree, tree_digest
from modelcast.deltas.codec.kernels import zstd
from modelcast.infra.files import syncing
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, UsageError
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights


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


def index_of(rows: list[object], version: int = 2) -> bytes:
    raw = json.dumps(rows).encode()
    packed = zstd.compress(raw, level=3)
    return struct.pack("<8sHHIII", b"\x89MCDELTA", version, 2, len(packed), len(raw), zlib.crc32(packed)) + packed


ROW = ["same", 1, sha256_of(b"x"), "same", 1, sha256_of(b"x"), 0, False]


@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", "a/../../escaped", "same"])
@pytest.mark.parametrize("column", [0, 3])
def test_paths_that_leave_the_folder_or_stand_twice(path: str, column: int, tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {"same": b"x"})
    bad = list(ROW)
    bad[column] = path
    (tmp_path / "d").write_bytes(index_of([ROW, bad]))
    with pytest.raises(delta.BadDelta):
        delta.apply(old, tmp_path / "d", tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"old", "d"}


@pytest.mark.parametrize(
    "row",
    [
        [*ROW[:7], 0o4755],  # a mode is executable or not
        [*ROW[:7], 1],
        [*ROW[:7], "x"],
        [*ROW, False],
        ROW[:7],
        ["../escaped"],
        ["/escaped"],
        ["other/file"],  # a file stands where the folder would
        ["other"],
        ["same/below"],
        [""],
        [7],
        [],
        ["twice"],
    ],
)
def test_hostile_modes_and_folders_are_refused(row: list[object], tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {"same": b"x"})
    rows = [ROW, ["other/file", *ROW[1:]], ["twice"], row]
    (tmp_path / "d").write_bytes(index_of(rows))
    with pytest.raises(delta.BadDelta):
        delta.apply(old, tmp_path / "d", tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"old", "d"}


def test_a_short_index_does_not_make_millions_of_folders(tmp_path: Path) -> None:
    deep = "a/" * 500
    (tmp_path / "d").write_bytes(index_of([[f"{deep}{i}"] for i in range(4000)]))
    assert (tmp_path / "d").stat().st_size < 100_000
    with pytest.raises(delta.BadDelta, match="too many folders"):
        delta.apply(None, tmp_path / "d", tmp_path / "out")


def test_a_delta_of_the_first_version_is_read(tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {"same": b"x"})
    (tmp_path / "d").write_bytes(index_of([ROW[:7]], version=1))
    delta.apply(old, tmp_path / "d", tmp_path / "out")
    assert content(tmp_path / "out") == {"same": b"x"}
    for rows, version in [([ROW], 1), ([["empty"]], 1), ([ROW], 3), ([ROW], 0)]:
        (tmp_path / "d").write_bytes(index_of(rows, version))
        with pytest.raises(delta.BadDelta):
            delta.apply(old, tmp_path / "d", tmp_path / "other")


def test_what_may_be_run_and_empty_folders_come_back(tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {"run.sh": b"#!/bin/sh\n", "plain": b"p", "was/moved.sh": b"echo"})
    new = lay(tmp_path / "new", {"run.sh": b"#!/bin/sh\n", "plain": b"p", "now.sh": b"echo", "new.sh": b"exit"})
    (new / "logs" / "deep").mkdir(parents=True)
    for name in ("run.sh", "now.sh", "new.sh"):
        (new / name).chmod(0o4755)
    (old / "plain").chmod(0o755)
    info = delta.make(old, new, tmp_path / "d")
    delta.apply(old, tmp_path / "d", tmp_path / "out", expected_digest=info.new_digest)
    assert content(tmp_path / "out") == content(new)
    assert (tmp_path / "out" / "logs" / "deep").is_dir()
    rights = (tmp_path / "d").stat().st_mode & 0o7777  # of any file that is made here
    assert {p.name: p.stat().st_mode & 0o7777 for p in (tmp_path / "out").iterdir() if p.is_file()} == {
        "plain": rights,
        **dict.fromkeys(["run.sh", "now.sh", "new.sh"], rights | (rights & 0o444) >> 2),
    }
    assert delta.make(None, tmp_path / "out", tmp_path / "again").new_digest == info.new_digest


def test_another_right_to_run_is_another_folder(tmp_path: Path) -> None:
    old, new = (lay(tmp_path / name, {"run.sh": b"echo"}) for name in ("old", "new"))
    (new / "run.sh").chmod(0o755)
    plain, runs = (delta.make(None, each, tmp_path / "d").new_digest for each in (old, new))
    assert plain == tree_digest({"run.sh": sha256_of(b"echo")}) != runs
    (old / "run.sh").chmod(0o755)
    (old / "empty").mkdir()
    assert delta.make(None, old, tmp_path / "d").new_digest not in (plain, runs)


def test_a_folder_in_which_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    delta.make(None, tmp_path / "new", tmp_path / "d")
    delta.apply(None, tmp_path / "d", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_renamed_files_that_changed_are_made_of_their_old_selves(tmp_path: Path) -> None:
    """By the tensors that they hold, whatever their sizes; else by kind, size and name."""
    values = [weights(100_000, seed) for seed in range(2)]
    before = [safetensors_bytes({f"layer{i}": ("F32", v)}) for i, v in enumerate(values)]
    after = [safetensors_bytes({f"layer{i}": ("F32", adam_step(v, 1e-5))}) for i, v in enumerate(values)]
    texts = [json.dumps({f"{kind}{i}": i for i in range(9_000)}).encode() for kind in ("word", "term")]
    edited = [text.replace(b"777", b"778") for text in texts]
    old = {"m-1.safetensors": before[0], "m-2.safetensors": before[1], "a/word.json": texts[0], "a/term.json": texts[1]}
    new = {"n-1.safetensors": after[1], "n-2.safetensors": after[0], "b/word.json": edited[0], "b/term.json": edited[1]}
    info = delta.make(lay(tmp_path / "old", old), lay(tmp_path / "new", new), tmp_path / "d")
    tree, _ = decode_tree(memoryview((tmp_path / "d").read_bytes()))
    assert {e.path: e.base for e in tree.entries} == {
        "n-1.safetensors": "m-2.safetensors",
        "n-2.safetensors": "m-1.safetensors",
        "b/word.json": "a/word.json",
        "b/term.json": "a/term.json",
    }
    assert info.ratio > 1.8
    delta.apply(tmp_path / "old", tmp_path / "d", tmp_path / "out")
    assert content(tmp_path / "out") == new


@pytest.mark.parametrize("name", ["a\nb", "tab\there", "back\\slash"])
@pytest.mark.parametrize("empty", [False, True])
def test_names_that_no_manifest_carries_are_refused_in_words(name: str, empty: bool, tmp_path: Path) -> None:
    lay(tmp_path / "old", {"file": b"x"})
    lay(tmp_path / "new", {"file": b"x"} if empty else {name: b"x"})
    if empty:
        (tmp_path / "new" / name).mkdir()
    with pytest.raises(UsageError, match="a name that can't be carried") as refused:
        delta.make(tmp_path / "old", tmp_path / "new", tmp_path / "d")
    assert repr(name) in refused.value.message
    assert "rename it" in refused.value.hint
    assert not (tmp_path / "d").exists()


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
    lines = [f"{i},{i * i % 9973},{i * 7 % 613}\n".encode() for i in range(100_000)]
    old = b"".join(lines)
    lines[::20_000] = [b"edited\n"] * 5
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


LONG = "模" * 80


def test_names_are_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    old = lay(tmp_path / "old", {f"{LONG}/{LONG}": b"x" * 9000, "same/" + "a" * 255: b"y"})
    new = lay(tmp_path / "new", {f"{LONG}/{LONG}": b"x" * 9000 + b"z", "same/" + "a" * 255: b"y"})
    for name in (LONG, "b" * 255):
        delta.make(old, new, tmp_path / (name[:-1] + "d"))
        delta.apply(old, tmp_path / (name[:-1] + "d"), tmp_path / name)
        assert content(tmp_path / name) == content(new)


def test_many_files_are_synced_together_before_the_folder_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lay(tmp_path / "old", {f"{i}": str(i).encode() for i in range(300)})
    new = lay(tmp_path / "new", {f"{i}": str(i if i < 250 else -i).encode() for i in range(300)})
    delta.make(old, new, tmp_path / "d")
    synced, alone = [], []
    monkeypatch.setattr(os, "fsync", lambda descriptor: alone.append(descriptor))
    together = syncing._sync_file_system

    def watched(folder: Path) -> bool:
        synced.append(len(content(folder)))
        assert not (tmp_path / "out").exists()
        return together(folder)

    monkeypatch.setattr(syncing, "_sync_file_system", watched)
    delta.apply(old, tmp_path / "d", tmp_path / "out")
    assert content(tmp_path / "out") == content(new)
    assert synced == [300]
    assert len(alone) < 5
