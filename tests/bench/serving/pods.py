"""Pods side by side, on the same weights in one run: ours, Triton, MLServer, KServe through a companion, bare ones.

Each server is asked at a fixed rate (open loop) while nothing happens and while versions swap; each answer's content
is compared with the versions that may answer then, and no two versions answer alike. Then 16 connections ask as fast
as they are answered, for the processor time of a request; then versions are loaded again and again, for what memory
remains. ``-naive`` and ``-by-hand``: without a companion, as the server's own documentation has it. ``-compared``: the
artifacts record a sample, so a companion loads each version twice and compares its answers.

    python -m tests.bench.serving.pods --json pods.json [--swaps 20] [--reloads 100] [--only ours triton]
    python -m tests.bench.serving.pods --quick     small, all parts, three minutes

In full it takes about a quarter of an hour on two idle cores.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench.cpu import cpu_seconds
from tests.bench.figures import conditions, spread
from tests.bench.serving.pods_client import Answers, Ask, asking_grpc, asking_http, open_loop
from tests.bench.serving.pods_peers import BARE, BY_HAND, COMPANIONED, COMPARED, PEERS, RELOADED, Peer, make_peer
from tests.bench.serving.pods_shared import MODEL
from tests.consumers.pod.models import table, table_graph

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


QUICK = Plan(20, 3, 50.0, 3.0, 1.0, 1.0, 5)
CLOSED_RUNS = 3
WINDOWS = 5


def plan_for(name: str, plan: Plan) -> Plan:
    """What is measured of a server: of those that promise nothing, what takes minutes is left out."""
    if name in BARE:
        return replace(plan, pause_seconds=min(plan.pause_seconds, 0.3), reloads=0)
    if name in BY_HAND | COMPARED:
        return replace(plan, closed_seconds=0.0, reloads=0)
    return plan if name in RELOADED else replace(plan, reloads=0)


class Weights:
    """Versions that take two large files in turn, and each adds a number of its own: no two answer alike."""

    def __init__(self, megabytes: int, versions: int) -> None:
        self._rows = megabytes * 1_000_000 // (4 * COLUMNS)
        self._large = [table(seed, self._rows, COLUMNS).files["weights.bin"] for seed in (1, 2)]
        self.names = {round(float(self._answer(v)[0]), 4): self.name(v) for v in range(1, versions + 1)}
        assert len(self.names) == versions, "two versions answer alike"

    def of(self, version: int, *, with_sample: bool = False) -> Mapping[str, bytes]:
        """The files of a version."""
        files = {
            "model.onnx": table_graph(self._rows, COLUMNS, _plus(version)),
            "weights.bin": self._large[version % 2],
        }
        if not with_sample:
            return files
        answer = {"name": "y", "datatype": "FP32", "shape": [1, COLUMNS], "data": self._answer(version).tolist()}
        sample = {"request": json.loads(BODY), "response": {"outputs": [answer]}}
        return {**files, "modelcast/sample.json": json.dumps(sample).encode()}

    @staticmethod
    def name(version: int) -> str:
        """What it is called where answers are judged."""
        return f"version {version}"

    def _answer(self, version: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
        large = np.frombuffer(self._large[version % 2], "f4", COLUMNS, ROW * COLUMNS * 4)
        return large + np.float32(_plus(version))


def _plus(version: int) -> float:
    return version / 4


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


async def measure(
    peer: Peer, weights: Weights, plan: Plan, floor_seconds: float, *, compared: bool = False
) -> dict[str, Any]:
    """Everything of one server."""
    await peer.start(weights.of(1, with_sample=compared))
    await asyncio.sleep(1.0)
    serving = {"now": frozenset({weights.name(1)})}

    async def asked(work: "asyncio.Task[None] | float") -> Answers:
        stop = asyncio.Event()
        async with _asking(peer) as ask:
            traffic = asyncio.create_task(
                open_loop(ask, plan.rate_per_second, stop, lambda: serving["now"], weights.names)
            )
            try:
                await (asyncio.sleep(work) if isinstance(work, float) else work)
            finally:
                stop.set()
                answers = await traffic
        return answers

    swaps: list[float] = []

    async def swap_all() -> None:
        for version in range(2, plan.swaps + 2):
            serving["now"] = frozenset({weights.name(version - 1), weights.name(version)})
            swaps.append(await peer.swap(weights.of(version, with_sample=compared), version))
            serving["now"] = frozenset({weights.name(version)})
            await asyncio.sleep(plan.pause_seconds)

    steady = await asked(plan.steady_seconds)
    swapping = await asked(asyncio.create_task(swap_all()))
    result: dict[str, Any] = {
        "steady": _summary(steady),
        "in_swaps": _summary(swapping),
        "p99_in_swaps_less_steady_ms": round(_ms(swapping, 0.99) - _ms(steady, 0.99), 2),
        "swap_seconds": spread(swaps),
        "swap_by_read_and_run": round(statistics.median(swaps) / floor_seconds, 2),
    }
    if plan.closed_seconds:
        result["closed_16"] = await _closed_runs(peer, plan.closed_seconds)
    if not plan.reloads:
        return result
    memory = [(_pss_bytes(peer.tree()), _pss_bytes(peer.beside()))]
    for version in range(plan.swaps + 2, plan.swaps + 2 + plan.reloads):
        await peer.swap(weights.of(version), version)
    await asyncio.sleep(2.0)
    memory.append((_pss_bytes(peer.tree()), _pss_bytes(peer.beside())))
    (server, companion), (server_after, companion_after) = memory
    result["memory_after_reloads"] = {
        "reloads": plan.reloads,
        "megabytes": [round(m / 1e6) for m in (server, server_after)],
        "ratio": round(server_after / server, 3),
        "companion_megabytes": [round(m / 1e6) for m in (companion, companion_after)],
        "ratio_with_companion": round((server_after + companion_after) / (server + companion), 3),
    }
    return result


def _asking(peer: Peer) -> AbstractAsyncContextManager[Ask]:
    return asking_grpc(peer.grpc, MODEL, ROW) if peer.grpc else asking_http(peer.url, BODY)


async def _closed_runs(peer: Peer, seconds: float) -> dict[str, Any]:
    closed = [await asyncio.to_thread(_closed_run, peer, seconds) for _ in range(CLOSED_RUNS)]
    return {
        "per_second": spread([count / seconds for count, _, _ in closed]),
        "cpu_us_a_request": spread([taken / count * 1e6 for count, taken, _ in closed]),
        "cpu_us_a_request_with_companion": spread([(taken + more) / count * 1e6 for count, taken, more in closed]),
    }


def _closed_run(peer: Peer, seconds: float) -> tuple[int, float, float]:
    """How many requests were answered, and the processor seconds that server and companion took meanwhile."""
    before = {pid: cpu_seconds(pid) for pid in (*peer.tree(), *peer.beside())}
    count = _closed(peer, seconds)
    server, companion = (
        sum(cpu_seconds(pid) - before.get(pid, 0.0) for pid in pids) for pids in (peer.tree(), peer.beside())
    )
    return count, server, companion


def _closed(peer: Peer, seconds: float) -> int:
    """In a process of its own, so that the client's work is not slowed by ours."""
    asked = f"closed_loop_grpc({peer.grpc!r}, {MODEL!r}, {ROW}" if peer.grpc else f"closed_loop({peer.url!r}, {BODY!r}"
    program = (
        "import asyncio; from tests.bench.serving.pods_client import closed_loop, closed_loop_grpc;"
        f"print(asyncio.run({asked}, 16, {seconds})))"
    )
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)


def _pss_bytes(pids: Iterable[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss or psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return total


def _ms(answers: Answers, quantile: float) -> float:
    return float(np.quantile(answers.seconds, quantile)) * 1000


def _summary(answers: Answers) -> dict[str, Any]:
    windows = [part for part in np.array_split(np.array(answers.seconds), WINDOWS) if len(part)]
    return {
        "sent": len(answers.seconds),
        "failed": len(answers.failed),
        "wrong_version": len(answers.wrong),
        **{f"p{q:g}_ms": round(_ms(answers, q / 100), 2) for q in (50, 99)},
        "max_ms": round(_ms(answers, 1.0), 2),
        "p99_ms_by_window": spread([round(float(np.quantile(part, 0.99)) * 1000, 2) for part in windows]),
        "examples": [*answers.failed[:2], *answers.wrong[:2]],
    }


async def run(plan: Plan, names: list[str], options: list[str]) -> dict[str, Any]:
    """All the servers, one after the other. One that fails is named, and the others go on."""
    weights = Weights(plan.megabytes, plan.swaps + plan.reloads + 1)
    floor_seconds = read_once_seconds(weights)
    found: dict[str, Any] = {"read_and_run_seconds": floor_seconds, "plan": vars(plan), "errors": {}}
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            peer = make_peer(name, Path(home), options)
            try:
                plan_here = plan_for(name, plan)
                found[name] = await measure(peer, weights, plan_here, floor_seconds, compared=name in COMPARED)
            except Exception as error:
                found["errors"][name] = f"{type(error).__name__}: {error}"
                print(f"{name:>17}: {found['errors'][name]}", flush=True)
                continue
            finally:
                await peer.stop()
                _end_all()
        show(name, found[name], time.monotonic() - began)
    promises = promised(found)
    found["promises"] = {promise: {"held": so} for promise, so in promises.items()}
    found["held"] = all(promises.values())
    for promise, so in sorted(promises.items(), key=lambda item: not item[1]):
        print(f"{'held' if so else 'NOT held':>17}: {promise}", flush=True)
    return found


def _end_all() -> None:
    """No process of a server outlives its turn."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def promised(found: Mapping[str, Any]) -> dict[str, bool]:
    """What is promised of the servers that were measured, and whether this run shows it."""
    said: dict[str, bool] = {}
    for name in ({"ours"} | COMPANIONED | COMPARED) & found.keys():
        parts = (found[name]["steady"], found[name]["in_swaps"])
        said[f"{name}: no request failed, none was answered by another version"] = not any(
            part["failed"] + part["wrong_version"] for part in parts
        )
    for name in ({"ours"} | COMPANIONED) & found.keys():
        said[f"{name}: a swap at most 1.3 times reading and one run"] = found[name]["swap_by_read_and_run"] <= 1.3
    for name in RELOADED & found.keys():
        if (memory := found[name].get("memory_after_reloads")) is None:
            continue  # --reloads 0
        for what, ratio in (("", "ratio"), (", with its companion", "ratio_with_companion")):
            if name in COMPANIONED or not what:
                said[f"{name}{what}: memory after reloads at most 1.1 times"] = memory[ratio] <= 1.1
    if "ours" in found:
        said["ours: p99 in swaps at most 10 ms above steady"] = found["ours"]["p99_in_swaps_less_steady_ms"] <= 10
    if {"ours", "triton"} <= found.keys():
        steady = [found[name]["steady"]["p99_ms"] for name in ("ours", "triton")]
        said["ours: steady p99 at most Triton's"] = steady[0] <= steady[1]
    if {"triton", "triton-by-hand"} <= found.keys():
        swaps = [found[name]["in_swaps"]["p99_ms"] for name in ("triton", "triton-by-hand")]
        said["triton: p99 in swaps at most 1.2 times that of loads by hand"] = swaps[0] <= 1.2 * swaps[1]
    if {"ours", "aiohttp-isolated"} <= found.keys():
        cpu = [found[name]["closed_16"]["cpu_us_a_request"]["median"] for name in ("ours", "aiohttp-isolated")]
        said["ours: processor time at most 1.2 times that of bare aiohttp, isolated"] = cpu[0] <= 1.2 * cpu[1]
    return dict(sorted(said.items()))


def show(name: str, found: Mapping[str, Any], took_seconds: float) -> None:
    """A few lines a server."""
    steady, swaps = found["steady"], found["in_swaps"]
    closed, memory = found.get("closed_16"), found.get("memory_after_reloads")
    print(
        f"{name:>17}: failed {steady['failed']}+{swaps['failed']} of {steady['sent']}+{swaps['sent']},"
        f" wrong {steady['wrong_version']}+{swaps['wrong_version']};"
        f" p99 {steady['p99_ms']} steady, {swaps['p99_ms']} ms in swaps;"
        f" swap {found['swap_seconds']['median']:.2f} s = {found['swap_by_read_and_run']} x read and run;"
        + (
            f" {closed['per_second']['median']:.0f}/s, {closed['cpu_us_a_request']['median']:.0f} us CPU,"
            f" {closed['cpu_us_a_request_with_companion']['median']:.0f} with its companion;"
            if closed
            else ""
        )
        + (
            f" memory x {memory['ratio']} ({memory['ratio_with_companion']}) after {memory['reloads']} reloads;"
            if memory
            else ""
        )
        + f" took {took_seconds:.0f} s",
        flush=True,
    )


def _median(found: Mapping[str, Any], name: str) -> str:
    return f"{found[name]['median']:.0f}"


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--swaps", type=int, default=20, help="of each server under load")
    parser.add_argument("--megabytes", type=int, default=205)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--strict", action="store_true", help="a promise that is not held is a failure")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=[name for name in PEERS if name != "aiohttp"])
    arguments, options = parser.parse_known_args()
    full = Plan(arguments.megabytes, arguments.swaps, arguments.rate, 5.0, 1.0, 1.5, arguments.reloads)
    begun = conditions()
    found = asyncio.run(run(QUICK if arguments.quick else full, arguments.only, options))
    if arguments.json:
        arguments.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")
    if found["errors"]:
        raise SystemExit(f"not measured: {', '.join(found['errors'])}")
    if arguments.strict and not found["held"]:
        raise SystemExit("a promise was not held")


if __name__ == "__main__":
    main()
