"""Files are hashed once a boot, and again as soon as anything has touched them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from modelcast.consumers.artifacts import verified
from modelcast.consumers.artifacts.verified import SETTLED_NS, is_settled, verify_once
from modelcast.consumers.fetch import RegionalArtifacts
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import VerificationFailed
from tests.consumers.fetch.publishing import publish
from tests.consumers.pod.models import Artifact

TWO = Artifact({"model.onnx": b"graph" * 1000, "w/weights.bin": b"weights" * 1000})


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were hashed."""
    folders: list[Path] = []
    hashes = verified.verify_folder
    monkeypatch.setattr(verified, "LOCAL", frozenset({*verified.LOCAL, "9p"}))

    def noted(folder: Path, manifest: object) -> None:
        folders.append(folder)
        hashes(folder, manifest)  # type: ignore[arg-type]

    monkeypatch.setattr(verified, "verify_folder", noted)
    return folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = TWO.put(tmp_path / "cache")
    time.sleep(2 * SETTLED_NS / 1e9)
    return files


def opened(folder: Path) -> None:
    verify_once(folder, TWO.manifest, folder.parent / "verified.json")


def test_files_that_nothing_has_touched_are_hashed_once(folder: Path, hashed: list[Path]) -> None:
    for _ in range(3):
        opened(folder)
    assert len(hashed) == 1


def overwritten(path: Path) -> None:
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # whoever hides it can't hide the change time


def replaced(path: Path) -> None:
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(b"X" + body[1:])


def cut(path: Path) -> None:
    os.truncate(path, 100)


@pytest.mark.parametrize("touch", [overwritten, replaced, cut, Path.unlink])
def test_whatever_touches_a_file_is_found(folder: Path, hashed: list[Path], touch: Callable[[Path], None]) -> None:
    opened(folder)
    touch(folder / "w/weights.bin")
    with pytest.raises(VerificationFailed, match=r"w/weights\.bin"):
        opened(folder)


def test_a_file_beside_them_is_found_also_without_hashing(folder: Path, hashed: list[Path]) -> None:
    opened(folder)
    (folder / "extra.so").write_bytes(b"x")
    with pytest.raises(VerificationFailed, match=r"extra\.so"):
        opened(folder)
    assert len(hashed) == 1


@pytest.mark.parametrize("change", [{"boot": "another"}, {"manifest": "sha256:" + 64 * "0"}, {"files": {}}])
def test_a_record_of_another_boot_or_of_other_files_counts_for_nothing(
    folder: Path, hashed: list[Path], change: dict[str, object]
) -> None:
    opened(folder)
    record = folder.parent / "verified.json"
    record.write_bytes(orjson.dumps({**orjson.loads(record.read_bytes()), **change}))
    opened(folder)
    assert len(hashed) == 2


def test_a_damaged_record_and_one_that_can_not_be_written_cost_a_hash(folder: Path, hashed: list[Path]) -> None:
    record = folder.parent / "verified.json"
    record.write_bytes(b"{")
    opened(folder)
    record.unlink()
    record.mkdir()
    for _ in range(2):
        opened(folder)
    assert len(hashed) == 3


def test_files_of_another_machines_file_system_are_always_hashed(
    folder: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "LOCAL", frozenset())
    for _ in range(2):
        opened(folder)
    assert len(hashed) == 2


def test_what_was_just_written_is_not_settled() -> None:
    stamps = {"a": [1, 2, 3, 1000], "b": [1, 2, 3, 5000]}
    assert not is_settled(stamps, 5000 + SETTLED_NS)
    assert is_settled(stamps, 5001 + SETTLED_NS)


def test_what_failed_is_not_recorded(folder: Path, hashed: list[Path]) -> None:
    overwritten(folder / "model.onnx")
    time.sleep(2 * SETTLED_NS / 1e9)
    for _ in range(2):
        with pytest.raises(VerificationFailed):
            opened(folder)
    assert not (folder.parent / "verified.json").exists()


def test_a_pods_cache_hashes_once_and_fetches_again_what_was_damaged(tmp_path: Path, hashed: list[Path]) -> None:
    region = MemoryStore()
    manifest = publish(region, TWO.files)
    source = RegionalArtifacts(tmp_path / "cache", lambda: region)
    with source.open(manifest.digest) as folder:
        pass
    time.sleep(2 * SETTLED_NS / 1e9)
    hashed.clear()
    for _ in range(3):
        with source.open(manifest.digest):
            pass
    assert len(hashed) <= 1  # 0: it took so long to come that it was settled
    overwritten(folder / "model.onnx")
    with source.open(manifest.digest) as folder:
        assert (folder / "model.onnx").read_bytes() == TWO.files["model.onnx"]


def test_what_was_hashed_on_its_way_here_is_not_hashed_at_its_first_load(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "SETTLED_NS", -(10**12))  # as after the seconds that a large artifact takes
    region = MemoryStore()
    manifest = publish(region, TWO.files)
    source = RegionalArtifacts(tmp_path / "cache", lambda: region)
    with source.open(manifest.digest) as folder:
        assert hashed == []
    overwritten(folder / "w/weights.bin")
    with source.open(manifest.digest) as folder:
        assert (folder / "w/weights.bin").read_bytes() == TWO.files["w/weights.bin"]
    assert len(hashed) == 1


def test_what_has_just_come_is_hashed_at_its_first_load_for_a_change_might_not_show(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "SETTLED_NS", 10**12)
    region = MemoryStore()
    manifest = publish(region, TWO.files)
    for _ in range(2):
        with RegionalArtifacts(tmp_path / "cache", lambda: region).open(manifest.digest):
            pass
    assert len(hashed) == 2
