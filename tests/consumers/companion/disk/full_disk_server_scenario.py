"""Run by test_servers_on_a_full_disk.py with 40 MiB of disk at /mnt, where a real server of a kind looks for models."""

import asyncio
import sys
import tempfile
from pathlib import Path

from modelcast.consumers.companion.placing import STAGING
from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.engines.test_mlserver import MLServer
from tests.consumers.companion.engines.test_triton import TritonServer
from tests.consumers.companion.servers.server_process import ServerProcess, running
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN

MIB = 1024 * 1024


async def main(rig: ServerProcess, companion: CompanionProcess) -> None:
    driver = V2Pod("companion-a", companion.url, TOKEN)
    small, large, next_one = (
        Artifact({**rig.artifact(number).files, "w.bin": bytes(size * MIB)})
        for number, size in ((1, 8), (2, 48), (3, 9))
    )
    for artifact in (small, large, next_one):
        artifact.put(companion.cache)
    await driver.load(order(small, 1))
    for _ in range(2):  # as a region tries again
        try:
            await driver.load(order(large, 2))
        except LoadFailed as error:
            print(error.code, "No space left" in error.message, "make room" in error.hint)
    print("serves", (await driver.read("adder")).version, "answers", rig.says())
    assert not (rig.repository / "adder/2").exists()
    assert [path.name for path in (rig.repository / STAGING).iterdir()] == ["lock"]
    await driver.load(order(next_one, 3))
    print("serves", (await driver.read("adder")).version, "answers", rig.says())
    await driver.aclose()


home = Path(tempfile.mkdtemp())
server = TritonServer(home) if sys.argv[1] == "triton" else MLServer(home, workers=1)
server.repository = Path("/mnt/models")
server.repository.mkdir()
beside = CompanionProcess(home, "--grace-seconds", "0.1", *server.options, forked=False)
with running(server):
    try:
        beside.start()
        asyncio.run(main(server, beside))
    finally:
        beside.stop()
