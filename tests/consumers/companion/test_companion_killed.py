"""A companion that is killed at any step of a load or an unloading: nothing half-done counts, and it goes on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.consumers.companion.placing import STAGING
from modelcast.consumers.pod_clients.port import PodUnreachable
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.engines.test_webhook import WebhookServer
from tests.consumers.companion.servers.server_process import running
from tests.consumers.pod.models import order
from tests.consumers.pod.pod_process import TOKEN

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(120)]
STEPS = ["ordered", "copying", "placed", "noted", "loaded", "read back"]


class DyingCompanion(CompanionProcess):
    def command(self) -> list[str]:
        return ["tests.consumers.companion.dying_companion", "--name", "companion-a"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    with running(WebhookServer(tmp_path)) as rig:
        yield rig


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "companion"
    folder.mkdir()
    return folder


async def killed(step: str, home: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Serve version 1, then die at ``step`` of ``what``."""
    monkeypatch.setenv("DIES_AT", step)
    companion = DyingCompanion(home, "--grace-seconds", "0.1", *server.options, forked=False).start()
    driver = V2Pod("companion-a", companion.url, TOKEN)
    for version in (1, 2):
        server.artifact(version, more=b"file").put(companion.cache)
    try:
        await driver.load(order(server.artifact(1, more=b"file"), 1))
        with pytest.raises(PodUnreachable):
            if what == "load":
                await driver.load(order(server.artifact(2, more=b"file"), 2))
            else:
                await driver.unload("adder", epoch=1, generation=2)
        assert companion.wait() == -signal.SIGKILL
    finally:
        await driver.aclose()
        companion.stop()


@pytest.mark.parametrize("step", STEPS)
async def test_killed_in_a_load_it_says_what_the_server_has_and_loads_what_is_ordered(
    step: str, home: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(step, home, server, monkeypatch, "load")
    assert server.says() == (2 if step in {"loaded", "read back"} else 1)
    companion = CompanionProcess(home, "--grace-seconds", "0.1", *server.options).start()
    driver = V2Pod("companion-a", companion.url, TOKEN)
    try:
        assert (await driver.read("adder")).version in {None, server.says()}
        await driver.load(order(server.artifact(2, more=b"file"), 2, epoch=2))
        reading = await driver.read("adder")
        assert (reading.version, reading.epoch, reading.proof, server.says()) == (2, 2, "memory", 2)
        assert sorted(p.name for p in (server.repository / "adder/2").iterdir()) == ["more.txt", "number.txt"]
        assert [path.name for path in (server.repository / STAGING).iterdir()] == ["lock"]
    finally:
        await driver.aclose()
        companion.stop()


@pytest.mark.parametrize("step", ["to unload", "unloaded"])
async def test_killed_in_an_unloading_it_never_serves_the_model_again_by_itself(
    step: str, home: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(step, home, server, monkeypatch, "unload")
    companion = CompanionProcess(home, "--grace-seconds", "0.1", *server.options).start()
    driver = V2Pod("companion-a", companion.url, TOKEN)
    try:
        assert (await driver.read("adder")).version is None
        await driver.unload("adder", epoch=2, generation=2)
        assert server.says() is None
    finally:
        await driver.aclose()
        companion.stop()
