"""One pod: seconds to swap, latency while 100 MB are swapped again and again, throughput.

The latencies are those of an open loop of 200 requests a second, steady and while versions swap in turn, as ratios
made within a round; throughput stands beside ONNX Runtime called directly in the same run.

    python -m tests.bench.serving.pod --json pod.json [--rounds 5] [--only swap latency throughput] [pod options]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.bench.figures import conditions
from tests.consumers.pod.models import adder, matmul, order, table
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.waiting import until_async

RATE_PER_SECOND = 200.0
PARTS = ("swap", "latency", "throughput")


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 5),
        "min": round(min(values), 5),
        "max": round(max(values), 5),
        "n": len(values),
    }


async def swap_seconds(pod: PodProcess, driver: V2Pod, rounds: int) -> list[float]:
    """From the call of ``load`` to its return, with the spare warm."""
    seconds = []
    for n in range(1, rounds + 2):
        artifact = adder(float(n))
        artifact.put(pod.cache)
        await until_async(lambda n=n: len(pod.workers()) == (1 if n == 1 else 2), "one spare")  # type: ignore[misc]
        await asyncio.sleep(1.0)  # the spare finishes its imports; measured is the warm case
        started = time.perf_counter()
        await driver.load(order(artifact, n))
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


async def latencies(
    http: aiohttp.ClientSession, url: str, body: bytes, stop: asyncio.Event, failures: list[str]
) -> list[float]:
    """An open loop at a fixed rate: a late answer does not make the next question later."""
    seconds: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        try:
            async with http.post(url, data=body) as response:
                if response.status != 200:
                    failures.append(f"{response.status}: {(await response.text())[:200]}")
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            failures.append(repr(error))
        seconds.append(time.perf_counter() - due)

    due = time.perf_counter()
    while not stop.is_set():
        due += 1 / RATE_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return seconds


async def disturbed(pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession, rounds: int) -> dict[str, Any]:
    """p50 and p99 while nothing happens, and while 100 MB of weights are swapped again and again."""
    versions = [table(s, 400_000, 64) for s in (1, 2)]
    for artifact in versions:
        artifact.put(pod.cache)
    await driver.load(order(versions[0], 1, model="table"))
    url = f"{pod.url}/v2/models/table/infer"
    body = json.dumps({"inputs": [{"name": "i", "datatype": "INT64", "shape": [1], "data": [7]}]}).encode()
    found: dict[str, list[float]] = {k: [] for k in ("steady_p50", "steady_p99", "swaps_p50", "swaps_p99", "ratio_p99")}
    loads: list[float] = []
    failures: dict[str, list[str]] = {"steady": [], "swaps": []}
    sent = {"steady": 0, "swaps": 0}
    generation = 1
    for _ in range(rounds):
        quantiles: dict[str, tuple[float, float]] = {}
        for phase in ("steady", "swaps"):
            stop = asyncio.Event()
            traffic = asyncio.create_task(latencies(http, url, body, stop, failures[phase]))
            ends = time.perf_counter() + 4
            while time.perf_counter() < ends:
                if phase == "steady":
                    await asyncio.sleep(0.1)
                    continue
                generation += 1
                started = time.perf_counter()
                await driver.load(order(versions[generation % 2], generation, model="table"))
                loads.append(time.perf_counter() - started)
            stop.set()
            seconds = await traffic
            sent[phase] += len(seconds)
            quantiles[phase] = (float(np.quantile(seconds, 0.5)), float(np.quantile(seconds, 0.99)))
            found[f"{phase}_p50"].append(quantiles[phase][0])
            found[f"{phase}_p99"].append(quantiles[phase][1])
        found["ratio_p99"].append(quantiles["swaps"][1] / quantiles["steady"][1])
    return {
        **{k: summary(v) for k, v in found.items()},
        "load_100mb_seconds": summary(loads),
        "requests_sent": sent,
        "requests_failed": {phase: len(texts) for phase, texts in failures.items()},
        "failures": [text for texts in failures.values() for text in texts][:5],
    }


async def throughput(pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession, rounds: int) -> dict[str, Any]:
    """Requests a second through the pod on 8 connections, and of ONNX Runtime called directly in one thread."""
    import onnxruntime as ort

    result = {}
    for name, artifact, size in (("tiny", adder(1), 2), ("matmul_1024x1024", matmul(1, 1024, 1024), 1024)):
        folder = artifact.put(pod.cache)
        await driver.load(order(artifact, 1, model=name.replace("_", "-")))
        x = np.zeros((1, size), "f4")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(folder / "model.onnx"), options)
        item = {"name": "x", "datatype": "FP32", "shape": [1, size], "data": x.ravel().tolist()}
        body = json.dumps({"inputs": [item]}).encode()
        url = f"{pod.url}/v2/models/{name.replace('_', '-')}/infer"
        through, direct = [], []
        for _ in range(rounds):
            count = 0
            ends = time.perf_counter() + 2

            async def client(url: str = url, body: bytes = body, ends: float = ends) -> None:
                nonlocal count
                while time.perf_counter() < ends:
                    async with http.post(url, data=body) as response:
                        await response.read()
                    count += 1

            await asyncio.gather(*(client() for _ in range(8)))
            through.append(count / 2)
            done, ends = 0, time.perf_counter() + 1
            while time.perf_counter() < ends:
                session.run(None, {"x": x})
                done += 1
            direct.append(float(done))
        result[name] = {"pod_per_second": summary(through), "onnxruntime_per_second": summary(direct)}
    return result


async def measure(rounds: int, options: list[str], only: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {"options": options}
    with tempfile.TemporaryDirectory() as home:
        pod = PodProcess(Path(home), *options).start()
        driver = V2Pod("pod", pod.url, TOKEN)
        try:
            async with aiohttp.ClientSession() as http:
                if "swap" in only:
                    result["small_swap_seconds"] = summary(await swap_seconds(pod, driver, rounds))
                if "latency" in only:
                    result["latency_seconds"] = await disturbed(pod, driver, http, rounds)
                if "throughput" in only:
                    result["throughput"] = await throughput(pod, driver, http, rounds)
        finally:
            await driver.aclose()
            pod.stop()
    return result


def show(found: dict[str, Any], indent: str = "") -> None:
    """A line a figure."""
    for name, value in found.items():
        if isinstance(value, dict) and "median" in value:
            print(f"{indent}{name:>24}: {value['median']:>12,.5g}  ({value['min']:,.5g} to {value['max']:,.5g})")
        elif isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        elif value:
            print(f"{indent}{name:>24}: {value}")


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments, options = parser.parse_known_args()
    begun = conditions()
    found = asyncio.run(measure(arguments.rounds, options, arguments.only))
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
