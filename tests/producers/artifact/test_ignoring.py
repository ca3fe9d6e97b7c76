"""What a publication leaves out, and that it says so."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelcast.producers import Publisher
from modelcast.producers.artifact import scan
from modelcast.producers.artifact.ignoring import Ignoring
from modelcast.schemas.errors import Refused


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def paths(folder: Path) -> list[str]:
    return [f.entry.path for f in scan(folder).files]


LEFT_BEHIND = {
    ".git/HEAD": "ref",
    "sub/.git": "gitdir: elsewhere",
    ".cache/huggingface/download/model.onnx.metadata": "2026",
    ".cache/huggingface/.gitignore": "*",
    ".huggingface/download/model.onnx.metadata": "2026",
    ".DS_Store": "x",
    "sub/._model.onnx": "x",
    "__MACOSX/._model.onnx": "x",
    "sub/__pycache__/load.cpython-311.pyc": "x",
    ".ipynb_checkpoints/train-checkpoint.ipynb": "x",
    "config.json~": "x",
    ".config.json.swp": "x",
    "#config.json#": "x",
    "lost+found/3": "x",
    "Thumbs.db": "x",
    ".nfs000000000123": "x",
    ".idea/workspace.xml": "x",
    ".venv/lib/a.py": "x",
    "env/pyvenv.cfg": "home = /usr/bin",
    "sub/wandb/run-1/a.json": "{}",
    "mlruns/0/meta.yaml": "x",
    "runs/events.out.tfevents.1700000000.host.1.0": "x",
    "model.onnx.lock": "",
    ".msc": "x",
    ".mv": "x",
    ".env": "AWS_SECRET_ACCESS_KEY=x",
}


def test_what_tools_leave_behind_makes_no_new_version(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"model.onnx": "graph", "sub/vocab.txt": "a", ".config": "kept", ".cache/other": "kept", "uv.lock": "kept"},
    )
    clean = scan(tmp_path)
    assert clean.left_out == ()
    write(tmp_path, LEFT_BEHIND)
    littered = scan(tmp_path)
    assert littered.digest == clean.digest
    assert paths(tmp_path) == [".cache/other", ".config", "model.onnx", "sub/vocab.txt", "uv.lock"]
    assert ".git/ (by default)" in littered.left_out
    assert ".cache/huggingface/ (by default)" in littered.left_out
    assert len(littered.left_out) == len(LEFT_BEHIND) - 1  # two lie in one folder


def test_a_folder_as_kubernetes_mounts_it_is_carried_once(tmp_path: Path) -> None:
    write(tmp_path, {"..2026_01_01_00_00_00.123/model.onnx": "graph"})
    (tmp_path / "..data").symlink_to("..2026_01_01_00_00_00.123")
    (tmp_path / "model.onnx").symlink_to("..data/model.onnx")
    assert paths(tmp_path) == ["model.onnx"]


def test_the_ignore_file_is_written_like_a_gitignore_and_not_carried(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".modelcastignore": "# what training leaves\n*.log\n!keep.log\n/runs/\n**/optimizer.pt\n\nname with\\ \n",
            "model.onnx": "graph",
            "a.log": "",
            "keep.log": "",
            "runs/1": "",
            "sub/runs/1": "",
            "sub/optimizer.pt": "",
        },
    )
    found = scan(tmp_path)
    assert [f.entry.path for f in found.files] == ["keep.log", "model.onnx", "sub/runs/1"]
    assert "a.log (.modelcastignore: *.log)" in found.left_out
    assert "runs/ (.modelcastignore: /runs/)" in found.left_out


def test_the_ignore_file_has_the_last_word(tmp_path: Path) -> None:
    write(tmp_path, {".modelcastignore": "!.git\n!*~\n", ".git/HEAD": "ref", "a~": "x", ".DS_Store": "x"})
    assert paths(tmp_path) == [".git/HEAD", "a~"]


def test_what_is_left_out_by_default_can_be_carried(tmp_path: Path) -> None:
    write(tmp_path, {"model.onnx": "graph", "wandb/run/1": "x", "env/pyvenv.cfg": "x", "env/bin/python": "x"})
    assert paths(tmp_path) == ["model.onnx"]
    write(tmp_path, {".modelcastignore": "!wandb/\n!env/\n"})
    assert paths(tmp_path) == ["env/bin/python", "env/pyvenv.cfg", "model.onnx", "wandb/run/1"]
    assert scan(tmp_path).notes == ("left out: .modelcastignore (by default)",)


def test_what_is_left_out_need_not_be_readable_or_a_file(tmp_path: Path) -> None:
    write(tmp_path, {".modelcastignore": "broken\n", "model.onnx": "graph"})
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / ".#lock").symlink_to("user@host.1234:1")
    assert paths(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("text", ["*\n", "**\n!*.md\n", "model.onnx\n"])
def test_an_ignore_file_that_leaves_nothing_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, {".modelcastignore": text, "model.onnx": "graph"})
    with pytest.raises(Refused, match=r"everything in it is left out: .*model\.onnx") as caught:
        scan(tmp_path)
    assert ".modelcastignore" in caught.value.hint


def test_an_ignore_file_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("graph")
    file = tmp_path / ".modelcastignore"
    file.write_text("*.log\n!\n")
    with pytest.raises(Refused, match="line 2 is no pattern"):
        scan(tmp_path)
    file.write_bytes(b"\xff\xfe*\x00")
    with pytest.raises(Refused, match="UTF-8"):
        scan(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(Refused, match="can't be read"):
        scan(tmp_path)
    file.rmdir()
    file.symlink_to("nowhere")
    with pytest.raises(Refused, match="link to nowhere"):
        scan(tmp_path)


def test_a_byte_order_mark_and_windows_lines_are_no_part_of_the_patterns(tmp_path: Path) -> None:
    (tmp_path / ".modelcastignore").write_bytes(b"\xef\xbb\xbf*.log\r\n*.tmp\r\n")
    write(tmp_path, {"model.onnx": "graph", "a.log": "", "a.tmp": ""})
    assert paths(tmp_path) == ["model.onnx"]


def test_a_file_that_is_named_is_published_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, {".modelcastignore": "*", "model.onnx~": "graph"})
    assert [f.entry.path for f in scan(tmp_path / "model.onnx~").files] == ["model.onnx~"]


def test_names_that_are_no_text_are_shown_as_some(tmp_path: Path) -> None:
    write(tmp_path, {"model.onnx": "graph", os.fsdecode(b"\xe9~"): "", "\x1b[2J~": ""})
    (tmp_path / "\n").mkdir()
    found = scan(tmp_path)
    assert set(found.left_out) == {"\\udce9~ (by default)", "\\x1b[2J~ (by default)"}
    assert "\\n/ is an empty folder and is not carried" in found.notes


def test_a_publication_names_what_it_left_out(publisher: Publisher, tmp_path: Path) -> None:
    write(tmp_path, {"model.onnx": "graph"} | {f"run{n}~": "" for n in range(30)})
    (note,) = publisher.publish("fraud", tmp_path).notes
    assert note.startswith("left out: run0~ (by default), ")
    assert note.endswith(" and 10 more; a line `!NAME` in .modelcastignore carries it")


def test_folders_are_asked_about_with_a_slash() -> None:
    assert Ignoring().why("a/lost+found/")
    assert not Ignoring().why("a/lost+found")
