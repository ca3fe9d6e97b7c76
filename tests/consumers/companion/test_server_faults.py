"""What a companion makes of a server that misbehaves: never a version's fault, never said to serve, put right after."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import post
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.engines.test_webhook import WebhookServer
from tests.consumers.companion.servers.server_process import another_program, running
from tests.consumers.pod.models import order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(180)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    with running(WebhookServer(tmp_path)) as rig:
        yield rig


@pytest.fixture
def companion(tmp_path: Path, server: WebhookServer) -> Iterator[CompanionProcess]:
    home = tmp_path / "companion"
    home.mkdir()
    process = CompanionProcess(home, "--grace-seconds", "0.1", *server.options).start()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def driver(companion: CompanionProcess) -> AsyncIterator[V2Pod]:
    made = V2Pod("companion-a", companion.url, TOKEN)
    yield made
    await made.aclose()


def has(server: WebhookServer, fault: str) -> None:
    assert post(server.http_port, "/fault", fault)[0] == 200


async def serves(version: int, server: WebhookServer, companion: CompanionProcess, driver: V2Pod) -> None:
    server.artifact(version).put(companion.cache)
    await driver.load(order(server.artifact(version), version))
    assert (await driver.read("adder")).version == version


async def until_ready(companion: CompanionProcess, http: aiohttp.ClientSession, ready: bool) -> str:
    said = ""

    async def so() -> bool:
        nonlocal said
        async with http.get(f"{companion.url}/readyz") as response:
            said = await response.text()
            return (response.status == 200) is ready

    for _ in range(600):
        if await so():
            return said
        await asyncio.sleep(0.1)
    raise AssertionError(f"ready should be {ready}: {said}")


async def until_read(driver: V2Pod, version: int) -> None:
    for _ in range(600):
        if (await driver.read("adder")).version == version:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{version} is not served again")


@pytest.mark.parametrize(("fault", "code"), [("hang", "unreachable"), ("error", "server_failed")])
async def test_a_server_that_does_not_answer_well_is_not_ready_and_blames_no_version(
    fault: str,
    code: str,
    server: WebhookServer,
    companion: CompanionProcess,
    driver: V2Pod,
    http: aiohttp.ClientSession,
) -> None:
    await serves(1, server, companion, driver)
    has(server, fault)
    await until_ready(companion, http, False)
    server.artifact(2).put(companion.cache)
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(server.artifact(2), 2))
    assert caught.value.code == code, caught.value
    if fault == "hang":
        server.kill()
        server.start()
    else:
        has(server, "")
    await until_read(driver, 1)
    await until_ready(companion, http, True)
    await driver.load(order(server.artifact(2), 2))
    assert server.says() == 2


async def test_a_server_that_names_another_version_is_never_said_to_serve_ours(
    server: WebhookServer, companion: CompanionProcess, driver: V2Pod
) -> None:
    await serves(1, server, companion, driver)
    has(server, "lie")
    await until_async(lambda: "serves version 99" in companion.log.read_text(), "the companion notices")
    assert (await driver.read("adder")).version is None
    server.artifact(2).put(companion.cache)
    with pytest.raises(LoadFailed, match="its memory names version 99") as caught:
        await driver.load(order(server.artifact(2), 2))
    assert caught.value.code == "unconfirmed"
    has(server, "")
    await driver.load(order(server.artifact(2), 2))
    assert (await driver.read("adder")).version == 2


async def test_a_server_whose_disk_spoils_what_was_placed_blames_no_version(
    server: WebhookServer, companion: CompanionProcess, driver: V2Pod
) -> None:
    await serves(1, server, companion, driver)
    has(server, "spoil")
    server.artifact(2).put(companion.cache)
    with pytest.raises(LoadFailed, match=r"'spoilt'; what lies at .* is not what was placed there") as caught:
        await driver.load(order(server.artifact(2), 2))
    assert caught.value.code == "io_error"
    has(server, "")
    await serves(2, server, companion, driver)


async def test_a_server_that_comes_back_with_an_older_version_is_put_right(
    server: WebhookServer, companion: CompanionProcess, driver: V2Pod
) -> None:
    for version in (1, 2):
        await serves(version, server, companion, driver)
    server.kill()
    server.start()
    one = server.artifact(1)
    key = os.environ["KEY_OF_THE_SERVER"]
    older = {"at": str(server.repository / "adder/1"), "as": 1, "digest": one.digest}
    status = subprocess.run(
        [
            *("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"),
            *("--header", f"Authorization: {key}", "--json", json.dumps(older)),
            f"{server.url}/models/adder",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert status == "200"
    await until_async(lambda: server.says() == 2, "the newer one is loaded again")
    await until_read(driver, 2)


async def test_another_server_at_the_same_address_is_no_server_of_ours(
    server: WebhookServer, companion: CompanionProcess, driver: V2Pod
) -> None:
    await serves(1, server, companion, driver)
    server.kill()
    with another_program(server.http_port, server.root):
        await until_async(lambda: "serves nothing that it can name" in companion.log.read_text(), "it is noticed")
        assert (await driver.read("adder")).version is None
        server.artifact(2).put(companion.cache)
        with pytest.raises(LoadFailed) as caught:
            await driver.load(order(server.artifact(2), 2))
        assert caught.value.code in {"request_refused", "server_failed"}, caught.value
    server.start()
    await until_read(driver, 1)
    assert server.says() == 1


async def test_two_companions_with_folders_of_their_own_agree_once_both_have_the_same_order(
    server: WebhookServer, companion: CompanionProcess, driver: V2Pod, tmp_path: Path
) -> None:
    await serves(1, server, companion, driver)
    home = tmp_path / "second"
    home.mkdir()
    apart = [*server.options[:-1], str(tmp_path / "apart")]
    second = CompanionProcess(home, "--grace-seconds", "0.1", *apart, cache=companion.cache).start()
    other = V2Pod("companion-b", second.url, TOKEN)
    try:
        await other.load(order(server.artifact(1), 1))
        server.artifact(2).put(companion.cache)
        await driver.load(order(server.artifact(2), 2))
        await other.load(order(server.artifact(2), 2))
        for each in (driver, other):
            await until_read(each, 2)
        assert server.says() == 2
    finally:
        await other.aclose()
        second.stop()


async def test_a_token_that_the_server_refuses_blames_no_version(
    server: WebhookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = server.options
    monkeypatch.setenv("KEY_OF_THE_SERVER", "another key")
    home = tmp_path / "companion"
    home.mkdir()
    companion = CompanionProcess(home, "--grace-seconds", "0.1", *options, forked=False).start()
    driver = V2Pod("companion-a", companion.url, TOKEN)
    try:
        server.artifact(1).put(companion.cache)
        with pytest.raises(LoadFailed, match="who are you") as caught:
            await driver.load(order(server.artifact(1), 1))
        assert caught.value.code == "request_refused"
        assert (await driver.read("adder")).version is None
    finally:
        await driver.aclose()
        companion.stop()
