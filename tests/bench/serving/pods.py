"""Pods side by side, on the same weights in one run: ours, Triton and MLServer (through a companion), bare aiohttp.

Each server is asked at a fixed rate (open loop) while nothing happens and while versions swap; each answer's content
is compared with the versions that may answer then. Then 16 connections ask as fast as they are answered, for the
processor time of a request; then the same version is loaded again and again, for what memory remains.

    python -m tests.bench.serving.pods --json pods.json [--rounds 20] [--megabytes 205] [--only ours] [pod options]
    python -m tests.bench.serving.pods --quick     small, all parts, two minutes
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench.cpu import cpu_seconds
from tests.bench.figures import conditions
from tests.bench.serving.pods_client import Answers, open_loop
from tests.bench.serving.pods_peers import PEERS, Peer, make_peer
from tests.consumers.pod.models import table

COLUMNS = 64
ROW = 7
BODY = json.dumps({"inputs": [{"name": "i", "datatype": "INT64", "shape": [1], "data": [ROW]}]}).encode()
READ_ONCE = """
import sys, time, numpy as np, onnxruntime as ort
began = time.perf_counter()
for name in ("model.onnx", "weights.bin"):
    with open(sys.argv[1] + "/" + name, "rb") as file:
        while file.read(1 << 20):
            pass
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1] + "/model.onnx", options)
session.run(["y"], {"i": np.array([7])})
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Plan:
    """How long and how large."""

    megabytes: int
    swaps: int
    rate_per_second: float
    steady_seconds: float
    pause_seconds: float
    closed_seconds: float
    reloads: int


QUICK = Plan(20, 3, 50.0, 3.0, 0.5, 2.0, 5)


class Weights:
    """Two versions in turn, and what each answers."""

    def __init__(self, megabytes: int) -> None:
        rows = megabytes * 1_000_000 // (4 * COLUMNS)
        self._files = [table(seed, rows, COLUMNS).files for seed in (1, 2)]
        first = [float(np.frombuffer(f["weights.bin"], "f4")[ROW * COLUMNS]) for f in self._files]
        self.names = {round(value, 4): name for value, name in zip(first, ("odd", "even"), strict=True)}

    def of(self, version: int) -> Mapping[str, bytes]:
        """The files of a version."""
        return self._files[(version + 1) % 2]

    @staticmethod
    def name(version: int) -> str:
        """Which of the two it is."""
        return "odd" if version % 2 else "even"


def read_once_seconds(weights: Weights) -> float:
    """What any swap has to do: read the weights and answer once; in a new process, the median of three."""
    with tempfile.TemporaryDirectory() as folder:
        for name, body in weights.of(1).items():
            (Path(folder) / name).write_bytes(body)
        runs = [
            float(subprocess.run([sys.executable, "-c", READ_ONCE, folder], capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
    return statistics.median(runs)


async def measure(peer: Peer, weights: Weights, plan: Plan, floor_seconds: float) -> dict[str, Any]:
    """Everything of one server."""
    await peer.start(weights.of(1))
    await asyncio.sleep(2.0)
    serving = {"now": frozenset({weights.name(1)})}

    async def asked(work: "asyncio.Task[None] | float") -> Answers:
        stop = asyncio.Event()
        traffic = asyncio.create_task(
            open_loop(peer.url, BODY, plan.rate_per_second, stop, lambda: serving["now"], weights.names)
        )
        await (asyncio.sleep(work) if isinstance(work, float) else work)
        stop.set()
        return await traffic

    swaps: list[float] = []

    async def swap_all() -> None:
        for version in range(2, plan.swaps + 2):
            serving["now"] = frozenset({"odd", "even"})
            swaps.append(await peer.swap(weights.of(version), version))
            serving["now"] = frozenset({weights.name(version)})
            await asyncio.sleep(plan.pause_seconds)

    steady = await asked(plan.steady_seconds)
    swapping = await asked(asyncio.create_task(swap_all()))
    result: dict[str, Any] = {
        "steady": _summary(steady),
        "in_swaps": _summary(swapping),
        "p99_in_swaps_less_steady_ms": round(_ms(swapping, 0.99) - _ms(steady, 0.99), 2),
        "swap_seconds": {"median": statistics.median(swaps), "min": min(swaps), "max": max(swaps)},
        "swap_by_read_and_run": round(statistics.median(swaps) / floor_seconds, 2),
    }
    pids = peer.tree()
    before = sum(map(cpu_seconds, pids))
    count = await asyncio.to_thread(_closed, peer.url, plan.closed_seconds)
    taken = sum(map(cpu_seconds, peer.tree())) - before
    result["closed_16"] = {
        "per_second": round(count / plan.closed_seconds),
        "cpu_us_a_request": round(taken / count * 1e6, 1),
    }
    memory = [_pss_bytes(peer)]
    for version in range(plan.swaps + 2, plan.swaps + 2 + plan.reloads):
        await peer.swap(weights.of(version), version)
    await asyncio.sleep(3.0)
    memory.append(_pss_bytes(peer))
    result["memory_after_reloads"] = {
        "reloads": plan.reloads,
        "megabytes": [round(m / 1e6) for m in memory],
        "ratio": round(memory[1] / memory[0], 3),
    }
    return result


def _closed(url: str, seconds: float) -> int:
    """In a process of its own, so that the client's work is not slowed by ours."""
    program = (
        "import asyncio, sys; from tests.bench.serving.pods_client import closed_loop;"
        "print(asyncio.run(closed_loop(sys.argv[1], sys.argv[2].encode(), 16, float(sys.argv[3]))))"
    )
    command = [sys.executable, "-c", program, url, BODY.decode(), str(seconds)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _pss_bytes(peer: Peer) -> int:
    total = 0
    for pid in peer.tree():
        try:
            total += psutil.Process(pid).memory_full_info().pss or psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return total


def _ms(answers: Answers, quantile: float) -> float:
    return float(np.quantile(answers.seconds, quantile)) * 1000


def _summary(answers: Answers) -> dict[str, Any]:
    return {
        "sent": len(answers.seconds),
        "failed": len(answers.failed),
        "wrong_version": len(answers.wrong),
        **{f"p{q:g}_ms": round(_ms(answers, q / 100), 2) for q in (50, 99)},
        "max_ms": round(_ms(answers, 1.0), 2),
        "examples": [*answers.failed[:2], *answers.wrong[:2]],
    }


async def run(plan: Plan, names: list[str], options: list[str]) -> dict[str, Any]:
    """All the servers, one after the other."""
    weights = Weights(plan.megabytes)
    floor_seconds = read_once_seconds(weights)
    found: dict[str, Any] = {"read_and_run_seconds": floor_seconds, "plan": vars(plan)}
    for name in names:
        with tempfile.TemporaryDirectory() as home:
            peer = make_peer(name, Path(home), options)
            try:
                found[name] = await measure(peer, weights, plan, floor_seconds)
            finally:
                await peer.stop()
        show(name, found[name])
    return found


def show(name: str, found: dict[str, Any]) -> None:
    """A few lines a server."""
    steady, swaps, closed, memory = (
        found[k] for k in ("steady", "in_swaps", "closed_16", "memory_after_reloads")
    )  # fmt: skip
    print(
        f"{name:>17}: failed {steady['failed']}+{swaps['failed']} of {steady['sent']}+{swaps['sent']},"
        f" wrong {steady['wrong_version']}+{swaps['wrong_version']};"
        f" p99 {steady['p99_ms']} steady, {swaps['p99_ms']} ms in swaps;"
        f" swap {found['swap_seconds']['median']:.2f} s = {found['swap_by_read_and_run']} x read and run;"
        f" {closed['per_second']}/s, {closed['cpu_us_a_request']} us CPU;"
        f" memory x {memory['ratio']} after {memory['reloads']} reloads",
        flush=True,
    )


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=20, help="swaps of each server")
    parser.add_argument("--megabytes", type=int, default=205)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    arguments, options = parser.parse_known_args()
    full = Plan(arguments.megabytes, arguments.rounds, arguments.rate, 10.0, 1.0, 5.0, arguments.reloads)
    begun = conditions()
    found = asyncio.run(run(QUICK if arguments.quick else full, arguments.only, options))
    if arguments.json:
        arguments.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
