"""Run by test_companion_on_a_full_disk.py with 40 MiB of disk at /mnt: a companion process places versions there."""

import asyncio
import tempfile
from pathlib import Path

from modelcast.consumers.companion.placing import STAGING
from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN

MIB = 1024 * 1024
repository = Path("/mnt/models")
small, large, next_one = (
    Artifact({"w": bytes(8 * MIB)}),
    Artifact({"a": b"first", "w": bytes(48 * MIB)}),
    Artifact({"w": bytes(9 * MIB)}),
)


async def main(companion: CompanionProcess) -> None:
    driver = V2Pod("companion-a", companion.url, TOKEN)
    for artifact in (small, large, next_one):
        artifact.put(companion.cache)
    await driver.load(order(small, 1))
    for _ in range(3):  # as a region tries again and again
        try:
            await driver.load(order(large, 2))
        except LoadFailed as error:
            print(error.code, "No space left" in error.message)
    reading = await driver.read("adder")
    print("serves", reading.version, (repository / "adder/current").readlink())
    assert not (repository / "adder/2").exists()
    assert [path.name for path in (repository / STAGING).iterdir()] == ["lock"]
    await driver.load(order(next_one, 3))
    print("serves", (await driver.read("adder")).version)
    await driver.aclose()


process = CompanionProcess(Path(tempfile.mkdtemp()), "--kind", "folder", "--repository", str(repository), forked=False)
try:
    process.start()
    asyncio.run(main(process))
finally:
    process.stop()
