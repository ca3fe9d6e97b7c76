"""Processor time of a request: 16 connections ask as fast as they are answered, one server alone or two in turns."""

import asyncio
import subprocess
import sys
from typing import Any

from tests.bench.cpu import cpu_seconds
from tests.bench.figures import spread
from tests.bench.serving.pods_peers import Peer
from tests.bench.serving.pods_shared import MODEL
from tests.bench.serving.pods_weights import BODY, ROW

CONNECTIONS = 16
RUNS = 3
PAIRS = 7


async def closed_runs(peer: Peer, seconds: float) -> dict[str, Any]:
    """Requests a second and processor time a request, three times."""
    closed = [await asyncio.to_thread(_closed_run, peer, seconds) for _ in range(RUNS)]
    return {
        "per_second": spread([count / seconds for count, _, _ in closed]),
        "cpu_us_a_request": spread([taken / count * 1e6 for count, taken, _ in closed]),
        "cpu_us_a_request_with_companion": spread([(taken + more) / count * 1e6 for count, taken, more in closed]),
    }


async def in_pairs(one: Peer, other: Peer, seconds: float) -> dict[str, Any]:
    """Processor time a request of two servers, asked in turns: what else the machine does meets both."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(PAIRS):
        for peer, values in zip((one, other), found, strict=True):
            count, taken, _ = await asyncio.to_thread(_closed_run, peer, seconds)
            values.append(taken / count * 1e6)
    return {
        "cpu_us_a_request": [spread(values) for values in found],
        "ratio": spread([a / b for a, b in zip(*found, strict=True)]),
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
        f"print(asyncio.run({asked}, {CONNECTIONS}, {seconds})))"
    )
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
