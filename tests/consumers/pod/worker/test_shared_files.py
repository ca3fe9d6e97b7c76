"""What a machine's cache keeps once, pods load: versions with the same weights, and twins in one version."""

from pathlib import Path

import pytest

from modelcast.consumers.fetch import RegionalArtifacts
from modelcast.consumers.pod.worker.models.version import LoadedVersion, VersionFiles
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import publish
from tests.consumers.pod.models import Artifact, matmul, table

WEIGHTS = matmul(1, 40, 30).files


@pytest.mark.parametrize(
    "artifacts",
    [
        (WEIGHTS, WEIGHTS | {"labels.txt": b"cat"}),
        (table(1, 40, 30).files, WEIGHTS),
        (WEIGHTS | {"copy/weights.bin": WEIGHTS["weights.bin"]},),
    ],
    ids=["two-versions", "two-models", "twins"],
)
def test_a_model_whose_weights_are_shared_is_loaded(artifacts: tuple[dict[str, bytes], ...], tmp_path: Path) -> None:
    region = MemoryStore()
    source = RegionalArtifacts(tmp_path / "cache", lambda: region)
    for files in artifacts:
        manifest = publish(region, files)
        assert manifest.digest == Artifact(files).digest
        with source.open(manifest.digest) as folder:
            last = folder
            LoadedVersion(VersionFiles(folder), model="m", version=1, intra_op_threads=1)
    assert (last / "weights.bin").stat().st_nlink > 1
