"""What engines of servers with an HTTP interface share: files placed, the server told and asked, folders tidied."""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from modelcast.consumers.companion.blame import weighed
from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.http import ServerAnswer, ServerClient
from modelcast.consumers.companion.identity import check_held
from modelcast.consumers.companion.layouts.version_layout import folder_of
from modelcast.consumers.companion.placing import ModelRepository, as_placed
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.environment import environment_code
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN

_DIGEST_FILE = ".digest-"


class HttpEngine(ABC):
    """See ``Engine``. A kind of server implements the requests: ``send_load``, ``undo_load``, ``retire``, ``held``.

    Args:
        url: its HTTP service.
        delivery: brings the files.
        repository: the folder in which they are placed.
        load_seconds_max: how long a load may take.
        headers: sent with every request.
    """

    name: ClassVar[str]  # of the software, for people
    capabilities: Capabilities

    def __init__(
        self,
        url: str,
        delivery: Delivery,
        repository: ModelRepository,
        load_seconds_max: float,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.client = ServerClient(url, headers)
        self.repository = repository
        self.load_seconds_max = load_seconds_max
        self._delivery = delivery
        self._prepared: dict[LoadOrder, Delivered] = {}
        self._folders: dict[str, str] = {}  # of the version that serves

    async def reach(self, model: str) -> None:
        """Return if the server answers at all: one that hangs would be waited for as long as a load may take.

        Raises:
            PodUnreachable: it does not.
        """
        await self.client.ask("GET", "/")

    async def reach_server(self) -> None:
        """See ``RemoteEngine``."""
        await self.reach("")

    @abstractmethod
    async def note(self, model: str) -> bytes | None:
        """What ``undo_load`` needs after a load that failed: taken before the server is told."""

    @abstractmethod
    async def send_load(self, delivered: Delivered) -> None:
        """Have the server load what was placed; return once it should serve it.

        Raises:
            LoadFailed: it says that it can't.
            PodUnreachable: it does not answer.
        """

    @abstractmethod
    async def undo_load(self, model: str, noted: bytes | None) -> None:
        """After a load that failed: what served before does again, after a restart too. Raises ``LoadFailed``."""

    @abstractmethod
    async def held(self, model: str) -> Served | None:
        """What its memory names. Raises ``PodUnreachable``."""

    @abstractmethod
    async def retire(self, model: str) -> None:
        """See ``Engine.retire``."""

    async def start(self, listener: LossListener) -> None:
        """See ``Engine.start``: by default there is nothing to begin."""
        return

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``. None, too, if what it names may be other bytes than were placed."""
        served = await self.held(model)
        return served if served is not None and await as_placed(self.repository, model, served.version) else None

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        delivered = await self._delivery.deliver(order)
        for left in [other for other in self._prepared if other.model == order.model]:
            del self._prepared[left]  # it was cancelled while it waited for its turn
        self._prepared[order] = delivered

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``."""
        delivered = self._prepared.pop(order)
        began = time.monotonic()
        served = await uninterrupted(asyncio.ensure_future(self._swap(delivered)))
        seconds = {"swap": time.monotonic() - began}
        folder, before = delivered.layout.folder, self._folders.get(order.model, "")
        self._folders[order.model] = folder
        await asyncio.to_thread(self.repository.prune, order.model, {folder, before})
        return replace(served, seconds=seconds)

    async def aclose(self) -> None:
        """Close the connections. The server goes on serving."""
        await self.client.aclose()
        await asyncio.to_thread(self.repository.close)

    async def _swap(self, delivered: Delivered) -> Served:
        order = delivered.order
        try:
            await self.reach(order.model)
        except PodUnreachable as error:
            raise self._unreachable(error) from None
        noted = await self._noted(order.model)
        await self._recall(order.model)
        try:
            await self.send_load(delivered)
            await asyncio.to_thread(self.repository.loaded, order.model, delivered.layout.folder)
            return check_held(await self.serving(order.model), order, order.model)
        except PodUnreachable as error:
            await self.undo_load(order.model, noted)
            raise self._unreachable(error) from None
        except LoadFailed as failed:
            await self.undo_load(order.model, noted)
            held = order.model in self._folders
            raise await weighed(failed, delivered, self._delivery, self.serving, held=held) from None
        except BaseException:
            await self.undo_load(order.model, noted)
            raise

    def _unreachable(self, error: PodUnreachable) -> LoadFailed:
        hint = f"does {self.name} answer at that address? if it has just ended, its log says why"
        return LoadFailed(error.message, code="unreachable", subject=error.subject, hint=hint)

    async def _recall(self, model: str) -> None:
        """A companion that was restarted learns which folder serves: it must not be tidied away as an older one."""
        if model in self._folders:
            return
        with suppress(PodUnreachable):
            if (served := await self.held(model)) is not None:
                self._folders[model] = folder_of(served.version)

    async def _noted(self, model: str) -> bytes | None:
        try:
            return await self.note(model)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=model) from None

    # --- for the kinds ---

    async def ask_to_unload(self, model: str, method: str, path: str, body: object = None) -> None:
        """Have the server let go of a model; that it has none is fine. Raises ``LoadFailed``."""
        try:
            answer = await self.client.ask(method, path, body=body, seconds=self.load_seconds_max)
        except PodUnreachable as error:
            raise LoadFailed(error.message, code="unreachable", subject=model) from None
        if answer.status >= 300 and answer.status != 404:
            raise LoadFailed(answer.message, code="server_failed", subject=model)
        self._folders.pop(model, None)

    async def write(self, model: str, name: str, content: bytes | None) -> None:
        """Replace (None: remove) a file of the model's folder by one rename. Raises ``LoadFailed``."""
        try:
            await asyncio.to_thread(self.repository.write, model, name, content)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=model) from None

    async def read(self, model: str, name: str) -> bytes | None:
        """A file of the model's folder, or None."""
        return await asyncio.to_thread(self.repository.read, model, name)

    async def remember_digest(self, order: LoadOrder) -> None:
        """For servers that can name no digest: which one was placed under a version's number. Raises ``LoadFailed``."""
        await self.write(order.model, f"{_DIGEST_FILE}{order.version}", order.manifest_digest.encode())

    async def with_digest(self, model: str, version: int, metadata: object = None) -> Served | None:
        """What serves, by the version that the server's memory names; None: that version was never placed here.

        Raises:
            PodUnreachable: what was noted when it was placed can't be read.
        """
        try:
            noted = await self.read(model, f"{_DIGEST_FILE}{version}")
        except OSError as error:
            raise PodUnreachable(str(error), subject=model) from None
        digest = noted.decode("ascii", "replace") if noted else ""
        described = metadata if isinstance(metadata, dict) else {}
        return Served(version, digest, "memory", described) if DIGEST_PATTERN.fullmatch(digest) else None


def load_refused(answer: ServerAnswer, code: str, hint: str = "") -> LoadFailed:
    """A load that the server answered with an error; a fault of its machine is told from its words."""
    silent = answer.message == f"HTTP {answer.status}"
    environment = environment_code(answer.message)
    return LoadFailed(
        answer.message,
        code=environment or code,
        hint=("" if environment else hint) or ("the server gives no reason: look into its log" if silent else ""),
    )
