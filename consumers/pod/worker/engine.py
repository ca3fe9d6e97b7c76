"""The engine of our own pod: ONNX Runtime, one worker process a version."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import structlog

from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.memory_room import machine_limits, private_bytes, refusal, room
from modelcast.consumers.pod.worker.channel import WorkerChannel, WorkerGone, WorkerLoaded
from modelcast.consumers.pod.worker.process import LoadSpec
from modelcast.consumers.pod.worker.spares import Spares
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder

log = structlog.get_logger("modelcast.pod")


class OnnxEngine:
    """See ``LanedEngine``. A version is loaded and warmed up in a process beside the one that serves."""

    capabilities = Capabilities("modelcast", gapless=True, watch_seconds=None)

    def __init__(self, config: PodConfig) -> None:
        self._config = config
        self._spares = Spares(config.spares, config.artifacts, nice=self._nice)
        self._serving: dict[str, tuple[WorkerChannel, Served]] = {}  # by ``lane_place``
        self._prepared: dict[LoadOrder, tuple[WorkerChannel, WorkerLoaded]] = {}
        self._living: set[WorkerChannel] = set()  # those that load or serve, also if they only finish
        self._listener: LossListener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self, listener: LossListener) -> None:
        """Start the spare workers."""
        self._listener = listener
        await self._spares.refill()

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        started = time.monotonic()
        try:
            channel = await self._spares.take()
            spawned = time.monotonic()
            config = self._config
            spec = LoadSpec(
                *(order.model, order.version, order.manifest_digest),
                *(config.run_threads, config.intra_op_threads),
                keeps_limit=config.memory_max_bytes is not None,
            )
            self._living.add(channel)
            channel.gone.add_done_callback(lambda _: self._living.discard(channel))
            try:
                loaded = await channel.load(spec, timeout=config.load_seconds_max, grant=self._grant)
            except BaseException:
                await channel.kill()
                raise
        finally:
            if not self._closed:
                self._spawn(self._refill())
        self._prepared[order] = (
            channel,
            replace(loaded, seconds={"spawn": spawned - started, **loaded.seconds}),
        )

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``. Nothing here waits: it is one step of the event loop."""
        channel, loaded = self._prepared.pop(order)
        old = self._serving.get(order.place)
        served = Served(order.version, order.manifest_digest, "bytes", loaded.metadata, loaded.seconds)
        self._serving[order.place] = channel, served
        channel.gone.add_done_callback(lambda _: self._worker_gone(channel))
        if old is not None:
            self._spawn(old[0].retire(timeout=self._config.infer_seconds_max))
        return served

    def exchange(self, place: str, other: str) -> None:
        """See ``LanedEngine.exchange``."""
        for here, there in ((place, self._serving.pop(other, None)), (other, self._serving.pop(place, None))):
            if there is not None:
                self._serving[here] = there

    async def serving(self, model: str) -> Served | None:
        """See ``LanedEngine``."""
        found = self._serving.get(model)
        return found[1] if found else None

    def channel(self, place: str) -> WorkerChannel:
        """The worker that serves a lane of a model now. Raises ``WorkerGone``."""
        found = self._serving.get(place)
        if found is None:
            raise WorkerGone("the worker process has ended")
        return found[0]

    async def retire(self, model: str) -> None:
        """See ``LanedEngine``."""
        old = self._serving.pop(model, None)
        if old is not None:
            self._spawn(old[0].retire(timeout=self._config.infer_seconds_max))

    async def aclose(self) -> None:
        """End every worker."""
        self._closed = True
        serving, self._serving = list(self._serving.values()), {}
        for channel, _ in serving:
            await channel.kill()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._spares.close()

    def _worker_gone(self, channel: WorkerChannel) -> None:
        place = next((place for place, (serving, _) in self._serving.items() if serving is channel), None)
        if self._closed or place is None:
            return  # it was retired
        del self._serving[place]
        if self._listener is not None:
            self._listener.lost(place, "its worker process died")

    def _grant(self, need_bytes: int) -> int:
        """See ``Grant``. What serves goes on taking what it has until the new version replaces it."""
        used = sum(private_bytes(channel.pid) for channel in self._living)
        promised = sum(channel.promised_bytes for channel in self._living)
        found = room(self._config.memory_max_bytes, used, promised, machine_limits())
        if message := refusal(need_bytes, found):
            raise LoadFailed(message, code="out_of_resources", hint="give the pod more memory, or unload a model")
        return found.free_bytes

    def _nice(self) -> int:
        """The niceness of a load: 0 where nothing serves that it could disturb."""
        return self._config.load_nice if self._serving else 0

    async def _refill(self) -> None:
        try:
            await self._spares.refill()
        except LoadFailed as error:
            log.error("no spare worker", error=error.message)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
