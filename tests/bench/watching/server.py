"""A dashboard in a process of its own, without Kafka and Redis; it does what its standard input says.

load MODELS REGIONS PODS   take states in; answers bytes of memory, seconds a model for all, and for reading alone
change COUNT               news of COUNT models, one after the other; answers seconds of processor time a model
send COUNT BYTES           events to all watchers; answers seconds of processor time a delivery
memory                     bytes of memory, after a collection
"""

import asyncio
import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from modelcast.dashboard.actions import CommandWriter
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.web.app import make_web_app
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import Limits
from tests.bench.watching.fleet import behind, states

PAUSE_SECONDS = 0.05
CHANGED = 10
"""So many models are kept, to have news of."""


def memory_bytes() -> int:
    """What the process holds."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Served:
    """The dashboard and what is asked of it."""

    def __init__(self) -> None:
        self.settings, self.board = Settings(), Dashboard(Limits())
        self.last: list[VersionState] = []

    def take(self, state: VersionState) -> None:
        """The tracker reports a state."""
        now_us = time.time_ns() // 1000
        self.board.take(NewsBatch("kafka", Reach.LIVE, (SeenState(state.model, state, now_us),)))

    async def load(self, models: int, regions: int, pods: int) -> dict[str, float]:
        """A whole fleet, one encoded state after the other."""
        before, reading, whole = memory_bytes(), 0.0, 0.0
        for made in states(models, regions, pods):
            raw = encode(made)
            began = time.process_time()
            decoded = decode_as(VersionState, raw)
            reading += time.process_time() - began
            self.take(decoded)
            whole += time.process_time() - began
            if len(self.last) < CHANGED:
                self.last.append(replace(decoded, regions=tuple(replace(row, pods=()) for row in decoded.regions)))
        began = time.process_time()
        self.board.flush()
        flushed = time.process_time() - began
        grown = memory_bytes()
        return {
            "memory_bytes": grown, "memory_before_bytes": before, "ready_seconds": whole + flushed,
            "reading_seconds": reading,
        }  # fmt: skip

    async def change(self, count: int) -> dict[str, float]:
        """News of one model after the other, each told at once."""
        spent = []
        for number in range(count):
            raw = encode(behind(self.last[number % len(self.last)], 5.0 + number))
            began = time.process_time()
            self.take(decode_as(VersionState, raw))
            self.board.flush()
            spent.append(time.process_time() - began)
            await asyncio.sleep(0.01)
        return {"seconds_a_model": sorted(spent)[len(spent) // 2], "seconds_max": max(spent)}

    async def send(self, count: int, size: int) -> dict[str, float]:
        """Events to all watchers, until all are written."""
        stream, text = self.board.stream, "x" * size
        before, began = stream.deliveries, time.process_time()
        for number in range(count):
            stream.send("entry", {"id": str(number), "text": text}, time.monotonic())
            await asyncio.sleep(PAUSE_SECONDS)
        while any(not watcher.queue.empty() for watcher in stream.watchers):
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.sleep(0.5)
        spent, done = time.process_time() - began, stream.deliveries - before
        return {"seconds_a_delivery": spent / max(1, done), "deliveries": done, "resyncs": stream.resyncs}

    async def memory(self) -> dict[str, float]:
        """What it holds now."""
        return {"memory_bytes": memory_bytes(), "watchers": len(self.board.stream.watchers)}


async def main() -> None:
    """Serve until the input ends."""
    served = Served()
    settings, groups = served.settings, GroupsWatch(lambda: GroupReader(Settings()))
    app = make_web_app(
        settings, served.board, LogSource(settings), groups, CommandWriter(settings), HistorySource(settings)
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *arguments = line.split()
        print(json.dumps(await getattr(served, name)(*map(int, arguments))), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
