"""Three regions and the controller as processes, real Kafka and S3: all pods take a version at one instant."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp
import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.producers.rollouts import RolloutCommander
from modelcast.schemas.records import Activation
from modelcast.schemas.traffic.steps_and_gates import BLUE_GREEN, PlanStep
from tests.agents.region.for_real.test_guard_for_real import QUESTION
from tests.agents.region.stack import Stack, Topics
from tests.support.processes.daemon import Daemon
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(180)]
REGIONS = ("ap", "eu", "us")
REQUESTS_A_SECOND = 40.0  # to each region


@dataclass
class Answers:
    """What users of one region got: (asked at, answered at, version), all by this machine's clock."""

    got: list[tuple[float, float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def of(self, version: str) -> list[tuple[float, float, str]]:
        return [each for each in self.got if each[2] == version]


async def users(url: str, answers: Answers, stop: asyncio.Event) -> None:
    async with aiohttp.ClientSession() as http:
        while not stop.is_set():
            asked = time.time()
            async with http.post(f"{url}/v2/models/fraud/infer", json=QUESTION) as response:
                body = await response.text()
                if response.status != 200:
                    answers.failed.append(body)
                answers.got.append((asked, time.time(), response.headers.get("modelcast-version", "")))
            await asyncio.sleep(1 / REQUESTS_A_SECOND)


def controller(stack: Stack) -> Daemon:
    own = {"MODELCAST_DAEMON__WORKER": "c", "MODELCAST_DAEMON__PORT": str(free_ports(1)[0])}
    command = ["-m", "modelcast.cli.main", "run", "rollouts"]
    stack.processes.append(Daemon("rollouts", command, stack.env | own, stack.root).start())
    return stack.processes[-1]


async def test_all_regions_answer_with_the_new_version_from_one_instant_on(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(regions=REGIONS, pods_per_region=1)
    topics = Topics(stack.settings)
    stop, answers = asyncio.Event(), {region: Answers() for region in REGIONS}
    asking: list[asyncio.Task[None]] = []
    try:
        agents = [stack.agent(region) for region in REGIONS]
        leader = controller(stack)
        for each in (*agents, leader):
            await asyncio.to_thread(until, lambda each=each: each.said("partitions assigned"), "it runs")
        with Publisher(stack.settings) as publisher, RolloutCommander(stack.settings) as commander:
            await asyncio.to_thread(publisher.publish, "fraud", stack.model(1))
            for region in REGIONS:
                served = f"version 1 serves in {region}"
                await asyncio.to_thread(
                    until, lambda region=region: topics.serving("fraud", 1, region=region, pods=1), served
                )
            await asyncio.to_thread(publisher.publish, "fraud", stack.model(2), activation=Activation.STAGED)
            for region in REGIONS:
                (url,) = json.loads(stack.env[f"MODELCAST_REGIONS__{region.upper()}__PODS"])
                asking.append(asyncio.create_task(users(url, answers[region], stop)))
            plan = replace(BLUE_GREEN, steps=(PlanStep(0), PlanStep(10_000, 3_600)))
            await asyncio.to_thread(commander.start, "fraud", 2, plan, reason="a test")
            met = "every region meets the new version"
            await asyncio.to_thread(until, lambda: all(a.of("2") for a in answers.values()), met)
            await asyncio.sleep(0.5)
            rollout = RegistryReader(origin_store(stack.settings)).tail("fraud").log.rollout
        stop.set()
        await asyncio.gather(*asking)
    finally:
        stop.set()
        topics.close()
    assert rollout is not None
    at = rollout.not_before_us / 1e6
    old = [each for found in answers.values() for each in found.of("1")]
    new = [each for found in answers.values() for each in found.of("2")]
    skew_ms = 1e3 * (max(answered for _, answered, _ in old) - min(answered for _, answered, _ in new))
    firsts = {
        region: 1e3 * (min(answered for _, answered, _ in found.of("2")) - at) for region, found in answers.items()
    }
    print(f"first new to last old answer: {skew_ms:.1f} ms; first new after the instant: {firsts}")
    assert [found.failed for found in answers.values()] == [[], [], []]
    assert all(asked < at for asked, _, _ in old), "who asks after the instant meets the new version"
    assert all(answered >= at for _, answered, _ in new), "and nobody meets it before"
