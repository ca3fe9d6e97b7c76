"""Pods side by side, on the same weights in one run: ours, Triton, MLServer, KServe through a companion, bare ones.

Each server is asked at a fixed rate (open loop) while nothing happens and while versions swap; each answer's content
is compared with the versions that may answer then, and no two versions answer alike. Then 16 connections ask as fast
as they are answered, for the processor time of a request; then versions are loaded again and again, for what memory
remains. ``-by-hand``: without a companion, as a careful operator swaps; ``-naive``: as the server's own documentation
has it. ``-compared``: the artifacts record a sample, so a companion loads each version twice and compares its answers.
At the end our pod and a bare application are asked in turns, and 1,000 simulated pods get a version.

    python -m tests.bench.serving.pods --json pods.json [--swaps 20] [--reloads 100] [--only ours triton]
    python -m tests.bench.serving.pods --quick     small, all parts, three minutes

In full it takes about a quarter of an hour on two idle cores.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench.figures import conditions, spread
from tests.bench.rollover import measure as measure_rollover
from tests.bench.serving.pods_client import Answers, Ask, asking_grpc, asking_http, open_loop
from tests.bench.serving.pods_closed import closed_runs, in_pairs
from tests.bench.serving.pods_peers import BARE, BY_HAND, COMPARED, NAIVE, PEERS, RELOADED, Peer, make_peer
from tests.bench.serving.pods_promises import promised, show, show_promises, show_swaps
from tests.bench.serving.pods_shared import MODEL
from tests.bench.serving.pods_weights import BODY, ROW, Weights, copy_seconds, read_once_seconds

PAIRED = ("ours", "aiohttp-isolated")


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
WINDOWS = 5


def plan_for(name: str, plan: Plan) -> Plan:
    """What is measured of a server: of those that promise nothing, what takes minutes is left out."""
    if name in BARE:
        return replace(plan, pause_seconds=min(plan.pause_seconds, 0.3), reloads=0)
    if name in NAIVE | COMPARED | set(BY_HAND.values()):
        return replace(plan, closed_seconds=0.0, reloads=0)
    return plan if name in RELOADED else replace(plan, reloads=0)


async def measure(
    peer: Peer, weights: Weights, plan: Plan, floor_seconds: float, *, compared: bool = False
) -> dict[str, Any]:
    """Everything of one server."""
    versions = {v: weights.of(v, with_sample=compared) for v in range(1, plan.swaps + plan.reloads + 2)}
    await peer.start(versions)
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
            swaps.append(await peer.swap(version))
            serving["now"] = frozenset({weights.name(version)})
            await asyncio.sleep(plan.pause_seconds)

    steady = await asked(plan.steady_seconds)
    before = await peer.stages()
    swapping = await asked(asyncio.create_task(swap_all()))
    result: dict[str, Any] = {
        "steady": _summary(steady),
        "in_swaps": _summary(swapping),
        "p99_in_swaps_less_steady_ms": round(_ms(swapping, 0.99) - _ms(steady, 0.99), 2),
        "swap_seconds": {**spread(swaps), "mean": statistics.mean(swaps)},
        "stages": _stages(before, await peer.stages(), statistics.mean(swaps)),
        "swap_by_read_and_run": round(statistics.median(swaps) / floor_seconds, 2),
    }
    if plan.closed_seconds:
        result["closed_16"] = await closed_runs(peer, plan.closed_seconds)
    if not plan.reloads:
        return result
    memory = [(_pss_bytes(peer.tree()), _pss_bytes(peer.beside()))]
    for version in range(plan.swaps + 2, plan.swaps + 2 + plan.reloads):
        await peer.swap(version)
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


def _stages(before: dict[str, float], after: dict[str, float], swap_seconds: float) -> dict[str, float]:
    """What a mean swap was made of; ``rest`` is what it took beside the stages that are counted."""
    if not after:
        return {}
    loads = after["loads"] - before["loads"]
    named = sorted(after.keys() - {"loads", "total"})
    stages = {stage: (after[stage] - before.get(stage, 0.0)) / loads for stage in named}
    return {**stages, "rest": swap_seconds - sum(stages.values())}


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
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        (pool := Path(home) / "weights").mkdir()
        weights = Weights(plan.megabytes, plan.swaps + plan.reloads + 1, pool)
        floor_seconds = read_once_seconds(weights)
        found: dict[str, Any] = {"read_and_run_seconds": floor_seconds, "copy_seconds": copy_seconds(weights)}
        found |= {"plan": asdict(plan), "errors": {}}
        for name in names:
            began = time.monotonic()
            with _noted(name, found["errors"]):
                peer = make_peer(name, _folder(Path(home), name), options)
                try:
                    plan_here = plan_for(name, plan)
                    found[name] = await measure(peer, weights, plan_here, floor_seconds, compared=name in COMPARED)
                finally:
                    await peer.stop()
                    _end_all()
                show(name, found[name], time.monotonic() - began)
        if set(PAIRED) <= set(names):
            with _noted("paired", found["errors"]):
                found["paired"] = await _paired(Path(home), weights, plan.closed_seconds, options)
    return found


@contextmanager
def _noted(name: str, errors: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        errors[name] = f"{type(error).__name__}: {error}"
        print(f"{name:>19}: {errors[name]}", flush=True)


def _folder(home: Path, name: str) -> Path:
    folder = home / name
    folder.mkdir()
    return folder


async def _paired(home: Path, weights: Weights, seconds: float, options: list[str]) -> dict[str, Any]:
    """Our pod and the bare application that is isolated like it, asked in turns."""
    peers = [make_peer(name, _folder(home, f"{name}-paired"), options) for name in PAIRED]
    try:
        for peer in peers:
            await peer.start({1: weights.of(1)})
        return {"of": PAIRED, **await in_pairs(peers[0], peers[1], seconds)}
    finally:
        for peer in peers:
            await peer.stop()
        _end_all()


def _end_all() -> None:
    """No process of a server outlives its turn."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)


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
    full = Plan(arguments.megabytes, arguments.swaps, arguments.rate, 8.0, 1.0, 1.5, arguments.reloads)
    begun = conditions()
    found = asyncio.run(run(QUICK if arguments.quick else full, arguments.only, options))
    found["rollover"] = measure_rollover(spread=0.0)
    promises = promised(found)
    found["promises"] = {what: {**asdict(one), "held": one.held} for what, one in promises.items()}
    show_swaps(found)
    show_promises(promises)
    if arguments.json:
        arguments.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")
    if found["errors"]:
        raise SystemExit(f"not measured: {', '.join(found['errors'])}")
    if arguments.strict and not all(one.held for one in promises.values()):
        raise SystemExit("a promise was not held")


if __name__ == "__main__":
    main()
