"""Kind ``webhook`` against a server of the tests that is told and asked by JSON."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import request
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import Conformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ServerProcess, running
from tests.consumers.pod.models import Artifact, order

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(420)]
WEBHOOK = """
[load]
url = "URL/models/${model}"
header_variables = { authorization = "KEY_OF_THE_SERVER" }
body = '{"at": "${folder}", "as": ${version}, "digest": "${digest}"}'
refused = [422]
unsupported = [415]
seconds = 10

[check]
url = "URL/models/${model}"
version = "loaded.version"
digest = "loaded.digest"
seconds = 2

[unload]
method = "DELETE"
url = "URL/models/${model}"
"""


class WebhookServer(ServerProcess):
    """See ``ServerRig``."""

    name = "a server with a webhook"

    @property
    def options(self) -> list[str]:
        os.environ["KEY_OF_THE_SERVER"] = "Bearer key-of-the-server"
        file = self.root / "webhook.toml"
        file.write_text(WEBHOOK.replace("URL", self.url))
        return ["--kind", "webhook", "--webhook", str(file), "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        program = PROGRAMS / "webhook_server.py"
        return [sys.executable, str(program), str(self.http_port)], os.environ

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"number.txt": str(number).encode(), **{f"{n}.txt": value for n, value in more.items()}})

    def answers(self) -> bool:
        return request(self.http_port, "GET", "/models/none")[0] == 404

    def says(self) -> int | None:
        status, body = request(self.http_port, "GET", "/models/adder")
        return int(body["number"]) if status == 200 else None


class TestWebhook(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[WebhookServer]:
        with running(WebhookServer(tmp_path)) as server:
            yield server

    async def test_a_server_that_loads_later_is_asked_until_it_serves(
        self, rig: WebhookServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        later = rig.artifact(2, later=b"")
        later.put(companion.cache)
        await driver.load(order(later, 2))
        await self.is_served(2, rig, driver)

    async def test_a_server_that_never_serves_what_it_took_fails_the_load_in_time_and_blames_nothing(
        self, rig: WebhookServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        never = rig.artifact("no number", later=b"")
        never.put(companion.cache)
        with pytest.raises(LoadFailed, match="did not serve it in 10 s") as caught:
            await driver.load(order(never, 2))
        assert caught.value.code == "load_timeout"
        await self.is_served(1, rig, driver)
