"""``V2Pod`` against our own pod, and against a V2 server that has never heard of Modelcast."""

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_BYTES,
    BLAMES_THE_VERSION,
    CANDIDATE,
    LoadFailed,
    Pod,
    PodReading,
    PodRefused,
    PodUnreachable,
)
from modelcast.consumers.pod_clients.v2 import Timeouts, V2Pod
from tests.consumers.pod.models import REGISTRY, adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess

pytestmark = pytest.mark.integration


# --- our own pod ---


@pytest.fixture
def ours(tmp_path: Path) -> "AsyncIterator[PodProcess]":
    pod = PodProcess(tmp_path).start()
    yield pod  # type: ignore[misc]
    pod.stop()


@pytest_asyncio.fixture
async def driver(ours: PodProcess) -> AsyncIterator[V2Pod]:
    driver = V2Pod("pod-a", ours.url + "/", TOKEN)
    yield driver
    await driver.aclose()


async def test_a_pod_without_the_model_reads_as_serving_nothing(driver: V2Pod) -> None:
    reading = await driver.read("adder")
    assert (reading.pod, reading.ready, reading.version, reading.manifest_digest) == ("pod-a", True, None, None)
    assert (reading.generation, reading.epoch) == (None, None)
    assert len(reading.incarnation) == 16


async def test_what_was_loaded_is_read_back(ours: PodProcess, driver: V2Pod) -> None:
    pod: Pod = driver
    artifact = adder(1)
    artifact.put(ours.cache)
    await pod.load(order(artifact, 7, generation=12, epoch=3))
    reading = await pod.read("adder")
    assert reading == PodReading(
        "pod-a", True, reading.incarnation, 7, artifact.digest, 12, 3, REGISTRY, kind="modelcast", lanes=True
    )
    assert (await pod.read("adder")).incarnation == reading.incarnation
    await pod.unload("adder", epoch=3, generation=13)
    assert (await pod.read("adder")).version is None


async def test_a_candidate_is_loaded_read_and_unloaded_beside_the_control(ours: PodProcess, driver: V2Pod) -> None:
    control, candidate = adder(1), adder(2)
    for artifact in (control, candidate):
        artifact.put(ours.cache)
    await driver.load(order(control, 1))
    assert (await driver.read("adder", CANDIDATE)).version is None
    await driver.load(replace(order(candidate, 2), lane=CANDIDATE))
    assert [(await driver.read("adder", lane)).manifest_digest for lane in ("", CANDIDATE)] == [
        control.digest,
        candidate.digest,
    ]
    await driver.unload("adder", epoch=1, generation=3, lane=CANDIDATE)
    assert [(await driver.read("adder", lane)).version for lane in ("", CANDIDATE)] == [1, None]


async def test_the_pods_own_words_reach_the_caller(ours: PodProcess, driver: V2Pod) -> None:
    artifact = adder(1)
    with pytest.raises(LoadFailed, match="no such artifact") as failed:
        await driver.load(order(artifact, 1))
    assert (failed.value.code, failed.value.subject) == ("artifact_missing", "adder/1 on pod-a")
    artifact.put(ours.cache)
    await driver.load(order(artifact, 1, generation=5))
    with pytest.raises(PodRefused, match="is lower than the accepted") as refused:
        await driver.load(order(artifact, 1, generation=4))
    assert refused.value.code == "stale"


async def test_what_a_person_can_do_reaches_the_caller_beside_what_was_wrong(ours: PodProcess, driver: V2Pod) -> None:
    artifact = adder(1)
    artifact.put(ours.cache)
    await driver.load(order(artifact, 1))
    with pytest.raises(PodRefused, match="this pod obeys") as refused:
        await driver.load(order(artifact, 2, registry="another"))
    assert refused.value.code == "foreign_registry"
    assert refused.value.hint.startswith("the store was wiped or restored")
    assert refused.value.hint not in refused.value.message


async def test_many_calls_at_once_share_connections(ours: PodProcess, driver: V2Pod) -> None:
    artifacts = [adder(n) for n in range(6)]
    for artifact in artifacts:
        artifact.put(ours.cache)
    await asyncio.gather(*(driver.load(order(a, 1, model=f"m{i}")) for i, a in enumerate(artifacts)))
    readings = await asyncio.gather(*(driver.read(f"m{i % 6}") for i in range(60)))
    assert [r.manifest_digest for r in readings] == [artifacts[i % 6].digest for i in range(60)]


async def test_a_pod_that_is_gone_is_unreachable(ours: PodProcess, driver: V2Pod) -> None:
    await driver.read("adder")
    ours.stop()
    for call in (driver.read("adder"), driver.load(order(adder(1), 1)), driver.unload("adder", epoch=1, generation=1)):
        with pytest.raises(PodUnreachable) as caught:
            await call
        assert caught.value.retryable


# --- any V2 server ---


class PlainServer:
    """V2 and nothing else, with answers that a test sets."""

    def __init__(self) -> None:
        self.metadata: tuple[int, object] = (200, {"name": "adder", "versions": ["2", "10", "9"], "inputs": []})
        self.ready: tuple[int, object] = (200, {})
        self.server_ready: tuple[int, object] = (200, {})
        self.orders: list[object] = []
        self.load: tuple[int, object] = (200, None)
        self.index: tuple[int, object] = (404, None)
        self.hangs = False
        self.headers: dict[str, str] = {}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v2/models/adder", lambda _: self.answer(self.metadata))
        app.router.add_get("/v2/models/adder/ready", lambda _: self.answer(self.ready))
        app.router.add_get("/v2/health/ready", lambda _: self.answer(self.server_ready))
        app.router.add_post("/v2/repository/index", lambda _: self.answer(self.index))
        app.router.add_post("/v2/repository/models/adder/load", self.take_order)
        return app

    async def take_order(self, request: web.Request) -> web.Response:
        self.orders.append(await request.json())
        return await self.answer(self.load)

    async def answer(self, what: tuple[int, object]) -> web.Response:
        if self.hangs:
            await asyncio.Event().wait()
        status, body = what
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        if body is None:
            return web.Response(status=status)
        return web.json_response(body, status=status, headers=self.headers)


@pytest_asyncio.fixture
async def plain() -> AsyncIterator[tuple[PlainServer, V2Pod]]:
    server = PlainServer()
    async with TestServer(server.application()) as running:
        driver = V2Pod("other", str(running.make_url("/")), "t", Timeouts(connect=60, read=60, load=60), foreign=True)
        yield server, driver
        await driver.aclose()


async def test_a_foreign_server_reads_as_its_highest_version_and_no_digest(plain: tuple[PlainServer, V2Pod]) -> None:
    expected = PodReading("other", True, "", 10, None, None, None, proof="memory", gapless=False, kind="v2")
    assert await plain[1].read("adder") == expected


@pytest.mark.parametrize(("status", "body"), [(503, {}), (400, {}), (200, {"ready": False})])
async def test_a_foreign_server_that_is_not_ready_reads_so(
    plain: tuple[PlainServer, V2Pod], status: int, body: object
) -> None:
    plain[0].ready = (status, body)
    assert not (await plain[1].read("adder")).ready


async def test_a_server_is_asked_about_this_model_and_not_about_all(plain: tuple[PlainServer, V2Pod]) -> None:
    """Triton's own readiness is 400 from the moment that any model has failed to load."""
    plain[0].server_ready = (400, {})
    assert (await plain[1].read("adder")).ready


async def test_a_server_that_is_no_pod_of_ours_is_not_driven_unless_the_settings_say_so(
    plain: tuple[PlainServer, V2Pod],
) -> None:
    strict = V2Pod("other", plain[1].url, "t")
    reading = await strict.read("adder")
    assert (reading.ready, reading.version) == (False, None)
    with pytest.raises(LoadFailed, match="run companion") as caught:
        await strict.load(order(adder(1), 1))
    assert (caught.value.code, plain[0].orders) == ("unsupported", [])
    await strict.aclose()


async def test_a_foreign_server_gets_no_parameters(plain: tuple[PlainServer, V2Pod]) -> None:
    """Triton refuses every parameter that it does not know."""
    await plain[1].load(order(adder(1), 1))
    assert plain[0].orders == [{}]


async def test_a_foreign_server_gets_no_candidate(plain: tuple[PlainServer, V2Pod]) -> None:
    with pytest.raises(LoadFailed, match="holds one version of a model") as caught:
        await plain[1].load(replace(order(adder(1), 1), lane=CANDIDATE))
    await plain[1].unload("adder", epoch=1, generation=2, lane=CANDIDATE)  # absent is fine
    assert (caught.value.code, plain[0].orders) == ("unsupported", [])
    reading = await plain[1].read("adder", CANDIDATE)
    assert (reading.version, reading.lanes) == (None, False)


@pytest.mark.parametrize("body", [{}, [], b"<html>", {"versions": None}, {"versions": ["latest"]}, b"\xff"])
async def test_a_server_that_names_no_version_reads_as_none(plain: tuple[PlainServer, V2Pod], body: object) -> None:
    plain[0].metadata = (200, body)
    assert (await plain[1].read("adder")).version is None


async def test_the_repositorys_index_is_never_believed(plain: tuple[PlainServer, V2Pod]) -> None:
    """MLServer reads it from the disk: it names version 9 while 7 answers."""
    plain[0].metadata = (200, {"name": "adder", "versions": [], "platform": "", "inputs": [], "outputs": []})
    plain[0].index = (200, [{"name": "adder", "version": "9", "state": "READY", "reason": ""}])
    assert (await plain[1].read("adder")).version is None


async def test_numbers_that_no_record_can_hold_are_not_believed(plain: tuple[PlainServer, V2Pod]) -> None:
    names = ("modelcast-version", "modelcast-generation", "modelcast-epoch")
    for value, number in (("9" * 18, 10**18 - 1), ("9" * 19, None), ("9" * 5000, None), ("-1", None), ("x", None)):
        plain[0].headers = dict.fromkeys(names, value) | {"modelcast-incarnation": "i"}
        reading = await plain[1].read("adder")
        assert (reading.version, reading.generation, reading.epoch) == (number, number, number)
    plain[0].headers = {}
    plain[0].metadata = (200, {"versions": ["7", "9" * 5000]})
    assert (await plain[1].read("adder")).version == 7


@pytest.mark.parametrize("status", [400, 404])
async def test_an_unknown_model_reads_as_not_served(plain: tuple[PlainServer, V2Pod], status: int) -> None:
    plain[0].metadata = (status, {"error": "unknown model"})
    reading = await plain[1].read("adder")
    assert (reading.version, reading.ready) == (None, True)


async def test_a_server_error_says_nothing_about_the_model(plain: tuple[PlainServer, V2Pod]) -> None:
    plain[0].metadata = (500, {"error": "oops"})
    with pytest.raises(PodUnreachable, match="oops"):
        await plain[1].read("adder")


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (400, {"error": "failed to load 'adder'"}, LoadFailed, "request_refused"),
        (404, {"error": "Model adder failed to load: not found"}, LoadFailed, "not_delivered"),
        (405, None, LoadFailed, "unsupported"),
        (500, {"error": "failed to load 'adder'"}, LoadFailed, "server_failed"),
        (500, {"error": "attempt to access JSON non-string as string"}, LoadFailed, "server_failed"),
        (500, {"error": "failed to load", "code": "load_failed"}, LoadFailed, "server_failed"),
        (501, None, LoadFailed, "unsupported"),
        (401, None, PodRefused, "unauthorized"),
        (403, None, PodRefused, "unauthorized"),
        (409, None, LoadFailed, "request_refused"),
        (502, b"<html>bad gateway</html>", PodUnreachable, ""),
        (503, {"error": "Model adder failed to load"}, LoadFailed, "server_failed"),  # KServe's answer to a bad file
        (302, None, LoadFailed, "unsupported"),
    ],
)
async def test_no_answer_of_a_foreign_server_to_a_load_blames_the_version(
    plain: tuple[PlainServer, V2Pod], status: int, body: object, error: type[Exception], code: str
) -> None:
    plain[0].load = (status, body)
    with pytest.raises(error) as caught:
        await plain[1].load(order(adder(1), 1))
    assert getattr(caught.value, "code", "") == code
    assert code not in {BLAMES_THE_BYTES, BLAMES_THE_VERSION}
    if isinstance(body, dict):
        assert str(body["error"]) in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (400, {"error": "parameter 'modelcast_epoch' must be a whole number"}, PodRefused, "request_refused"),
        (409, {"error": "lower", "code": "stale"}, PodRefused, "stale"),
        (422, {"error": "no ONNX", "code": "unsupported"}, LoadFailed, "unsupported"),
        (500, {"error": "internal error: KeyError"}, LoadFailed, "server_failed"),
        (500, {"error": "not a model", "code": "load_failed"}, LoadFailed, "load_failed"),
        (503, {"error": "shutting down", "code": "draining"}, PodUnreachable, ""),
    ],
)
async def test_only_what_a_pod_of_ours_says_by_its_word_blames_the_version(
    plain: tuple[PlainServer, V2Pod], status: int, body: object, error: type[Exception], code: str
) -> None:
    plain[0].headers = {"modelcast-incarnation": "i"}
    plain[0].load = (status, body)
    with pytest.raises(error) as caught:
        await plain[1].load(order(adder(1), 1))
    assert getattr(caught.value, "code", "") == code


async def test_what_a_pod_reads_from_its_disk_is_told_as_that(plain: tuple[PlainServer, V2Pod]) -> None:
    plain[0].headers = {"modelcast-incarnation": "i", "modelcast-version": "3", "modelcast-ready": "true"}
    assert (await plain[1].read("adder")).proof == "bytes"
    for said, proof in (("memory", "memory"), ("disk", "disk"), ("a guess", "disk")):
        plain[0].headers["modelcast-proof"] = said
        assert (await plain[1].read("adder")).proof == proof


async def test_a_swap_is_without_a_gap_only_where_the_pod_says_so(plain: tuple[PlainServer, V2Pod]) -> None:
    plain[0].headers = {"modelcast-incarnation": "i"}
    assert not (await plain[1].read("adder")).gapless
    for said, gapless in (("true", True), ("false", False), ("perhaps", False)):
        plain[0].headers["modelcast-gapless"] = said
        assert (await plain[1].read("adder")).gapless is gapless


async def test_a_server_that_hangs_is_unreachable(plain: tuple[PlainServer, V2Pod]) -> None:
    plain[0].hangs = True
    hasty = V2Pod("other", plain[1].url, "t", Timeouts(connect=60, read=0.5, load=0.5), foreign=True)
    for call in (hasty.read("adder"), hasty.load(order(adder(1), 1))):
        with pytest.raises(PodUnreachable):
            await call
    await hasty.aclose()


async def test_an_endless_answer_is_cut_off(plain: tuple[PlainServer, V2Pod]) -> None:
    plain[0].metadata = (200, b"x" * (5 * 1024 * 1024))
    with pytest.raises(PodUnreachable, match="more than"):
        await plain[1].read("adder")


async def test_what_does_not_speak_http_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        driver = V2Pod("x", f"http://127.0.0.1:{listener.getsockname()[1]}", "t", Timeouts(read=0.3))
        with pytest.raises(PodUnreachable):
            await driver.read("adder")
        await driver.aclose()


@pytest.mark.parametrize("kind", [PodRefused, LoadFailed])
def test_errors_survive_pickling_with_their_code(kind: type[PodRefused] | type[LoadFailed]) -> None:
    error = pickle.loads(pickle.dumps(kind("m", code="c", subject="s", hint="h")))
    assert (type(error), error.message, error.code, error.subject, error.hint) == (kind, "m", "c", "s", "h")


async def test_a_client_that_was_closed_opens_no_connection_again() -> None:
    pod = V2Pod("gone", "http://127.0.0.1:1", TOKEN)
    await pod.aclose()
    with pytest.raises(PodUnreachable, match="it has left the region"):
        await pod.read("adder")
    assert pod._session is None
