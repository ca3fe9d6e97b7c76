"""Large files that travel with a load are sent by another process: what runs here goes on meanwhile."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.engines import triton_sending
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed
from tests.consumers.pod.models import Artifact, order

MIB = 1024 * 1024
SMALL, LARGE = Artifact({"model.onnx": b"graph"}), Artifact({"model.onnx": b"graph", "weights.bin": bytes(12 * MIB)})


class TakingServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Loads what it is sent, and knows whether this process sent it."""

    def __init__(self) -> None:
        self.from_here: list[bool] = []
        self.sizes: dict[str, int] = {}
        self.refusal = ""
        self.url = ""

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        port = int(context.peer().rsplit(":", 1)[1])
        self.from_here.append(port in {c.laddr.port for c in psutil.Process().net_connections("tcp")})
        self.sizes = {key: len(p.bytes_param) for key, p in request.parameters.items() if key != "config"}
        if self.refusal:
            await context.abort(grpc.StatusCode.INTERNAL, self.refusal)
        return service_pb2.RepositoryModelLoadResponse()

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        if not self.sizes:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        return service_pb2.ModelMetadataResponse(name=request.name, versions=["1"])

    async def ModelConfig(self, _: Any, __: Any) -> Any:
        answer = service_pb2.ModelConfigResponse()
        digest = LARGE.digest if len(self.sizes) == 2 else SMALL.digest
        answer.config.parameters["modelcast_digest"].string_value = digest
        return answer


@pytest_asyncio.fixture
async def server() -> AsyncIterator[TakingServer]:
    made = TakingServer()
    running = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(made, running)
    made.url = f"grpc://127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    yield made
    await running.stop(None)


async def swapped(server: TakingServer, artifact: Artifact, tmp_path: Path) -> None:
    artifact.put(tmp_path / "cache")
    engine = make_engine(ServerSettings("triton", server.url), partial(FolderArtifacts, tmp_path / "cache"))
    await engine.start(_Deaf())
    try:
        await engine.prepare(order(artifact, 1))
        await engine.swap(order(artifact, 1))
    finally:
        await engine.aclose()


class _Deaf:
    def lost(self, model: str, why: str) -> None:
        pass


@pytest.mark.parametrize(("artifact", "from_here"), [(SMALL, True), (LARGE, False)])
async def test_large_files_are_sent_by_another_process(
    artifact: Artifact, from_here: bool, server: TakingServer, tmp_path: Path
) -> None:
    await swapped(server, artifact, tmp_path)
    assert server.from_here == [from_here]
    assert server.sizes == {f"file:1/{path}": len(body) for path, body in artifact.files.items()}


async def test_what_triton_refuses_there_is_judged_as_here(server: TakingServer, tmp_path: Path) -> None:
    server.refusal = "load failed for model 'adder': version 1 is at UNAVAILABLE state: Internal: no such operator"
    with pytest.raises(LoadFailed, match="no such operator") as caught:
        await swapped(server, LARGE, tmp_path)
    assert caught.value.code == BLAMES_THE_VERSION


async def test_a_sender_that_dies_blames_no_version(
    server: TakingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_sending, "__name__", "a_module_that_is_not_there")
    with pytest.raises(LoadFailed, match="ended with 1") as caught:
        await swapped(server, LARGE, tmp_path)
    assert caught.value.code == "out_of_resources"
