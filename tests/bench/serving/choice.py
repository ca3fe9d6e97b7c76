"""What the choice of a version costs: with a rollout, without one, and where the code for it is left out.

In one process, the answer to one request but for aiohttp and the worker: processor time, in turns. Then a real pod over
HTTP, one keep-alive client: p50 and the pod's processor time a request with a rollout on and off, with and without
shadow copies, as ratios made within a round.

    python -m tests.bench.serving.choice --json choice.json [--rounds 5]
"""

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import numpy as np
import psutil
from aiohttp import web
from multidict import CIMultiDict

from modelcast.consumers.pod.api.inference import OnnxInference
from modelcast.consumers.pod.api.paths import PathTarget
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.traffic.choosing import ModelTraffic
from modelcast.consumers.pod.worker.channel import Answer
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod_clients.port import CANDIDATE
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.traffic.table import TrafficTable
from tests.bench.figures import conditions
from tests.bench.serving.pod import latencies, show, summary
from tests.consumers.pod.models import REGISTRY, adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.consumers.pod.traffic.traffic_tables import table
from tests.support.waiting import until_async

ONE, TWO = adder(100.0), adder(200.0)
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}).encode()
CALLS = 20_000
SECONDS_A_PHASE = 3.0
PROMOTIONS = 20
PAIRS = 2000
ADDED_US_MAX, RATIO_MAX = 5.0, 1.03
SHADOW_RATIO_MAX = 1.05


def shares(share: int, **more: Any) -> TrafficTable:
    return table((1, ONE.digest), (2, TWO.digest), share, model="adder", registry=REGISTRY, **more)


class _Link:
    parts = ("",)

    def part(self, name: str) -> int:
        return 0

    async def infer(self, part: int, body: bytes, json_size_bytes: int, *, timeout: float, look: bool) -> Answer:
        return _ANSWER


_ANSWER = Answer(200, ALL_JSON, b'{"outputs":[]}')


class _Content:
    def is_eof(self) -> bool:
        return True

    def read_nowait(self) -> bytes:
        return BODY


class _Request:
    content = _Content()
    headers = CIMultiDict({"x-user": "user-17", "Content-Type": "application/json"})

    async def read(self) -> bytes:
        return BODY


def _serving(artifact: Any, version: int, lane: str = "") -> Serving:
    wanted = replace(order(artifact, version), lane=lane)
    return Serving(wanted, Served(version, artifact.digest, "bytes"), 0.0)


class InProcess:
    """The same request answered again and again."""

    def __init__(self) -> None:
        slots = {"adder": Slot("adder", serving=_serving(ONE, 1))}
        slots["adder@candidate"] = Slot("adder", CANDIDATE, serving=_serving(TWO, 2, CANDIDATE))
        self._division = cast("Any", SimpleNamespace(active={}, supervisor=None))
        engine, link = SimpleNamespace(), _Link()
        engine.channel = lambda place: link
        config = cast("PodConfig", SimpleNamespace(infer_seconds_max=60.0, body_bytes_max=1 << 30))
        self._inference = OnnxInference(config, cast("Any", engine), PodMetrics(), self._division)
        self._on = ModelTraffic("adder", shares(5000, slow_us=1000), slots, {})
        control = slots["adder"].serving
        assert control is not None
        self._control: Serving = control
        self._target = PathTarget("infer", "adder")

    async def on(self) -> None:
        self._division.active["adder"] = self._on
        await self._inference.answer(cast("Any", _Request()), self._target, lambda _: self._control)

    async def off(self) -> None:
        self._division.active.clear()
        await self._inference.answer(cast("Any", _Request()), self._target, lambda _: self._control)

    async def absent(self) -> None:
        """As the pod answered before it knew about rollouts."""
        request, serving_of = _Request(), lambda _: self._control
        request.headers.get("Inference-Header-Content-Length")
        body = request.content.read_nowait() if request.content.is_eof() else await request.read()
        started = time.perf_counter()
        serving = serving_of(self._target)
        series, order_ = self._inference.series, serving.order
        series.begun()
        try:
            link = self._inference._engine.channel(order_.model)
            part = link.part(self._target.part)
            answer = await link.infer(part, body, ALL_JSON, timeout=60.0, look=False)
            status = answer.status
        finally:
            series.ended(order_.model, order_.version, status, time.perf_counter() - started)
        web.Response(status=answer.status, body=answer.body, headers=serving.answer_headers.copy())


async def _microseconds(answer: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()  # others that want the processor change it little
    for _ in range(CALLS):
        await answer()
    return (time.process_time() - started) / CALLS * 1e6


async def in_process(rounds: int) -> dict[str, Any]:
    """Microseconds an answer of each kind, in turns."""
    found: dict[str, list[float]] = {"absent": [], "off": [], "on": []}
    process = InProcess()
    for _ in range(rounds):
        for name, values in found.items():
            values.append(await _microseconds(getattr(process, name)))
    added = {
        "off_added_us": [off - absent for off, absent in zip(found["off"], found["absent"], strict=True)],
        "on_added_us": [on - absent for on, absent in zip(found["on"], found["absent"], strict=True)],
    }
    return {f"{name}_us": summary(values) for name, values in found.items()} | {
        name: summary(values) for name, values in added.items()
    }


async def _asked(http: aiohttp.ClientSession, url: str, process: psutil.Process) -> tuple[float, float, float]:
    """p50 and p99 in seconds, and the processor seconds of the pod's front a request."""
    seconds: list[float] = []
    used = sum(process.cpu_times()[:2])
    ends = time.perf_counter() + SECONDS_A_PHASE
    while (started := time.perf_counter()) < ends:
        headers = {"x-user": f"user-{len(seconds)}"}
        async with http.post(url, data=BODY, headers=headers) as response:
            await response.read()
        seconds.append(time.perf_counter() - started)
    cpu = (sum(process.cpu_times()[:2]) - used) / len(seconds)
    return float(np.quantile(seconds, 0.5)), float(np.quantile(seconds, 0.99)), cpu


async def over_http(rounds: int) -> dict[str, Any]:
    """A real pod: ratios to no rollout, within a round."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as home:
        pod = PodProcess(Path(home), forked=False)
        for artifact in (ONE, TWO):
            artifact.put(pod.cache)
        pod.start()
        numbers = itertools.count(1)
        driver, front = V2Pod("pod", pod.url, TOKEN), psutil.Process(pod.pid)
        tables = {"off": shares(0), "on": shares(5000, slow_us=1000), "shadow": shares(0, shadow=10_000)}
        try:
            async with aiohttp.ClientSession() as http:
                await driver.load(order(ONE, 1))
                await until_async(lambda: len(pod.workers()) == 2, "one serves, one waits for the candidate")
                candidate = max(pod.workers(), key=lambda worker: worker.create_time())
                await driver.load(replace(order(TWO, 2), lane=CANDIDATE))
                url = f"{pod.url}/v2/models/adder/infer"
                await _asked(http, url, front)
                for _ in range(rounds):
                    seen: dict[str, tuple[float, float, float]] = {}
                    for name, shown in tables.items():
                        await driver.apply_traffic(replace(shown, sequence=next(numbers)))
                        seen[name] = await _asked(http, url, front)
                    await driver.apply_traffic(shares(1, sequence=next(numbers), slow_us=1000))
                    found.setdefault("divided_p50_ratio", []).append(await _paired(http, url))
                    for name in ("on", "shadow"):
                        for at, figure in enumerate(("p50", "p99", "cpu")):
                            found.setdefault(f"{name}_{figure}_ratio", []).append(seen[name][at] / seen["off"][at])
                    found.setdefault("off_p50_us", []).append(seen["off"][0] * 1e6)
                # With its process standing still the queue is full, and further copies are dropped.
                await driver.apply_traffic(replace(tables["shadow"], sequence=next(numbers)))
                candidate.suspend()
                hung = await _asked(http, url, front)
                with suppress(psutil.NoSuchProcess):  # the pod replaces one that answers nothing for long
                    candidate.resume()
                await driver.apply_traffic(replace(tables["off"], sequence=next(numbers)))
                without = await _asked(http, url, front)
                for at, figure in enumerate(("p50", "p99")):
                    found[f"hung_shadow_{figure}_ratio"] = [hung[at] / without[at]]
                promoted = await _promoted(driver, http, url)
        finally:
            await driver.aclose()
            pod.stop()
    return {name: summary(values) for name, values in found.items()} | promoted


async def _paired(http: aiohttp.ClientSession, url: str) -> float:
    """p50 of requests that are divided ÷ of those that name their version, asked in turns; the control answers."""
    seconds: tuple[list[float], list[float]] = ([], [])
    urls = (url, url.replace("/infer", "/versions/1/infer"))
    for n in range(PAIRS):
        for which, each in enumerate(urls):
            started = time.perf_counter()
            async with http.post(each, data=BODY, headers={"x-user": f"user-{n % 100}"}) as response:
                await response.read()
            seconds[which].append(time.perf_counter() - started)
    return float(np.quantile(seconds[0], 0.5) / np.quantile(seconds[1], 0.5))


async def _promoted(driver: V2Pod, http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Promotions and ways back under an open loop of 200 requests a second: seconds of each, and what failed."""
    stop, failures, seconds = asyncio.Event(), list[str](), list[float]()
    traffic = asyncio.create_task(latencies(http, url, BODY, stop, failures))
    for n in range(PROMOTIONS):
        await asyncio.sleep(0.2)
        wanted = order((TWO, ONE)[n % 2], (2, 1)[n % 2], generation=100 + n)
        started = time.perf_counter()
        await driver.load(wanted)
        seconds.append(time.perf_counter() - started)
    stop.set()
    sent = len(await traffic)
    return {
        "promotion_seconds": summary(seconds),
        "sent_while_promoted": sent,
        "failed_while_promoted": len(failures),
        "failures": failures[:5],
    }


def promises(found: dict[str, Any]) -> dict[str, Any]:
    """T1 and T14: no rollout costs nothing that can be felt, and one little."""
    on, off = found["in_process"]["on_added_us"]["median"], found["in_process"]["off_added_us"]["median"]
    ratio = found["over_http"]["divided_p50_ratio"]["median"]
    failed = found["over_http"]["failed_while_promoted"]
    hung = found["over_http"]["hung_shadow_p99_ratio"]["median"]
    return {
        "no request fails while versions are promoted": {"found": failed, "held": failed == 0},
        f"a rollout adds at most {ADDED_US_MAX:g} us": {"found": on, "held": on <= ADDED_US_MAX},
        f"no rollout adds at most {ADDED_US_MAX:g} us": {"found": off, "held": off <= ADDED_US_MAX},
        f"p99 beside a shadow that hangs is at most {SHADOW_RATIO_MAX:g} x": {
            "found": hung,
            "held": hung <= SHADOW_RATIO_MAX,
        },
        f"p50 where requests are divided is at most {RATIO_MAX:g} x": {"found": ratio, "held": ratio <= RATIO_MAX},
    }


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    begun = conditions()
    found: dict[str, Any] = {
        "in_process": asyncio.run(in_process(arguments.rounds)),
        "over_http": asyncio.run(over_http(arguments.rounds)),
    }
    show(found)
    found["promises"] = promises(found)
    for promise, judged in found["promises"].items():
        print(f"{'held' if judged['held'] else 'NOT held'}: {promise} ({judged['found']})")
    if arguments.json:
        arguments.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
