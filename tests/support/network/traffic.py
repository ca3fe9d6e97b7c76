"""Predictions to every pod, without end, each answer checked against the version that it names."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.support.network.slow_link import Network

REQUEST_SECONDS_MAX = 20.0
INPUT = [1.25, -3.0]
Number = Callable[[int], float]
"""What a model's version adds to its input."""


@dataclass
class Tally:
    """What came back; ``examples`` are the first failures, in words."""

    sent: int = 0
    failed: int = 0
    wrong: int = 0
    backwards: int = 0
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)  # by model and version
    served: dict[tuple[str, str], int] = field(default_factory=dict)  # by pod and model: the last version named
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.failed or self.wrong or self.backwards)


class Traffic:
    """Asks each pod for each model ``rate`` times a second. Late answers don't slow it down.

    Args:
        pods: base URLs.
        numbers: by model, what each of its versions adds.
        rate: requests a second for each pod and model.
    """

    def __init__(self, network: Network, pods: Sequence[str], numbers: Mapping[str, Number], *, rate: float) -> None:
        self.tally = Tally()
        self._numbers, self._rate = numbers, rate
        self._network = network
        self._stop = asyncio.Event()
        self._done = network.spawn(self._run(pods))

    def stop(self) -> Tally:
        """No new requests; wait for the answers that are due."""

        async def end() -> None:
            self._stop.set()

        self._network.run(end())
        self._done.result(REQUEST_SECONDS_MAX + 10)
        return self.tally

    async def _run(self, pods: Sequence[str]) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._keep(session, *each) for each in itertools.product(pods, self._numbers)))

    async def _keep(self, session: aiohttp.ClientSession, pod: str, model: str) -> None:
        under_way: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            task = asyncio.create_task(self._one(session, pod, model))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(1 / self._rate)
        await asyncio.gather(*under_way)

    async def _one(self, session: aiohttp.ClientSession, pod: str, model: str) -> None:
        tally = self.tally
        tally.sent += 1
        known = tally.served.get((pod, model), 0)  # what it answered before this was asked
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": INPUT}]}
        try:
            async with session.post(f"{pod}/v2/models/{model}/infer", json=body) as response:
                text = await response.text()
                if response.status != 200:
                    self._complain("failed", f"{pod} {model}: {response.status} {text[:200]}")
                    return
                named = int(response.headers["modelcast-version"])
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            self._complain("failed", f"{pod} {model}: {error!r}")
            return
        right = [x + self._numbers[model](named) for x in INPUT]
        if answer["outputs"][0]["data"] != right or str(answer["model_version"]) != str(named):
            self._complain("wrong", f"{pod} {model}: named {named}, said {answer}")
        if named < known:
            self._complain("backwards", f"{pod} {model}: {named} after {known}")
        tally.answered[model, named] += 1
        tally.served[pod, model] = max(named, tally.served.get((pod, model), 0))

    def _complain(self, what: str, text: str) -> None:
        setattr(self.tally, what, getattr(self.tally, what) + 1)
        if len(self.tally.examples) < 10:
            self.tally.examples.append(f"{what}: {text}")
