"""What becomes of files on disk."""

import hashlib
import os
import pickle
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.producers.artifact import reading, scan
from modelcast.schemas.errors import ExitCode, Refused, UsageError
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, Manifest


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root reads everything; be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_digests_of_whole_and_blocks_are_those_of_the_bytes(tmp_path: Path) -> None:
    sizes = (0, 1, BLOCK_SIZE_BYTES - 1, BLOCK_SIZE_BYTES, BLOCK_SIZE_BYTES + 1, 3 * BLOCK_SIZE_BYTES + 5)
    for size in sizes:
        (tmp_path / f"f{size}").write_bytes(random.Random(size).randbytes(size))
    found = {f.entry.path: f for f in scan(tmp_path).files}
    assert len(found) == len(sizes)
    for size in sizes:
        data = (tmp_path / f"f{size}").read_bytes()
        entry = found[f"f{size}"].entry
        blocks = [data[i : i + BLOCK_SIZE_BYTES] for i in range(0, size, BLOCK_SIZE_BYTES)]
        assert entry.size_bytes == size
        assert entry.digest == "sha256:" + hashlib.sha256(data).hexdigest()
        assert entry.blocks == tuple(hashlib.sha256(b).hexdigest() for b in blocks)
        assert found[f"f{size}"].content in {None, data}


def test_the_manifest_is_one_that_readers_accept_and_knows_no_times(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in ("model.onnx", "sub/ü", "sub-2", "sub0"):
            (tmp_path / folder / name).write_bytes(name.encode())
    os.utime(tmp_path / "b" / "sub0", (1, 1))
    first, second = scan(tmp_path / "a"), scan(tmp_path / "b")
    assert first.digest == second.digest
    assert Manifest.decode(first.encoded, expected_digest=first.digest) == first.manifest
    assert first.manifest.framework == "onnx"


def test_a_single_file_is_an_artifact_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "real")
    found = scan(tmp_path / "model.safetensors")
    assert [f.entry.path for f in found.files] == ["model.safetensors"]
    assert found.manifest.framework == "safetensors"


def test_only_small_files_stay_in_memory(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}").write_bytes(bytes(200_000))
    (tmp_path / "large").write_bytes(bytes(reading.KEPT_SIZE_MAX + 1))
    files = {f.entry.path: f for f in scan(tmp_path).files}
    assert files["large"].content is None
    assert files["00"].content == bytes(200_000)
    assert sum(len(f.content or b"") for f in files.values()) <= reading.KEPT_TOTAL_MAX


def refused(path: Path, match: str) -> None:
    with pytest.raises(Refused, match=match) as caught:
        scan(path)
    assert caught.value.exit_code == ExitCode.REFUSED


def test_nothing_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        scan(tmp_path / "missing")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "no files")
    (tmp_path / "sub").mkdir()
    refused(tmp_path, "no files")


def test_an_empty_folder_among_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "model").write_bytes(b"x")
    assert scan(tmp_path).notes == ("assets/ is an empty folder and is not carried",)


def test_links_inside_are_followed_and_those_that_leave_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "model"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "data").write_bytes(b"data")
    (inside / "link").symlink_to("sub/data")
    (inside / "folder-link").symlink_to("sub")
    assert [f.entry.path for f in scan(inside).files] == ["folder-link/data", "link", "sub/data"]
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "out").symlink_to("../secret")
    refused(inside, "leaves the folder")
    (inside / "out").unlink()
    (inside / "out").symlink_to("/etc")
    refused(inside, "leaves the folder")


def hugging_face_cache(folder: Path) -> Path:
    """The snapshot of a model, as `hf download` keeps it."""
    model = folder / "hub" / "models--acme--fraud"
    snapshot = model / "snapshots" / "4f2c1a"
    (snapshot / "unet").mkdir(parents=True)
    (model / "blobs").mkdir()
    for name, blob in (("config.json", "b1"), ("unet/model.onnx", "b2")):
        (model / "blobs" / blob).write_bytes(blob.encode())
        (snapshot / name).symlink_to(os.path.relpath(model / "blobs" / blob, (snapshot / name).parent))
    return snapshot


def test_a_snapshot_in_the_cache_of_hugging_face_is_carried_with_what_it_links_to(tmp_path: Path) -> None:
    snapshot = hugging_face_cache(tmp_path)
    found = scan(snapshot)
    assert {f.entry.path: f.content for f in found.files} == {"config.json": b"b1", "unet/model.onnx": b"b2"}
    assert [f.entry.path for f in scan(snapshot / "unet").files] == ["model.onnx"]
    (tmp_path / "short").symlink_to(snapshot)
    assert scan(tmp_path / "short").digest == found.digest


def test_links_out_of_the_cache_of_hugging_face_are_refused(tmp_path: Path) -> None:
    snapshot = hugging_face_cache(tmp_path)
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot.parents[1] / "blobs" / "b3").symlink_to(tmp_path / "secret")
    for target in (tmp_path / "secret", snapshot.parents[1] / "blobs" / "b3"):
        (snapshot / "out").symlink_to(target)
        refused(snapshot, "leaves the folder")
        (snapshot / "out").unlink()
    other = hugging_face_cache(tmp_path / "other")
    (snapshot / "out").symlink_to(other / "config.json")
    refused(snapshot, "leaves the folder")
    refused(snapshot.parents[1], "in all its revisions")


def test_links_to_nowhere_and_in_circles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x")
    (tmp_path / "gone").symlink_to("nowhere")
    refused(tmp_path, "nowhere")
    (tmp_path / "gone").unlink()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to("..")
    refused(tmp_path, "leads back")


def test_what_has_no_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path, "neither a file nor a folder")
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        refused(tmp_path, "neither a file nor a folder")


def test_unreadable_files_and_folders_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in str(folder):
            folder.chmod(0o755)
    (tmp_path / "model").write_bytes(b"x")
    (tmp_path / "model").chmod(0)
    with as_nobody():
        refused(tmp_path, "can't be read")
    (tmp_path / "model").unlink()
    (tmp_path / "sub").mkdir(mode=0)
    with as_nobody():
        refused(tmp_path, "can't be read")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(2 * BLOCK_SIZE_BYTES))
    really = reading._fill

    def fill_and_change(stream: object, buffer: memoryview) -> memoryview:
        with path.open("r+b") as writer:
            writer.write(b"changed")
        return really(stream, buffer)

    monkeypatch.setattr(reading, "_fill", fill_and_change)
    refused(tmp_path, "changes while")


def test_a_file_that_grows_all_the_time_does_not_keep_the_scan_forever(tmp_path: Path) -> None:
    path, stop, grown = tmp_path / "model", threading.Event(), threading.Event()
    path.write_bytes(bytes(16 * BLOCK_SIZE_BYTES))

    def grow() -> None:
        with path.open("ab", buffering=0) as writer:
            while not stop.is_set():
                writer.write(bytes(4096))
                grown.set()

    thread = threading.Thread(target=grow)
    thread.start()
    assert grown.wait(10)
    try:
        refused(tmp_path, "changes while")
    finally:
        stop.set()
        thread.join()


def test_a_pickle_is_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(pickle.dumps({"a": [1, 2, 3]}))
    refused(tmp_path, "pickle opcodes")
    assert scan(tmp_path, allow_pickle=True).manifest.framework == "pickle"
