"""A pod whose region's store is away when it starts takes no traffic before it serves what its region serves."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.settings import StoreSettings
from modelcast.infra.stores.configured import store_of
from modelcast.schemas import keys
from tests.agents.region.words import memory_of
from tests.consumers.fetch.publishing import publish
from tests.consumers.pod.asking import ready, recorded_as_served, serves, value
from tests.consumers.pod.models import REGISTRY, Artifact, adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.network.tcp_front import TcpFront, address_of, pump_both
from tests.support.servers.stores import S3ForTests

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


class StoreFront(TcpFront):
    """Before a store: while it is ``away``, every connection is closed at once."""

    def __init__(self, endpoint_url: str) -> None:
        super().__init__()
        self._server = address_of(endpoint_url)
        self.away = True

    def serve(self, connection: socket.socket) -> None:
        if not self.away:
            with socket.create_connection(self._server) as server:
                pump_both(connection, server)


class RegionPod(PodProcess):
    """``modelcast run pod``: it asks its region's bucket what is served."""

    def command(self) -> list[str]:
        return ["modelcast.cli.main", "run", "pod", "--name", "pod-a"]


class Region:
    """A region's bucket behind a front, and what lies in it."""

    def __init__(self, s3: S3ForTests, front: StoreFront) -> None:
        self.bucket = s3.bucket("region")
        self.front = front
        self._store = store_of(
            StoreSettings(
                url=f"s3://{self.bucket}",
                endpoint_url=s3.endpoint_url,
                access_key_id=s3.access_key_id,
                secret_access_key=s3.secret_access_key,  # type: ignore[arg-type]
                aws_region=s3.region,
            )
        )

    def serves(self, model: str, artifact: Artifact, version: int, generation: int) -> None:
        publish(self._store, artifact.files)
        memory = memory_of(version, generation, model=model, registry_id=REGISTRY)
        assert memory.served is not None
        served = replace(memory.served, manifest_digest=artifact.digest)
        self._store.put(keys.region_state(model), replace(memory, served=served, staged=served).encode())

    def lose(self, artifact: Artifact) -> None:
        for file in artifact.manifest.files:
            self._store.delete(keys.blob(file.digest))


@pytest.fixture
def region(s3: S3ForTests, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    with StoreFront(s3.endpoint_url) as front:
        region = Region(s3, front)
        for name, text in {
            **s3.env,
            "MODELCAST_REGIONS__EU__STORE__URL": f"s3://{region.bucket}",
            "MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL": f"http://127.0.0.1:{front.port}",
            "MODELCAST_REGIONS__EU__TOKEN": TOKEN,
        }.items():
            monkeypatch.setenv(name, text)
        yield region


@pytest.fixture
def start(tmp_path: Path, region: Region) -> Iterator[Callable[[], PodProcess]]:
    started: list[PodProcess] = []

    def start() -> PodProcess:
        started.append(RegionPod(tmp_path).start())
        return started[-1]

    yield start
    for pod in started:
        pod.stop()


async def readiness(http: aiohttp.ClientSession, pod: PodProcess) -> tuple[int, dict[str, Any]]:
    async with http.get(f"{pod.url}/readyz") as response:
        return response.status, await response.json()


async def until_ready(http: aiohttp.ClientSession, pod: PodProcess) -> None:
    deadline = time.monotonic() + 90
    while (said := await readiness(http, pod))[0] != 200:
        assert time.monotonic() < deadline, f"the pod never becomes ready: {said}"
        await asyncio.sleep(0.02)


async def test_an_empty_pod_takes_no_traffic_while_the_store_is_away_and_orders_reach_it(
    region: Region, start: Callable[[], PodProcess], http: aiohttp.ClientSession
) -> None:
    region.serves("adder", adder(2), 2, 2)
    region.serves("other", adder(7), 1, 1)
    pod = start()
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver, "adder")  # of this one model it says that orders may come
    status, body = await readiness(http, pod)
    assert (status, body["phase"]) == (503, "incomplete")
    assert "what the region serves is not known: " in body["lacking"][0]
    region.front.away = False
    await until_ready(http, pod)
    assert (await driver.read("adder")).version == 2
    assert (await driver.read("other")).version == 1
    await driver.aclose()


@pytest.mark.soak
async def test_a_pod_that_served_takes_traffic_for_that_and_leaves_it_for_a_model_that_it_lacks(
    region: Region, start: Callable[[], PodProcess], http: aiohttp.ClientSession
) -> None:
    region.serves("adder", adder(1), 1, 1)
    region.front.away = False
    pod = start()
    await until_ready(http, pod)
    await recorded_as_served(pod, 1)
    pod.stop()
    region.front.away = True
    region.serves("adder", adder(2), 2, 2)
    lost = adder(9)
    region.serves("other", lost, 4, 4)
    region.lose(lost)
    pod = start()
    await until_ready(http, pod)
    assert await value(http, pod) == 1.0
    region.front.away = False
    driver = V2Pod("pod-a", pod.url, TOKEN)
    deadline = time.monotonic() + 90
    while (await readiness(http, pod))[1].get("lacking") != ["other"]:  # adder follows, other can't be had
        assert time.monotonic() < deadline, await readiness(http, pod)
        await asyncio.sleep(0.02)
    await serves(driver, 2)
    assert await value(http, pod) == 2.0
    region.serves("other", lost, 4, 4)
    await driver.load(order(lost, 4, model="other"))
    await until_ready(http, pod)
    await driver.aclose()
