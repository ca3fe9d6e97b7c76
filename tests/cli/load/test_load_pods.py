"""``modelcast load`` against a pod that divides its requests, and against servers that fail, hang or are not there."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from modelcast.cli.load.generator import LoadPlan, run_load
from modelcast.cli.load.tally import LoadTally
from modelcast.consumers.pod_clients.port import CANDIDATE
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable
from tests.cli.conftest import Cli
from tests.consumers.pod.models import adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess

ONE, TWO = adder(100.0), adder(200.0)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[PodProcess]:
    pod = PodProcess(tmp_path).start()
    yield pod
    pod.stop()


async def divide(pod: PodProcess) -> None:
    driver = V2Pod("pod-a", pod.url, TOKEN)
    for artifact in (ONE, TWO):
        artifact.put(pod.cache)
    await driver.load(order(ONE, 1))
    await driver.load(replace(order(TWO, 2), lane=CANDIDATE))
    control, candidate = order(ONE, 1), order(TWO, 2)
    await driver.apply_traffic(
        TrafficTable(
            "adder", control.registry_id, "r1", 2, 1, 1, "salt", RequestKey.parse("header:x-user"),
            TrafficArm(1, control.manifest_digest, 5_000), (TrafficArm(2, candidate.manifest_digest, 5_000),),
        )
    )  # fmt: skip
    await driver.aclose()


def test_each_version_of_a_pod_is_told_and_users_stay_where_they_are(pod: PodProcess, cli: Cli) -> None:
    asyncio.run(divide(pod))
    load = (
        "load",
        "adder",
        "--url",
        pod.url,
        "--rate",
        "100",
        "--for",
        "2s",
        "--key",
        "header:x-user",
        "--users",
        "40",
    )
    ended = cli(*load, "--expect", "1", "--expect", "2", "-o", "json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [each["version"] for each in found["versions"]] == [1, 2]
    assert found["requests"] == sum(each["requests"] for each in found["versions"]) == 200
    assert (found["failures"], found["wrong_version"], found["went_back"]) == (0, 0, 0)
    assert all(0 < each["p50_seconds"] <= each["p99_seconds"] for each in found["versions"])

    other = cli(*load, "--for", "1s", "--expect", "1")
    assert other.code == 4
    assert "answers were of other versions" in other.err
    assert other.out.splitlines()[0].split() == ["VERSION", "REQUESTS", "FAILURES", "P50", "P99"]


def test_nobody_who_answers_is_told(cli: Cli) -> None:
    ended = cli("load", "fraud", "--url", "http://127.0.0.1:9", "--for", "1s")
    assert ended.code == 6
    assert "its metadata can't be read" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rate", "0"), "bad --rate 0"),
        (("--for", "0s"), "--for 0s"),
        (("--key", "field:user"), "bad --key 'field:user'"),
        (("--request", "{tmp}/none.json"), "no such file"),
        (("--request", "{tmp}/text"), "not JSON"),
    ],
)
def test_wrong_arguments_are_refused(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "text").write_text("{")
    url = ("--url", "http://127.0.0.1:9")
    ended = cli("load", "fraud", *url, *(each.replace("{tmp}", str(tmp_path)) for each in arguments))
    assert ended.code
    assert message in ended.err.lower() + ended.err


async def loaded(handler: Callable[[web.Request], object], **fields: object) -> LoadTally:
    """A load of a server that answers so."""
    app = web.Application()
    app.router.add_post("/v2/models/m/infer", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tally = LoadTally()
    plan = LoadPlan([f"http://127.0.0.1:{port}"], "m", [b"{}"], 100.0, 0.5)
    await run_load(replace(plan, **fields), tally)  # type: ignore[arg-type]
    await runner.cleanup()
    return tally


async def test_requests_go_on_while_those_before_are_not_answered() -> None:
    """Closed-loop clients would send one, and call the server fast."""
    arrived, gate = 0, asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == 50:
            gate.set()  # only once all of them are here
        await gate.wait()
        return web.json_response({}, headers={"modelcast-version": "7"})

    report = (await loaded(hold)).report()
    (version,) = report.versions
    assert (version.version, version.requests, version.failures) == (7, 50, 0)
    assert version.p99_seconds is not None and version.p99_seconds >= 0.4, "the first one waited for the last"


async def test_errors_and_silence_are_failures_of_the_version_that_gave_them() -> None:
    count = 0

    async def fail(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        if count % 2:
            await asyncio.sleep(1)
        return web.json_response({"error": "no"}, status=500, headers={"modelcast-version": "8"})

    report = (await loaded(fail, timeout_seconds=0.5, seconds=0.2)).report()
    assert [(each.version, each.requests, each.failures) for each in report.versions] == [(8, 10, 10), (None, 10, 10)]
    assert any("500" in example for example in report.examples)
    assert report.requests == report.failures == 20
