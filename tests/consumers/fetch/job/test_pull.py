"""A verified copy for a person: all or nothing."""

import time
from pathlib import Path

import pytest

from modelcast.consumers.fetch import DamagedBytes, pull
from modelcast.consumers.fetch.transfer import retry as retry_module
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import StoreUnavailable, UsageError
from tests.consumers.fetch.publishing import MIB, Failing, Wrapped, damage, noise, publish, tree

FILES = {"model.onnx": noise(10 * MIB, 1), "sub/labels.txt": b"cat\ndog\n"}


def test_the_folder_holds_the_files_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    report = pull(origin, manifest.digest, tmp_path / "out")
    assert tree(tmp_path) == {f"out/{path}": body for path, body in FILES.items()}
    assert report.bytes_total == manifest.size_bytes


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    (tmp_path / "out").mkdir()
    pull(origin, manifest.digest, tmp_path / "out")
    with pytest.raises(UsageError, match="not an empty folder"):
        pull(origin, manifest.digest, tmp_path / "out")
    with pytest.raises(UsageError):
        pull(origin, manifest.digest, tmp_path / "out" / "model.onnx")
    assert tree(tmp_path / "out") == FILES


def test_damaged_bytes_never_reach_the_folder(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    damage(origin, manifest.files[0].digest)
    with pytest.raises(DamagedBytes):
        pull(origin, manifest.digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_pull_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "PAUSE_SECONDS", 0.001)
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    labels = manifest.files[1].digest[7:]

    def once_some_blocks_came(key: str, times: int) -> StoreUnavailable | None:
        if not key.endswith(labels):
            return None
        deadline = time.monotonic() + 60
        while cut.blob_bytes_read < 4 * MIB and time.monotonic() < deadline:
            time.sleep(0.001)
        return StoreUnavailable("cut")

    cut = Failing(origin, once_some_blocks_came)
    with pytest.raises(StoreUnavailable):
        pull(cut, manifest.digest, tmp_path / "out")
    watched = Wrapped(origin)
    pull(watched, manifest.digest, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert watched.blob_bytes_read < 10 * MIB + 8
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
