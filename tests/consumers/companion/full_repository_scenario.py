"""Run by test_placing.py with 40 MiB of disk at /mnt."""

import asyncio
import functools
import tempfile
from pathlib import Path

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.delivery import Delivery
from modelcast.consumers.companion.layouts.folder import folder_layout
from modelcast.consumers.companion.placing import STAGING, ModelRepository
from modelcast.consumers.pod_clients.port import LoadFailed
from tests.consumers.pod.models import Artifact, order

MIB = 1024 * 1024
cache = Path(tempfile.mkdtemp())
repository = ModelRepository(Path("/mnt/models"))
delivery = Delivery(
    functools.partial(FolderArtifacts, cache), repository, lambda files, order, _: folder_layout(files, order)
)
small, large = Artifact({"w": bytes(8 * MIB)}), Artifact({"a": b"first", "w": bytes(48 * MIB)})
for artifact in (small, large):
    artifact.put(cache)
asyncio.run(delivery.deliver(order(small, 1)))
try:
    asyncio.run(delivery.deliver(order(large, 2)))
except LoadFailed as error:
    assert "make room" in error.hint, error
    print(error.code)
assert (repository.root / "adder/1/w").stat().st_size == 8 * MIB
assert not (repository.root / "adder/2").exists()
assert [path.name for path in (repository.root / STAGING).iterdir()] == ["lock"]
asyncio.run(delivery.deliver(order(small, 3)))
print("sound")
