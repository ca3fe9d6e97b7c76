"""Steady prediction traffic to every pod, each answer checked against the version that it names."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from modelcast.cli.demo.answers import INPUT_NAME, OUTPUT_NAME, Answers

REQUEST_SECONDS_MAX = 120.0
"""A request is waited for no longer: it may be lost, or only late on a busy machine; whatever is sooner is late."""
UNDER_WAY_MAX = 32
"""Requests to one pod that have no answer yet: a slow pod is asked less often, not buried."""
EXAMPLES_KEPT = 5


@dataclass(slots=True)
class Tally:
    """What came back.

    Attributes:
        unanswered: given up after ``REQUEST_SECONDS_MAX``, or still waited for when the demo ended.
        lost: sent, and nothing came of them, although the traffic came to its end.
        answered_by_pod: right and wrong answers.
        examples: the first failures and wrong answers, in words.
    """

    sent: int = 0
    failed: int = 0
    unanswered: int = 0
    lost: int = 0
    wrong: int = 0
    by_pod: Counter[str] = field(default_factory=Counter)
    answered_by_pod: Counter[tuple[str, int]] = field(default_factory=Counter)  # (pod, version)
    versions_now: dict[str, int] = field(default_factory=dict)
    versions_ever: set[int] = field(default_factory=set)
    latencies_seconds: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def count_missing(self, *, ended: bool) -> None:
        """Once no answer is waited for any more; ``ended``: the traffic waited for all that were due."""
        missing = self.sent - self.failed - self.unanswered - len(self.latencies_seconds)
        if ended:
            self.lost = missing
        else:
            self.unanswered += missing

    def complain(self, text: str) -> None:
        """Keep the first few."""
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(text)


class Traffic:
    """Sends ``rate`` predictions a second to each pod until it is stopped; none while ``UNDER_WAY_MAX`` lack an answer.

    Args:
        pods: base URLs.
        model: whose predictions.
        answers: what each version computes offline.
        rate: requests a second a pod.
    """

    def __init__(self, pods: Sequence[str], model: str, answers: Answers, *, rate: float) -> None:
        self.tally = Tally()
        self.pods = tuple(pods)
        self._path = f"/v2/models/{model}/infer"
        self._answers = answers
        self._rate = rate
        self._bodies = [
            {
                "inputs": [{"name": INPUT_NAME, "shape": [1, 64], "datatype": "FP32", "data": row.tolist()}],
                "outputs": [{"name": OUTPUT_NAME}],
            }
            for row in answers.inputs
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Keep sending until ``stop``, then wait for the answers that are still due."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX)
        everything = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=everything) as session:
            await asyncio.gather(*(self._keep_sending(session, pod, stop) for pod in self.pods))

    async def _keep_sending(self, session: aiohttp.ClientSession, pod: str, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due, under_way = loop.time(), set[asyncio.Task[None]]()
        for sample in itertools.cycle(range(len(self._bodies))):
            if stop.is_set():
                break
            task = loop.create_task(self._one(session, pod, sample))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due = max(due + 1 / self._rate, loop.time() - 1)  # what a busy machine missed is not made up for in a burst
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(under_way) >= UNDER_WAY_MAX:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*under_way)

    async def _one(self, session: aiohttp.ClientSession, pod: str, sample: int) -> None:
        loop, tally = asyncio.get_running_loop(), self.tally
        tally.sent += 1
        tally.by_pod[pod] += 1
        begun = loop.time()
        try:
            async with session.post(pod + self._path, json=self._bodies[sample]) as response:
                if response.status != 200:
                    tally.failed += 1
                    tally.complain(f"{pod}: {response.status} {(await response.text())[:200]}")
                    return
                answer: dict[str, Any] = await response.json()
                named = int(response.headers["modelcast-version"])
        except TimeoutError:  # aiohttp.ServerTimeoutError is one, too
            tally.unanswered += 1
            return
        except (aiohttp.ClientError, ValueError, KeyError) as error:
            tally.failed += 1
            tally.complain(f"{pod}: {error!r}")
            return
        tally.latencies_seconds.append(loop.time() - begun)
        tally.versions_now[pod] = named
        tally.versions_ever.add(named)
        tally.answered_by_pod[pod, named] += 1
        output: list[float] = next((o["data"] for o in answer.get("outputs", ()) if o.get("name") == OUTPUT_NAME), [])
        if str(answer.get("model_version")) != str(named) or not self._answers.right(named, sample, output):
            tally.wrong += 1
            tally.complain(f"{pod}: not what version {named} computes for sample {sample}")
