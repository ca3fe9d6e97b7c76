"""An artifact from the region, verified, into a server's model repository."""

import asyncio
import errno
import filecmp
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.companion.layouts.version_layout import Files, ReadFile, VersionLayout
from modelcast.consumers.companion.placing import ModelRepository
from modelcast.consumers.companion.samples import samples_of
from modelcast.consumers.companion.server_memory import ServerMemory
from modelcast.consumers.pod.failures import failure_code
from modelcast.consumers.pod.sample import RecordedSample
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder
from modelcast.schemas.errors import ModelcastError

T = TypeVar("T")

_NO_ROOM = "make room in the model repository"
_NO_RIGHTS = "let the companion's user write to its --repository and what lies below"
_HINTS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _NO_ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _NO_RIGHTS),
}

MakeLayout = Callable[[Files, LoadOrder, ReadFile], VersionLayout]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One version, ready to be swapped in."""

    order: LoadOrder
    layout: VersionLayout
    contents: dict[str, bytes]  # by path below the version's folder; only where no folder is shared
    samples: tuple[RecordedSample, ...] = ()  # what it must answer


class Delivery:
    """Opens artifacts, every byte hashed, and places copies of them.

    Args:
        artifacts: makes the source; called on a thread.
        repository: where the server looks for models; None: the bytes travel with the load call.
        make_layout: the kind's layout.
        contents_size_max_bytes: the most that a load call carries.
        compares: whether the server can be asked the artifact's samples.
        durable: whether what was placed must outlast a loss of power: a server that starts reads it.
        memory: the server's, where a load must find room in it; None: it is not looked at.
    """

    def __init__(
        self,
        artifacts: ArtifactSourceFactory,
        repository: ModelRepository | None,
        make_layout: MakeLayout,
        contents_size_max_bytes: int = 0,
        *,
        compares: bool = False,
        durable: bool = True,
        memory: ServerMemory | None = None,
    ) -> None:
        self._artifacts = artifacts
        self._repository = repository
        self._make_layout = make_layout
        self._contents_size_max_bytes = contents_size_max_bytes
        self._compares = compares
        self._durable = durable
        self._memory = memory

    async def deliver(self, order: LoadOrder) -> Delivered:
        """Bring a version where the server can load it.

        Raises:
            LoadFailed: see its codes.
        """
        try:
            return await cancellable(lambda cancel: self._deliver(order, cancel))
        except LoadFailed:
            raise
        except (ModelcastError, OSError, MemoryError) as error:
            raise _undelivered(error) from None

    def _deliver(self, order: LoadOrder, cancel: threading.Event) -> Delivered:
        with self._artifacts().open(order.manifest_digest) as folder:
            files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}

            def read(path: str) -> bytes:
                return (folder / path).read_bytes()

            layout = self._make_layout(files, order, read)
            samples = samples_of(files, read) if self._compares else ()
            size_bytes = sum(files[place.source] for place in layout.places)
            if self._memory is not None:
                self._memory.check(order.model, size_bytes)
            if self._repository is not None:
                self._repository.place(order.model, layout, folder, cancel, durable=self._durable)
                return Delivered(order, layout, {}, samples)
            if size_bytes > self._contents_size_max_bytes:
                raise LoadFailed(
                    f"{size_bytes} bytes; a load call carries at most {self._contents_size_max_bytes}",
                    code="not_delivered",
                    hint="share a folder with the server and name it with --repository",
                )
            contents = {place.path: (folder / place.source).read_bytes() for place in layout.places}
            return Delivered(order, layout, contents, samples)

    def damage(self, delivered: Delivered) -> str:
        """In what the files that lie in the repository are not those that were verified, for people; "": in nothing.

        Reads them all. Blocking.
        """
        if self._repository is None:
            return ""
        placed = self._repository.root / delivered.order.model / delivered.layout.folder
        try:
            with self._artifacts().open(delivered.order.manifest_digest) as folder:
                for place in delivered.layout.places:
                    if not filecmp.cmp(folder / place.source, placed / place.path, shallow=False):
                        return f"what lies at {placed / place.path} is not what was placed there"
        except (ModelcastError, OSError) as error:
            return f"what was placed can't be read again: {error}"
        return ""


def _undelivered(error: ModelcastError | OSError | MemoryError) -> LoadFailed:
    """The same, with the hint apart: a long message that is cut must not lose it."""
    if isinstance(error, ModelcastError):
        message = f"{error.subject}: {error.message}" if error.subject else error.message
        return LoadFailed(message, code=failure_code(error), hint=error.hint)
    hint = _HINTS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return LoadFailed(str(error) or "no memory is left", code=failure_code(error), hint=hint)


async def cancellable(work: Callable[[threading.Event], T]) -> T:
    """``work`` on a thread. Cancelled, it is asked to stop and waited for: two never write the same place."""
    cancel = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, cancel)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancel.set()
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()  # seen
        raise
