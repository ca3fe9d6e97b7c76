"""Nothing but the manifest's bytes is given out."""

from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import ArtifactMissing, FolderArtifacts
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, VerificationFailed
from tests.consumers.pod.models import Artifact

ARTIFACT = Artifact({"model.onnx": b"graph" * 1000, "deep/weights.bin": b"\1\2\3", "empty": b""})


def test_intact_files_are_given_out(tmp_path: Path) -> None:
    ARTIFACT.put(tmp_path)
    with FolderArtifacts(tmp_path).open(ARTIFACT.digest) as folder:
        assert (folder / "deep/weights.bin").read_bytes() == b"\1\2\3"


def test_an_absent_artifact_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing), FolderArtifacts(tmp_path).open(ARTIFACT.digest):
        pass


def flip(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[2500] ^= 1
    (folder / "model.onnx").write_bytes(data)


def truncate(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])


def lengthen(folder: Path) -> None:
    (folder / "empty").write_bytes(b"x")


def remove(folder: Path) -> None:
    (folder / "deep/weights.bin").unlink()


def add(folder: Path) -> None:
    (folder / "deep/model.onnx").write_bytes(b"not listed")


def link_away(folder: Path) -> None:
    (folder / "elsewhere").symlink_to("/etc")


def other_manifest(folder: Path) -> None:
    other = Artifact({"model.onnx": b"other"})
    (folder.parent / "manifest.json").write_bytes(other.manifest.encode())


@pytest.mark.parametrize("damage", [flip, truncate, lengthen, remove, add, link_away, other_manifest])
def test_damage_is_refused(tmp_path: Path, damage: object) -> None:
    damage(ARTIFACT.put(tmp_path))  # type: ignore[operator]
    with pytest.raises(VerificationFailed), FolderArtifacts(tmp_path).open(ARTIFACT.digest):
        pass


def test_a_digest_is_no_path(tmp_path: Path) -> None:
    ARTIFACT.put(tmp_path)
    with pytest.raises(ContentError), FolderArtifacts(tmp_path).open("sha256:../" + hex_of(ARTIFACT.digest)):
        pass
