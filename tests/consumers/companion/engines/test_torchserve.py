"""Kind ``torchserve`` against TorchServe 0.12's own server and worker; handlers that need no PyTorch, see its rig."""

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import request
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.servers.server_process import ServerProcess, running
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.servers.serving_peers import torchserve_program

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
HANDLER = """
from pathlib import Path


class Handler:
    def initialize(self, context):
        self.number = int((Path(context.system_properties["model_dir"]) / "number.txt").read_text())

    def handle(self, data, context):
        return [str(self.number)] * len(data)
"""


def archive(number: int | str, version: str) -> Artifact:
    raw = io.BytesIO()
    model = {"modelName": "adder", "modelVersion": version, "handler": "handler.py"}
    manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
    with zipfile.ZipFile(raw, "w") as mar:
        for name, data in (
            ("MAR-INF/MANIFEST.json", json.dumps(manifest)),
            ("handler.py", HANDLER),
            ("number.txt", str(number)),
        ):
            mar.writestr(zipfile.ZipInfo(name), data)
    return Artifact({"adder.mar": raw.getvalue()})


class TorchServer(ServerProcess):
    """See ``ServerRig``. PyTorch is not there: its wheels would take gigabytes."""

    name = "TorchServe"
    ports = 6

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told_port, *_ = self.other_ports

    @property
    def options(self) -> list[str]:
        url = f"http://127.0.0.1:{self.told_port}"
        return ["--kind", "torchserve", "--server", url, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        _, metrics, grpc, grpc_management, _ = self.other_ports
        settings = self.root / "config.properties"
        settings.write_text(
            f"inference_address={self.url}\nmanagement_address=http://127.0.0.1:{self.told_port}\n"
            f"metrics_address=http://127.0.0.1:{metrics}\nallowed_urls=file://{self.repository.resolve()}/.*\n"
            f"grpc_inference_port={grpc}\ngrpc_management_port={grpc_management}\ndisable_system_metrics=true\n"
        )
        (self.root / "store").mkdir(exist_ok=True)
        program = torchserve_program()
        logs = str(self.root / "logs")
        path = f"{program.parent}:{os.environ.get('PATH', '')}"
        env = {**os.environ, "PATH": path, "LOG_LOCATION": logs, "METRICS_LOCATION": logs, "TEMP": str(self.root)}
        options = ["--model-store", str(self.root / "store"), "--ts-config", str(settings), "--ncs"]
        return [str(program), "--start", "--foreground", *options, "--enable-model-api", "--disable-token-auth"], env

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return archive(number, f"1.{number}")

    def answers(self) -> bool:
        return request(self.told_port, "GET", "/models")[0] == 200

    def says(self) -> int | None:
        status, number = request(self.http_port, "GET", "/predictions/adder")
        return int(str(number)) if status == 200 else None


async def test_versions_go_forward_and_back_and_what_is_refused_leaves_the_old_one_serving(tmp_path: Path) -> None:
    home = tmp_path / "companion"
    home.mkdir()
    with running(TorchServer(tmp_path)) as rig:
        companion = CompanionProcess(home, *rig.options).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        try:
            for generation, version in ((1, 1), (2, 2), (3, 1)):
                rig.artifact(version).put(companion.cache)
                await driver.load(order(rig.artifact(version), version, generation=generation))
                assert ((await driver.read("adder")).version, rig.says()) == (version, version)
            same, corrupt = archive(4, "1.1"), archive("no number", "1.5")
            for generation, refused, code, said in (
                (4, same, "unsupported", "already registered"),
                (5, corrupt, "server_failed", "Failed to start workers"),
            ):
                refused.put(companion.cache)
                with pytest.raises(LoadFailed, match=said) as caught:
                    await driver.load(order(refused, generation))
                assert caught.value.code == code, caught.value
                assert ((await driver.read("adder")).version, rig.says()) == (1, 1)
            await driver.unload("adder", epoch=1, generation=6)
            assert ((await driver.read("adder")).version, rig.says()) == (None, None)
        finally:
            await driver.aclose()
            companion.stop()
