"""A region daemon and two pods, real Kafka and S3: a candidate that answers nothing but NaN is out before ten answers.

No controller runs: the guard asks nobody.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import pytest

from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.producers.rollouts import RolloutCommander
from modelcast.schemas import keys
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.records import Activation
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.steps_and_gates import CANARY
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable, encode_table
from tests.agents.region.stack import Stack, Topics
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(180)]
REQUESTS_A_SECOND = 200.0
OUT_SECONDS_MAX = 15.0
ANSWERS_MAX = 10
QUESTION = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}


@dataclass
class Answers:
    """What users got, in the order of the answers: version and the loop's time."""

    got: list[tuple[str, float]] = field(default_factory=list)
    failed: int = 0

    def of(self, version: int) -> list[float]:
        return [at for answered, at in self.got if answered == str(version)]


async def users(urls: list[str], answers: Answers, stop: asyncio.Event) -> None:
    """So many requests a second, whether or not earlier ones were answered."""
    loop = asyncio.get_running_loop()
    began, asked, tasks = loop.time(), 0, set[asyncio.Task[None]]()
    async with aiohttp.ClientSession() as http:

        async def ask(url: str) -> None:
            async with http.post(f"{url}/v2/models/fraud/infer", json=QUESTION) as response:
                await response.read()
                answers.failed += response.status != 200
                answers.got.append((response.headers.get("modelcast-version", ""), loop.time()))

        while not stop.is_set():
            while asked < (loop.time() - began) * REQUESTS_A_SECOND:
                task = asyncio.create_task(ask(urls[asked % len(urls)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                asked += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)


async def test_a_candidate_that_answers_nan_at_one_in_a_hundred_is_out_before_its_tenth_answer(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack()
    urls = json.loads(stack.env["MODELCAST_REGIONS__EU__PODS"])
    topics = Topics(stack.settings)
    agent = stack.agent()
    stop, answers = asyncio.Event(), Answers()
    try:
        await asyncio.to_thread(until, lambda: agent.said("partitions assigned"), "the agent runs")
        with Publisher(stack.settings) as publisher, RolloutCommander(stack.settings) as commander:
            await asyncio.to_thread(publisher.publish, "fraud", stack.model(1))
            await asyncio.to_thread(until, lambda: topics.serving("fraud", 1), "version 1 serves")
            bad = await asyncio.to_thread(
                publisher.publish, "fraud", stack.model(float("nan")), activation=Activation.STAGED
            )
            started = await asyncio.to_thread(commander.start, "fraud", 2, CANARY, reason="a test")
            stepped = await asyncio.to_thread(commander.skip, "fraud", reason="a test")
            assert started is not None
            assert stepped is not None
        await asyncio.to_thread(until, lambda: agent.said("candidate"), "the candidate is on its way")
        asking = asyncio.create_task(users(urls, answers, stop))
        ack = topics.latest("fraud")
        assert ack is not None
        given = TrafficTable(
            "fraud", ack.registry_id, started.rollout, stepped.generation, 1, 1, started.event_id, RequestKey(),
            control=TrafficArm(1, ack.manifest_digest, SHARES - 100),
            candidates=(TrafficArm(2, bad.manifest_digest, 100),),
        )  # fmt: skip
        origin_store(stack.settings).put(keys.traffic_table("fraud"), encode_table(given))
        await asyncio.to_thread(until, lambda: answers.of(2), "users meet the candidate")
        await asyncio.to_thread(until, lambda: agent.said("the candidate is cut off here"), "the guard has seen it")
        await asyncio.to_thread(until, lambda: (m := stack.memory("fraud")) and m.cut, "and keeps it")
        await asyncio.sleep(3.0)
        stop.set()
        await asking
    finally:
        stop.set()
        topics.close()
    met = answers.of(2)
    print(f"the candidate answered {len(met)} times in {met[-1] - met[0]:.2f} s; {len(answers.got)} answers in all")
    assert len(met) < ANSWERS_MAX
    assert met[-1] - met[0] <= OUT_SECONDS_MAX
    assert answers.failed == 0
    assert len(answers.of(1)) > 100
