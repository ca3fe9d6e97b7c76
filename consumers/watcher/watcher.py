"""``Watcher``: the versions of some models that a region should serve, handed to this process one by one."""

import asyncio
import functools
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.discovery.registrar import make_registrar
from modelcast.consumers.fetch import Link, RegionalArtifacts
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.server import serve_until
from modelcast.consumers.watcher.engine import WatcherEngine
from modelcast.consumers.watcher.update import VersionUpdate
from modelcast.infra import settings as settings_module
from modelcast.infra.stores.configured import store_of
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model

if TYPE_CHECKING:
    from modelcast.infra.settings import RegionSettings, Settings

log = structlog.get_logger("modelcast.watcher")

START_SECONDS = 60.0
CLOSE_SECONDS = 40.0
Deliver = Callable[[VersionUpdate | None], None]


class Watcher:
    """Each version of some models that this process is to load, its files verified, answered by this process.

        for update in Watcher("fraud", region="eu", port=8080):
            with update as folder:
                model = load(folder)

    Towards its region this is a pod: the same orders, fence and ledger, told over HTTP at ``host:port``, which the
    region's ``pods`` name. A thread of its own answers; the process does what else it does. Use one way at a time:
    ``for``, ``async for`` beside a running event loop, or ``follow``. Close it, or use it as a context: then its
    region learns that it is gone.

    Args:
        models: what this process loads; it refuses others.
        region: the region that it serves in.
        name: in reports; None: this machine's name.
        host, port: where it listens; port 0 is any free one, see ``url``.
        state_dir: what it has accepted, this process's alone; None: beside the cache.
        cache_dir: artifacts; may be shared on a machine; None: the region's ``cache_dir``.
        advertise: the URL under which it registers itself in the bucket, for fleets discovered by registration;
            "": the region's settings name it.
        zone: where it stands, registered with ``advertise``.
        on_retire: called, on a thread, with a model that is no longer to be served.
        artifacts: where the files come from; None: the region's bucket, through the cache.
        settings: None: from ``modelcast.toml`` and the environment.

    Raises:
        UsageError: no model is named; or the settings lack the region's token, a cache folder, or the bucket that a
            registration needs.
        NotFound: the settings lack the region.
    """

    def __init__(
        self,
        *models: str,
        region: str,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        state_dir: Path | None = None,
        cache_dir: Path | None = None,
        advertise: str = "",
        zone: str = "",
        on_retire: Callable[[str], None] | None = None,
        artifacts: ArtifactSourceFactory | None = None,
        settings: "Settings | None" = None,
    ) -> None:
        if not models:
            raise UsageError("a watcher needs the name of a model")
        here = (settings or settings_module.load_settings()).region(region)
        cache = cache_dir or here.cache_dir
        if here.token is None or cache is None:
            lacking = "TOKEN" if here.token is None else "CACHE_DIR"
            raise UsageError(
                f"region {region!r} lacks {lacking.lower()}", hint=f"set MODELCAST_REGIONS__{region.upper()}__{lacking}"
            )
        if advertise and port == 0:
            raise UsageError("a watcher that registers itself needs a port of its own", hint="set port")
        name = name or socket.gethostname()
        artifacts = artifacts or functools.partial(_artifacts_of, here, cache)
        self._config = PodConfig(
            name=name,
            region=region,
            token=here.token.get_secret_value(),
            artifacts=artifacts,
            state_dir=state_dir or cache.parent / f"pod-{name}",
            host=host,
            port=port,
            presence=make_registrar(here, region, name, advertise, zone) if advertise else None,
            expected=tuple(check_model(model) for model in models),
        )
        self._deliver: Deliver = lambda _update: None
        self._engine = WatcherEngine(models, artifacts, self._hand_over, on_retire)
        self._bound: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._following: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Where its region reaches it. Known once it has begun."""
        return f"http://{self._config.host}:{self._bound.result(START_SECONDS)}"

    # --- three ways to be told ---

    def __iter__(self) -> Iterator[VersionUpdate]:
        """Updates as they come, for ever; ends when the watcher is closed."""
        came: queue.SimpleQueue[VersionUpdate | None] = queue.SimpleQueue()
        self._start(came.put)
        try:
            while (update := came.get()) is not None:
                if update.take():
                    yield update
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[VersionUpdate]:
        """The same on a running event loop, which is not blocked."""
        loop = asyncio.get_running_loop()
        came: asyncio.Queue[VersionUpdate | None] = asyncio.Queue()

        def deliver(update: VersionUpdate | None) -> None:
            loop.call_soon_threadsafe(came.put_nowait, update)

        await asyncio.to_thread(self._start, deliver)
        try:
            while (update := await came.get()) is not None:
                if update.take():
                    yield update
        finally:
            await asyncio.to_thread(self.close)

    def follow(self, load: Callable[[Path], object]) -> Self:
        """Call ``load`` with each version's folder, on a thread of its own: returning accepts, an exception refuses.

        Returns at once, as soon as the region can reach this process.
        """
        came: queue.SimpleQueue[VersionUpdate | None] = queue.SimpleQueue()
        self._start(came.put)

        def run() -> None:
            while (update := came.get()) is not None:
                if update.take():
                    with update as folder:
                        load(folder)

        self._following = threading.Thread(target=run, name="modelcast-follow", daemon=True)
        self._following.start()
        return self

    # --- life ---

    def close(self) -> None:
        """Sign off from the region, and stop. What this process serves it may serve on. Closing twice is fine.

        Raises:
            ModelcastError: what the thread that answers the region has ended with, if it has ended by itself.
        """
        thread, loop, stop = self._thread, self._loop, self._stop
        self._thread = None
        if thread is None:
            return
        self._engine.abandon()
        if loop is not None and stop is not None and thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(CLOSE_SECONDS)
        self._deliver(None)
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, deliver: Deliver) -> None:
        if self._thread is not None:
            raise UsageError("this watcher is in use", hint="make another one")
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, name="modelcast-watcher", daemon=True)
        self._thread.start()
        self._bound.result(START_SECONDS)

    def _hand_over(self, update: VersionUpdate) -> None:
        self._deliver(update)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            if self._bound.done():
                log.error("no longer reachable for the region", error=str(error))
            else:
                self._failure = None
                self._bound.set_exception(error)
        finally:
            self._deliver(None)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve_until(self._stop, self._config, self._engine, self._bound.set_result)


def _artifacts_of(region: "RegionSettings", cache_dir: Path) -> RegionalArtifacts:
    open_region = functools.partial(store_of, region.store) if region.store else None
    link = Link(readers=region.fetch_threads)
    return RegionalArtifacts(cache_dir, open_region, region.cache_size_max_bytes, link)
