"""A region whose only pod is a companion, started from the command line: published, swapped, refused, rolled back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.producers import Commander, Publisher
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics
from tests.consumers.companion.engines.test_folder import LinkServer
from tests.consumers.companion.engines.test_kserve import KServeServer
from tests.consumers.companion.engines.test_mlserver import MLServer
from tests.consumers.companion.engines.test_triton import TritonServer
from tests.consumers.companion.servers.server_rig import ServerRig
from tests.consumers.pod.models import Artifact
from tests.support.processes.daemon import Daemon
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


def laid(artifact: Artifact, folder: Path) -> Path:
    """The artifact's files, as somebody publishes them."""
    for path, data in artifact.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    "make_rig",
    [
        LinkServer,
        pytest.param(TritonServer, marks=pytest.mark.real),
        pytest.param(KServeServer, marks=pytest.mark.real),
        pytest.param(lambda root: MLServer(root, 1), marks=pytest.mark.real, id="MLServer"),
    ],
)
def test_a_region_serves_what_is_published_on_a_server_of_another_kind(
    make_stack: Callable[..., Stack], tmp_path: Path, make_rig: Callable[[Path], ServerRig]
) -> None:
    (tmp_path / "server").mkdir()
    rig = make_rig(tmp_path / "server")
    rig.start()
    stack = make_stack(pods_per_region=0)
    port = free_ports(1)[0]
    stack.env["MODELCAST_REGIONS__EU__FLEET"] = json.dumps([{"pods": [f"http://127.0.0.1:{port}"]}])
    command = ["-m", "modelcast.cli.main", "run", "companion", "--name", "eu-0", "--region", "eu", "--port", str(port)]
    companion = Daemon("companion", [*command, *rig.options], stack.env, tmp_path)
    topics = Topics(stack.settings)
    stack.processes.append(companion.start())
    try:
        agent = stack.agent()
        until(lambda: agent.said("partitions assigned"), "the agent runs")
        with Publisher(stack.settings) as publisher, Commander(stack.settings) as commander:
            for version in (1, 2):
                publisher.publish("adder", laid(rig.artifact(version), tmp_path / f"v{version}"))
                until(lambda v=version: topics.serving("adder", v, pods=1), f"version {version} serves")
                assert rig.says() == version
            publisher.publish("adder", laid(rig.foreign(), tmp_path / "v3"))
            until(lambda: "unsupported: " in told(topics), "the region says why version 3 is not served")
            ack = topics.latest("adder")
            assert ack is not None
            assert ack.state is not State.QUARANTINED
            assert (ack.pods[0].kind, ack.pods[0].fleet) == (rig.options[1], "settings")
            assert rig.says() == 2
            commander.rollback("adder", to=1, reason="the third is of another kind")
            until(lambda: topics.serving("adder", 1, pods=1), "version 1 serves again")
            assert rig.says() == 1
    finally:
        topics.close()
        rig.kill()


def told(topics: Topics) -> str:
    """What the newest snapshot says of its pod."""
    ack = topics.latest("adder")
    return ack.pods[0].error if ack and ack.pods else ""
