"""Many watchers of one dashboard: processor time a delivery, memory a watcher; and what a fleet takes."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

QUEUED = b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
OPEN_AT_ONCE = 100


class Server:
    """See ``server``."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.watching.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = self._answer()["port"]

    def ask(self, *words: object) -> dict[str, float]:
        """What a command answers."""
        assert self.child.stdin is not None
        self.child.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        return dict(json.loads(self.child.stdout.readline()))

    def close(self) -> None:
        """End it."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()


async def _with_watchers(server: Server, count: int, events: int, size: int) -> dict[str, float]:
    before = await asyncio.to_thread(server.ask, "memory")
    tasks: list[asyncio.Task[None]] = []
    heard = [0]

    async def watch() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(QUEUED)
        await reader.readuntil(b"event: hello")
        heard[0] += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.read(65536):
                pass

    for at in range(0, count, OPEN_AT_ONCE):
        tasks += [asyncio.create_task(watch()) for _ in range(min(OPEN_AT_ONCE, count - at))]
        while heard[0] < len(tasks):
            await asyncio.sleep(0.01)
    opened = await asyncio.to_thread(server.ask, "memory")
    sent = await asyncio.to_thread(server.ask, "send", events, size)
    changed = await asyncio.to_thread(server.ask, "change", 20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    grown = opened["memory_bytes"] - before["memory_bytes"]
    return {
        **sent, "watchers": count, "bytes_a_watcher": grown / count,
        "seconds_a_changed_model": changed["seconds_a_model"],
    }  # fmt: skip


def measure(models: int, regions: int, pods: int, watchers: int) -> dict[str, float]:
    """A fleet is loaded, then one watcher listens, then many."""
    server = Server()
    try:
        fleet = server.ask("load", models, regions, pods)
        one = asyncio.run(_with_watchers(server, 1, 20, 2000))
        many = asyncio.run(_with_watchers(server, watchers, 20, 2000))
        return {
            "dashboard_mib": fleet["memory_bytes"] / 2**20,
            "changed_model_ms": 1000 * one["seconds_a_changed_model"],
            "ready_ratio_to_reading": fleet["ready_seconds"] / fleet["reading_seconds"],
            "delivery_us": 1e6 * many["seconds_a_delivery"],
            "kib_a_watcher": many["bytes_a_watcher"] / 1024,
            "resyncs": many["resyncs"],
            "changed_model_ms_with_watchers": 1000 * many["seconds_a_changed_model"],
        }
    finally:
        server.close()
