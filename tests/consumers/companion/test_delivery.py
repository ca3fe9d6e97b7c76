"""What travels with a load call, and what an artifact records is read with it."""

from functools import partial
from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.delivery import Delivery
from modelcast.consumers.companion.layouts.folder import folder_layout
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed
from tests.consumers.pod.models import Artifact, order

FILES = {"weights": b"0123456789"}
SAMPLE = b'[{"request": {"inputs": []}}, {"request": {"inputs": []}, "part": "encoder"}]'


def delivery(cache: Path, artifact: Artifact, size_max_bytes: int, *, compares: bool = True) -> Delivery:
    artifact.put(cache)
    return Delivery(
        partial(FolderArtifacts, cache), None, lambda files, order, _: folder_layout(files, order), size_max_bytes,
        compares=compares,
    )  # fmt: skip


async def test_what_is_too_large_for_a_load_call_is_not_delivered_with_what_to_do(tmp_path: Path) -> None:
    artifact = Artifact(FILES)
    delivered = await delivery(tmp_path, artifact, 10).deliver(order(artifact, 1))
    assert delivered.contents == FILES
    with pytest.raises(LoadFailed, match="10 bytes; a load call carries at most 9") as caught:
        await delivery(tmp_path, artifact, 9).deliver(order(artifact, 1))
    assert (caught.value.code, "--repository" in caught.value.hint) == ("not_delivered", True)


async def test_samples_of_the_whole_model_are_read_where_they_can_be_asked(tmp_path: Path) -> None:
    artifact = Artifact({**FILES, "modelcast/sample.json": SAMPLE})
    assert len((await delivery(tmp_path, artifact, 10).deliver(order(artifact, 1))).samples) == 1
    assert (await delivery(tmp_path, artifact, 10, compares=False).deliver(order(artifact, 1))).samples == ()


async def test_samples_that_can_not_be_read_blame_the_version_only_where_they_would_be_asked(tmp_path: Path) -> None:
    artifact = Artifact({**FILES, "modelcast/sample.json": b"{"})
    with pytest.raises(LoadFailed, match="not JSON") as caught:
        await delivery(tmp_path, artifact, 10).deliver(order(artifact, 1))
    assert caught.value.code == BLAMES_THE_VERSION
    await delivery(tmp_path, artifact, 10, compares=False).deliver(order(artifact, 1))
