"""A version refused once it takes traffic: what served before is loaded again, and nothing is loaded otherwise.

The servers here are scripted, for what real ones do only on demand; conformance.py asks the real ones.
"""

import json
import math
import shutil
import struct
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.companion.layouts.mlserver import served_in
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed
from tests.consumers.companion.asked import QUESTION
from tests.consumers.pod.models import Artifact, order

TENSOR = {"name": "y", "datatype": "FP32", "shape": [1]}
Named = tuple[int, str]


def version_of(number: int) -> Artifact:
    recorded = {"request": QUESTION, "response": {"outputs": [{**TENSOR, "data": [float(number)]}]}}
    return Artifact(
        {
            "model.joblib": str(number).encode(),  # MLServer knows it by its name,
            "model.onnx": b"graph",  # Triton by this one
            "modelcast/sample.json": json.dumps(recorded).encode(),
        }
    )


class Script:
    """What a server holds, and what it does of the model's versions.

    Attributes:
        in_memory: what it has loaded, by name.
        loads: the versions that it took for the model's own name, in order.
        answers: what a version answers under the model's own name; its own number if not said.
        refused: versions that it does not load under that name.
        intrudes: what somebody else has it hold: from right after it has loaded (name, version), or from when it is
            asked a sample of that; in the latter case only until it has answered, if ``hides``.
        rewrites: whether somebody else writes the settings while it refuses to load by them.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.in_memory: dict[str, Named] = {}
        self.loads: list[int] = []
        self.answers: dict[int, float] = {}
        self.refused: set[int] = set()
        self.intrudes: dict[tuple[str, str, int], Named] = {}
        self.hides = False
        self.rewrites = False
        self.url = ""

    def load(self, name: str, named: Named) -> bool:
        if name == "adder":
            if named[0] in self.refused:
                return False
            self.loads.append(named[0])
        self.in_memory[name] = self.intrudes.pop(("loaded", name, named[0]), named)
        return True

    def answer(self, name: str) -> float:
        before = self.in_memory[name]
        other = self.intrudes.pop(("asked", name, before[0]), before)
        if not self.hides:
            self.in_memory[name] = other
        return self.answers.get(other[0], other[0]) if name == "adder" else float(other[0])


class ByHttp(Script):
    """MLServer or KServe with our class: a load reads the settings file."""

    def __init__(self, kind: str, repository: Path) -> None:
        super().__init__(repository)
        self.kind = kind

    async def start(self) -> str:
        application = web.Application()
        application.router.add_post("/v2/repository/models/{name}/load", self._load)
        application.router.add_post("/v2/repository/models/{name}/unload", self._unload)
        application.router.add_post("/v2/models/{name}/infer", self._infer)
        application.router.add_get("/v2/models/{name}", self._described)
        application.router.add_get("/modelcast/models/{name}", self._described)
        application.router.add_get("/v2", self._about)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response({"name": "scripted", "extensions": []})

    async def _load(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        file = "model-settings.json" if self.kind == "mlserver" else "modelcast.json"
        settings = json.loads((self.repository / name / file).read_text())
        named = (
            served_in(settings["platform"]) if self.kind == "mlserver" else (settings["version"], settings["digest"])
        )
        assert named is not None
        if not self.load(name, named):
            if self.rewrites and name == "adder":
                (self.repository / name / file).write_text("{}")
            return web.json_response({"error": "error type: it can't"}, status=400)
        return web.json_response({})

    async def _unload(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if self.in_memory.pop(request.match_info["name"], None) else 404)

    async def _described(self, request: web.Request) -> web.Response:
        named = self.in_memory.get(request.match_info["name"])
        if self.kind == "kserve":
            return web.json_response({"version": named[0], "digest": named[1]} if named else {})
        return web.json_response({"platform": f"modelcast {named[1]} {named[0]}"} if named else {})

    async def _infer(self, request: web.Request) -> web.Response:
        return web.json_response({"outputs": [{**TENSOR, "data": [self.answer(request.match_info["name"])]}]})


class ByGrpc(Script, service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton: the configuration travels with the load."""

    async def start(self) -> str:
        self._server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"grpc://127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(None)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        config = json.loads(request.parameters["config"].string_param)
        version = int(*config["version_policy"]["specific"]["versions"])
        files = {key for key in request.parameters if key != "config"}
        placed = {f"file:{p.relative_to(self.repository / 'adder')}" for p in self.repository.glob("adder/*/*")}
        assert {f"file:{version}/model.onnx"} <= (files or placed)  # nothing else could be loaded
        if not self.load(request.model_name, (version, config["parameters"]["modelcast_digest"]["string_value"])):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"load failed for model 'adder': version {version} is at UNAVAILABLE state: it can't",
            )
        return service_pb2.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, _: Any) -> Any:
        self.in_memory.pop(request.model_name, None)
        return service_pb2.RepositoryModelUnloadResponse()

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        if request.name not in self.in_memory:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        versions = [str(self.in_memory[request.name][0])]
        return service_pb2.ModelMetadataResponse(name=request.name, versions=versions)

    async def ModelConfig(self, request: Any, _: Any) -> Any:
        answer = service_pb2.ModelConfigResponse()
        version, answer.config.parameters["modelcast_digest"].string_value = self.in_memory[request.name]
        answer.config.version_policy.specific.versions.append(version)
        return answer

    async def ModelInfer(self, request: Any, _: Any) -> Any:
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        answer.outputs.add(name="y", datatype="FP32", shape=[1])
        if (value := self.answer(request.model_name)) == value:  # NaN: no bytes at all
            answer.raw_output_contents.append(struct.pack("<f", value))
        return answer


@pytest.fixture(params=["mlserver", "kserve", "triton", "triton without a folder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def server(kind: str, tmp_path: Path) -> AsyncIterator[Script]:
    repository = tmp_path / "models"
    repository.mkdir()
    made = ByGrpc(repository) if kind.startswith("triton") else ByHttp(kind, repository)
    made.url = await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def make(kind: str, server: Script, tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Engine] = []

    async def start() -> Engine:
        for engine in made:
            await engine.aclose()
        folder = None if kind.endswith("without a folder") else server.repository
        settings = ServerSettings(kind.partition(" ")[0], server.url, folder)
        engine = make_engine(settings, partial(FolderArtifacts, tmp_path / "cache"))
        await engine.start(_Deaf())
        made.append(engine)
        return engine

    yield start
    for engine in made[-1:]:
        await engine.aclose()


class _Deaf:
    def lost(self, model: str, why: str) -> None:
        pass


async def swapped(engine: Engine, number: int, tmp_path: Path) -> None:
    version_of(number).put(tmp_path / "cache")
    await engine.prepare(order(version_of(number), number))
    await engine.swap(order(version_of(number), number))


async def refused(engine: Engine, number: int, tmp_path: Path) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        await swapped(engine, number, tmp_path)
    return caught.value


async def test_what_served_before_a_version_that_answers_otherwise_serves_again(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.answers[2] = 7.0
    failed = await refused(engine, 2, tmp_path)
    assert (failed.code, "is 7 at 0, recorded is 2" in failed.message) == (BLAMES_THE_VERSION, True), failed
    assert server.in_memory == {"adder": (1, version_of(1).digest)}
    assert server.loads == [1, 2, 1]


@pytest.mark.parametrize("kind", ["triton"])
async def test_an_answer_that_can_not_be_read_blames_no_version_and_takes_it_back(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.answers[2] = math.nan
    assert (await refused(engine, 2, tmp_path)).code == "server_failed"
    assert server.in_memory == {"adder": (1, version_of(1).digest)}


async def test_a_companion_that_was_restarted_meanwhile_brings_it_back_too(
    server: Script, make: Any, tmp_path: Path
) -> None:
    await swapped(await make(), 1, tmp_path)
    server.answers[2] = 7.0
    await refused(await make(), 2, tmp_path)
    assert server.in_memory == {"adder": (1, version_of(1).digest)}


@pytest.mark.parametrize("kind", ["mlserver", "kserve", "triton"])
async def test_a_restarted_companion_keeps_the_folder_of_what_serves_and_brings_it_back_without_the_artifact(
    server: Script, make: Any, tmp_path: Path
) -> None:
    await swapped(await make(), 1, tmp_path)
    shutil.rmtree(tmp_path / "cache" / version_of(1).digest[7:])
    engine = await make()
    server.answers[2] = 7.0
    await refused(engine, 2, tmp_path)
    assert server.in_memory == {"adder": (1, version_of(1).digest)}
    await swapped(engine, 3, tmp_path)
    assert {folder.name for folder in server.repository.glob("adder/[0-9]*")} == {"1", "3"}


@pytest.mark.parametrize("kind", ["triton"])
async def test_other_bytes_under_the_number_of_what_serves_are_not_loaded_as_those_that_did(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    other = Artifact({**version_of(1).files, "model.onnx": b"other graph"})
    other.put(tmp_path / "cache")
    server.answers[1] = 7.0
    await engine.prepare(order(other, 1))
    with pytest.raises(LoadFailed):
        await engine.swap(order(other, 1))
    assert server.in_memory == {"adder": (1, version_of(1).digest)}
    assert (server.repository / "adder/1/model.onnx").read_bytes() == b"graph"


async def test_a_first_version_that_answers_otherwise_is_let_go(server: Script, make: Any, tmp_path: Path) -> None:
    server.answers[1] = 7.0
    await refused(await make(), 1, tmp_path)
    assert server.in_memory == {}


async def test_a_load_that_the_server_never_took_makes_it_load_nothing_else(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.refused.add(2)
    await refused(engine, 2, tmp_path)
    assert server.in_memory == {"adder": (1, version_of(1).digest)}
    assert server.loads == [1]


@pytest.mark.parametrize("name", ["adder", "adder.trial"])
@pytest.mark.parametrize(("when", "hides"), [("loaded", False), ("asked", False), ("asked", True)])
async def test_the_answers_of_what_somebody_else_loads_meanwhile_blame_no_version(
    when: str, name: str, hides: bool, server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.intrudes[when, name, 2] = (9, version_of(9).digest)
    server.hides = hides
    failed = await refused(engine, 2, tmp_path)
    said = "asked again, it answers as recorded" if hides else "took version 2, but its memory names version 9"
    assert (failed.code, said in failed.message) == ("unconfirmed", True), failed
    assert "run one companion a server" in failed.hint
    assert server.in_memory == {"adder": (1, version_of(1).digest)}
    await swapped(engine, 2, tmp_path)
    assert server.in_memory == {"adder": (2, version_of(2).digest)}


@pytest.mark.parametrize("kind", ["mlserver", "kserve"])
async def test_a_load_of_settings_that_somebody_else_has_written_meanwhile_blames_no_version(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.refused.add(2)
    assert (await refused(engine, 2, tmp_path)).code == BLAMES_THE_VERSION
    server.rewrites = True
    failed = await refused(engine, 2, tmp_path)
    assert (failed.code, "run one companion a server" in failed.hint) == ("unconfirmed", True), failed


async def test_the_reason_is_told_though_what_served_before_can_not_be_loaded_again(
    server: Script, make: Any, tmp_path: Path
) -> None:
    engine = await make()
    await swapped(engine, 1, tmp_path)
    server.answers[2] = 7.0
    server.refused.add(1)
    assert "is 7 at 0, recorded is 2" in (await refused(engine, 2, tmp_path)).message
