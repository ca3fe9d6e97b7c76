"""A real pod gives a candidate its share of the requests, more and more, and loses none of them."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio

from modelcast.consumers.pod_clients.port import CANDIDATE, PodReading, PodRefused, PodUnreachable
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.schemas.traffic.bucket import bucket_of
from modelcast.schemas.traffic.reports import VersionCounts
from modelcast.schemas.traffic.table import TrafficTable, encode_table, table_digest
from tests.consumers.pod.asking import MakePod, X
from tests.consumers.pod.models import REGISTRY, Artifact, adder, matmul, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.consumers.pod.traffic.traffic_tables import SALT, table
from tests.support.lanes import often
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

ONE, TWO, NAN = adder(100.0), adder(200.0), adder(float("nan"))
THREE_NUMBERS = matmul(1, 3, 3)
CLIENTS = 16
PATIENT_US = 6_000_000  # no candidate is given up on a busy machine


def shares(share: int, sequence: int, candidate: Artifact = TWO, *, version: int = 2, **more: Any) -> TrafficTable:
    control, other = (1, ONE.digest), (version, candidate.digest)
    return table(control, other, share, model="adder", registry=REGISTRY, sequence=sequence, **more)


async def as_user(http: aiohttp.ClientSession, pod: PodProcess, user: str, path: str = "") -> tuple[int, str, Any]:
    """Status, version and answer."""
    url = f"{pod.url}/v2/models/adder{path}/infer"
    async with http.post(url, json={"inputs": [X]}, headers={"x-user": user}) as response:
        return response.status, response.headers.get("modelcast-version", ""), await response.json()


def users_of(share: int, count: int) -> tuple[list[str], list[str]]:
    """Users in the buckets of the control and of the candidate."""
    found: tuple[list[str], list[str]] = ([], [])
    for n in range(100_000):
        found[bucket_of(SALT, b"%d" % n) < share].append(str(n))
        if min(map(len, found)) >= count:
            break
    return found[0][:count], found[1][:count]


def stands_still(process: psutil.Process) -> bool:
    """Whether all threads of a process that was suspended have noticed."""
    stats = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


@dataclass
class Users:
    """Ask in turn on a few connections; ``versions`` of each, as they met them."""

    pod: PodProcess
    names: list[str]
    versions: dict[str, list[int]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    answered: int = 0
    stop: bool = False

    async def run(self, http: aiohttp.ClientSession, mine: list[str]) -> None:
        while not self.stop:
            for name in mine:
                try:
                    status, version, answer = await as_user(http, self.pod, name)
                except (aiohttp.ClientError, OSError) as error:
                    self.failed.append(repr(error))
                    continue
                self.answered += 1
                if status != 200 or answer["outputs"][0]["data"][0] != 1.0 + 100.0 * int(version):
                    self.failed.append(f"{status} {version} {answer}")
                    continue
                self.versions.setdefault(name, []).append(int(version))

    async def more(self, answers: int) -> None:
        before = self.answered
        await until_async(lambda: self.answered > before + answers, "traffic goes on")


async def met_by(http: aiohttp.ClientSession, pod: PodProcess, names: list[str]) -> dict[str, int]:
    """The version that each user meets now."""

    async def some(mine: list[str]) -> dict[str, int]:
        return {name: int((await as_user(http, pod, name))[1]) for name in mine}

    parts = await asyncio.gather(*(some(names[n::CLIENTS]) for n in range(CLIENTS)))
    return {name: version for part in parts for name, version in part.items()}


async def counts(driver: V2Pod) -> dict[int, VersionCounts]:
    return {found.version: found for found in (await driver.read_traffic("adder")).versions}


@pytest_asyncio.fixture
async def both(pod: PodProcess, driver: V2Pod) -> AsyncIterator[Callable[[Artifact], Awaitable[None]]]:
    """Loads 1 as control and the artifact as candidate 2."""

    async def load(candidate: Artifact) -> None:
        for artifact in (ONE, candidate):
            artifact.put(pod.cache)
        await driver.load(order(ONE, 1))
        await driver.load(replace(order(candidate, 2), lane=CANDIDATE))

    yield load


Both = Callable[[Artifact], Awaitable[None]]


async def test_users_move_to_the_candidate_once_and_for_good_while_its_share_grows_and_it_is_promoted(
    both: Both, pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    await both(TWO)
    reading = await driver.read("adder", CANDIDATE)
    assert reading == PodReading(
        "pod-a", True, reading.incarnation, 2, TWO.digest, 2, 1, REGISTRY, kind="modelcast", lanes=True
    )
    names = [f"user-{n}" for n in range(often(10_000, 300))]
    buckets = {name: bucket_of(SALT, name.encode()) for name in names}
    users = Users(pod, names)
    clients = [asyncio.create_task(users.run(http, names[n::CLIENTS])) for n in range(CLIENTS)]
    for sequence, share in enumerate((100, 1000, 5000), 1):
        await driver.apply_traffic(shares(share, sequence, slow_us=PATIENT_US))
        await users.more(200)
    met = await met_by(http, pod, names)
    assert met == {name: 2 if buckets[name] < 5000 else 1 for name in names}
    counted = await counts(driver)
    assert counted[2].requests >= sum(version == 2 for version in met.values())
    worker_ids = {worker.pid for worker in pod.workers()}
    await driver.apply_traffic(shares(10_000, 4, slow_us=PATIENT_US))
    await driver.load(order(TWO, 2, generation=7))
    assert set((await met_by(http, pod, names[:200])).values()) == {2}
    users.stop = True
    await asyncio.gather(*clients)
    assert not users.failed
    assert all(versions == sorted(versions) for versions in users.versions.values()), "nobody goes back"
    assert worker_ids <= {worker.pid for worker in pod.workers()}, "promotion loaded nothing and ended nothing"
    assert (await driver.read("adder", CANDIDATE)).manifest_digest == ONE.digest
    assert (await driver.read_traffic("adder")).authority == (0, 0, 0)


async def test_what_names_a_version_gets_it_and_what_has_no_token_divides_nothing(
    both: Both, pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    await both(TWO)
    assert [(await as_user(http, pod, "u", f"/versions/{n}"))[:2] for n in (1, 2)] == [(200, "1"), (200, "2")]
    assert (await as_user(http, pod, "u", "/versions/3"))[0] == 404
    await driver.apply_traffic(shares(10_000, 2))
    assert (await as_user(http, pod, "u", "/versions/1"))[1] == "1"
    assert (await as_user(http, pod, "u"))[1] == "2"
    with pytest.raises(PodRefused) as caught:
        await driver.apply_traffic(shares(0, 1))
    assert caught.value.code == "stale"
    stranger = V2Pod("pod-a", pod.url, "another token")
    with pytest.raises(PodRefused) as caught:
        await stranger.apply_traffic(shares(0, 3))
    assert caught.value.code == "unauthorized"
    await stranger.aclose()
    token = {"Authorization": f"Bearer {TOKEN}"}
    for body in (b"{", encode_table(replace(shares(0, 3), model="another"))):
        async with http.post(f"{pod.url}/v2/models/adder/traffic", data=body, headers=token) as response:
            assert response.status == 400
    assert (await driver.read_traffic("adder")).table_digest == table_digest(shares(10_000, 2))
    await driver.unload("adder", epoch=1, generation=3, lane=CANDIDATE)
    assert (await as_user(http, pod, "u"))[:2] == (200, "1"), "its share falls to the control"


async def test_a_candidate_that_hangs_delays_only_its_users_and_the_control_answers_them(
    both: Both, pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    ONE.put(pod.cache)
    await driver.load(order(ONE, 1))
    await until_async(lambda: len(pod.workers()) == 2, "one serves, one waits to serve the candidate")
    candidate = max(pod.workers(), key=lambda worker: worker.create_time())
    await both(TWO)
    control_users, candidate_users = users_of(5000, 4)
    await driver.apply_traffic(shares(5000, 1, slow_us=1000))
    candidate.suspend()
    await until_async(lambda: stands_still(candidate), "each of its threads has stopped")
    asked = [asyncio.create_task(as_user(http, pod, user)) for user in candidate_users]
    for user in control_users:
        assert (await as_user(http, pod, user))[:2] == (200, "1")
    assert [(await task)[:2] for task in asked] == [(200, "1")] * 4
    counted = await counts(driver)
    assert (counted[2].requests, counted[2].errors) == (4, 4)
    assert counted[1].requests == 4, "what the control answered for it is not the control's"

    async def is_back() -> bool:
        return (await as_user(http, pod, candidate_users[0]))[1] == "2"

    deadline = time.monotonic() + 90
    while not await is_back():
        assert time.monotonic() < deadline, "a new worker serves the candidate"
        await asyncio.sleep(0.05)
    assert not candidate.is_running()


async def test_what_a_candidate_answers_is_counted_and_what_it_can_not_the_control_answers(
    both: Both, pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    """Answers that are no numbers and always the same; then refusals of what the control answers; then copies."""
    await both(NAN)
    _, candidate_users = users_of(5000, 5)
    await driver.apply_traffic(shares(5000, 1, NAN))
    for n, user in enumerate(candidate_users):
        body = {"inputs": [X], "id": str(n)}
        async with http.post(f"{pod.url}/v2/models/adder/infer", json=body, headers={"x-user": user}) as response:
            assert (response.status, response.headers["modelcast-version"]) == (200, "2")
    found = await driver.read_traffic("adder")
    by_version = {counted.version: counted for counted in found.versions}
    assert (by_version[2].bad_answers, by_version[2].repeated, found.keyless[2]) == (5, 4, 0)

    THREE_NUMBERS.put(pod.cache)
    await driver.load(replace(order(THREE_NUMBERS, 3), lane=CANDIDATE))
    await driver.apply_traffic(shares(10_000, 2, THREE_NUMBERS, version=3))
    assert (await as_user(http, pod, "u"))[:2] == (200, "1")
    async with http.post(f"{pod.url}/v2/models/adder/infer", data=b"{") as response:
        assert (response.status, response.headers["modelcast-version"]) == (400, "1")
    counted = (await counts(driver))[3]
    assert (counted.requests, counted.failed, counted.rejected) == (1, 1, 1)

    TWO.put(pod.cache)
    await driver.load(replace(order(TWO, 4), lane=CANDIDATE))
    await driver.apply_traffic(shares(0, 3, version=4, shadow=10_000))
    met = Counter([(await as_user(http, pod, str(n)))[1] for n in range(10)])
    assert met == {"1": 10}
    deadline = time.monotonic() + 60
    while (shown := (await counts(driver))[4]).shadow_differ < 10:
        assert time.monotonic() < deadline, "all copies are compared"
        await asyncio.sleep(0.02)
    assert (shown.shadow_agree, shown.requests) == (0, 0)
    assert shown.looked == sum(shown.scores) == 10, "what copies are answered is looked at, too"


@pytest.mark.soak
async def test_a_pod_that_is_killed_while_tables_come_goes_on_with_the_last_or_the_one_under_way(
    make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod()
    ONE.put(pod.cache)
    TWO.put(pod.cache)
    sequence = 0
    for _ in range(5):
        driver = V2Pod("pod-a", pod.url, TOKEN)
        if sequence == 0:
            await driver.load(order(ONE, 1))
            await driver.load(replace(order(TWO, 2), lane=CANDIDATE))
        killing = asyncio.get_running_loop().call_later(0.2, pod.signal, signal.SIGKILL)
        with suppress(PodUnreachable):
            while True:
                await driver.apply_traffic(shares(sequence % 10_000, sequence + 1))
                sequence += 1
        killing.cancel()
        await driver.aclose()
        pod.wait()
        pod = make_pod()
        driver = V2Pod("pod-a", pod.url, TOKEN)
        assert (await driver.read_traffic("adder")).authority[2] in {sequence, sequence + 1}
        await until_async(lambda pod=pod: len(pod.workers()) >= 2, "both lanes come back")  # type: ignore[misc]
        await driver.aclose()
