"""The engine of a ``Watcher``: its server is the program itself, told by a ``VersionUpdate``, asked by its answer."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.failures import failure_code
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder
from modelcast.consumers.watcher.update import VersionUpdate
from modelcast.schemas.errors import ModelcastError


@dataclass(frozen=True, slots=True)
class _Opened:
    """A version's files, kept from eviction until ``keep`` is closed."""

    version: int
    manifest_digest: str
    folder: Path
    keep: ExitStack


class WatcherEngine:
    """See ``Engine``. What the program was handed can't be taken back: a newer order waits for its answer.

    Args:
        models: those that the program loads.
        artifacts: makes the source; called on a thread.
        hand_over: gives an update to the program; returns at once.
        on_retire: called with a model that is no longer to be served.
    """

    capabilities = Capabilities("watcher", gapless=True, watch_seconds=1.0, side_by_side=True)

    def __init__(
        self,
        models: Iterable[str],
        artifacts: ArtifactSourceFactory,
        hand_over: Callable[[VersionUpdate], None],
        on_retire: Callable[[str], None] | None = None,
    ) -> None:
        self._models = frozenset(models)
        self._artifacts = artifacts
        self._hand_over = hand_over
        self._on_retire = on_retire
        self._prepared: dict[LoadOrder, _Opened] = {}
        self._memory: dict[str, _Opened] = {}  # what the program accepted last
        self._pending: dict[str, VersionUpdate] = {}

    async def start(self, listener: LossListener) -> None:
        """Do nothing: the program runs already."""

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        if order.model not in self._models:
            known = ", ".join(sorted(self._models))
            raise LoadFailed(f"this program loads {known}", code="unsupported", subject=order.model)
        try:
            self._prepared[order] = await asyncio.to_thread(self._open, order)
        except LoadFailed:
            raise
        except (ModelcastError, OSError, MemoryError) as error:
            raise LoadFailed(str(error), code=failure_code(error)) from None

    def _open(self, order: LoadOrder) -> _Opened:
        with ExitStack() as stack:
            folder = stack.enter_context(self._artifacts().open(order.manifest_digest))
            return _Opened(order.version, order.manifest_digest, folder, stack.pop_all())

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``."""
        opened = self._prepared.pop(order)
        update = VersionUpdate(order.model, order.version, order.manifest_digest, opened.folder)
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def note(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the program answers after its end
                loop.call_soon_threadsafe(self._answered, update, opened, answered)

        update.answer.add_done_callback(note)
        self._pending[order.model] = update
        self._hand_over(update)
        try:
            await asyncio.shield(answered)
        except asyncio.CancelledError:
            update.withdraw("a newer order arrived")
            await asyncio.wait({answered})
            raise
        answer = update.answer.result()
        if answer.refusal:
            raise LoadFailed(answer.refusal, code=answer.code)
        return Served(order.version, order.manifest_digest, "memory", {"name": order.model, "platform": "python"})

    def _answered(self, update: VersionUpdate, opened: _Opened, answered: "asyncio.Future[None]") -> None:
        self._pending.pop(update.model, None)
        if update.answer.result().refusal:
            opened.keep.close()
        else:
            before = self._memory.pop(update.model, None)
            self._memory[update.model] = opened
            if before is not None:
                before.keep.close()
        answered.set_result(None)

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``: what the program accepted last."""
        held = self._memory.get(model)
        described = {"name": model, "platform": "python"}
        return Served(held.version, held.manifest_digest, "memory", described) if held else None

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""
        held = self._memory.pop(model, None)
        if held is not None:
            if self._on_retire is not None:
                await asyncio.to_thread(self._on_retire, model)
            held.keep.close()

    def abandon(self) -> None:
        """The program ends: nothing waits for its answers any more."""
        for update in list(self._pending.values()):
            update.abandon("the program ended")

    async def aclose(self) -> None:
        """Release the files."""
        for opened in (*self._prepared.values(), *self._memory.values()):
            opened.keep.close()
