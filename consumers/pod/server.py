"""``modelcast run pod``: binds, loads what the region wants, serves, drains."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Mapping

import stamina
import structlog
from aiohttp import web

from modelcast.consumers.pod.config import Desired, DesiredSource, PodConfig
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod.inference import OnnxInference
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.routes import Routes
from modelcast.consumers.pod.worker.engine import OnnxEngine
from modelcast.consumers.pod_clients.port import LoadFailed, PodRefused
from modelcast.infra.files.files import written_aside
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.errors import ModelcastError, UsageError

log = structlog.get_logger("modelcast.pod")

_CLOSE_SECONDS = 2.0
ASK_AGAIN_SECONDS = 2.0


async def serve(config: PodConfig, engine: Engine | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Must run in the main thread: workers end with it.

    Args:
        config: the pod.
        engine: what runs the models, elsewhere; None: ONNX Runtime in worker processes of this pod's own.

    Raises:
        UsageError: no token.
        Refused: another pod uses the state folder.
        ContentError: the state folder is damaged.
        ModelcastError: it can't listen there: the port is taken, say.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await serve_until(stop, config, engine)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def serve_until(
    stop: asyncio.Event,
    config: PodConfig,
    engine: Engine | None = None,
    on_bound: Callable[[int], None] | None = None,
) -> None:
    """Serve until ``stop`` is set, then drain; on any thread, if the engine is given.

    Args:
        stop: ends it.
        config: the pod.
        engine: as for ``serve``.
        on_bound: called once with the port.

    Raises:
        As ``serve``.
    """
    if not config.token:
        raise UsageError("a pod needs its region's token", hint="set MODELCAST_POD_TOKEN")
    ledger = Ledger(config.state_dir)
    lifecycle, metrics = Lifecycle(), PodMetrics()
    inference = None
    if engine is None:
        engine = onnx = OnnxEngine(config)
        inference = OnnxInference(config, onnx, metrics)
    repository = Repository(engine, ledger, metrics, grace_seconds=config.grace_seconds)
    application = Routes(config, lifecycle, repository, metrics, secrets.token_hex(8), inference).application()
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:  # asyncio's own words repeat the address; an unknown host name has no errno
            told = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            where = f"{config.host}:{config.port}"
            raise ModelcastError(f"can't listen: {told}", subject=where, hint="set --host and --port") from error
        port = runner.addresses[0][1]
        log.info("listening", pod=config.name, region=config.region, host=config.host, port=port)
        _write_port(config, port)
        if on_bound is not None:
            on_bound(port)
        loop = asyncio.get_running_loop()
        starting = loop.create_task(_start(config, repository, ledger, lifecycle))
        registering = loop.create_task(config.presence.run()) if config.presence else None
        await stop.wait()
        tasks = [starting, *([registering] if registering else [])]
        for task in tasks:
            task.cancel()
        await _drain(config, lifecycle)
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await repository.close()
        await runner.cleanup()
        ledger.close()


def _write_port(config: PodConfig, port: int) -> None:
    if config.port_file is not None:
        with written_aside(config.port_file, durable=False) as file:
            file.write(f"{port}\n".encode())


async def _start(config: PodConfig, repository: Repository, ledger: Ledger, lifecycle: Lifecycle) -> None:
    with contextlib.suppress(LoadFailed):  # a load would meet the same trouble, and report it
        await repository.start()
    served_before = {model: entry.served for model, entry in ledger.entries.items() if entry.served}
    source = config.desired
    desired = await _ask(source) if source is not None else None
    # A source that answered has the last word on which models; without one, all that were served before.
    wanted: dict[str, Desired | None] = dict.fromkeys(served_before) if desired is None else dict(desired)
    wanted = {**dict.fromkeys(config.expected), **wanted}
    await _restore(repository, wanted)
    if lifecycle.phase is Phase.STARTING:
        lifecycle.phase = Phase.INCOMPLETE
    if source is not None and desired is None and not served_before:
        # A new pod that can't learn what its region serves would take traffic for models that it does not have.
        lifecycle.lacking = ("what the region serves is not known: its store does not answer",)
        wanted = dict(await _ask_until_told(source))
        await _restore(repository, wanted)
    await _complete(repository, lifecycle, wanted)
    if lifecycle.phase is Phase.INCOMPLETE:
        lifecycle.phase = Phase.READY
        log.info("ready", pod=config.name, models=sorted(wanted))


async def _restore(repository: Repository, wanted: Mapping[str, Desired | None]) -> None:
    async def restore(model: str, desired: Desired | None) -> None:
        if desired is not None and desired.refused:
            await repository.resume(model)  # a server that outlived this process loads nothing anew
            return
        try:
            await repository.restore(desired.order if desired else None, model)
        except (PodRefused, LoadFailed) as error:
            log.error("given up at start; the region will order it", model=model, error=str(error))

    await asyncio.gather(*(restore(model, order) for model, order in wanted.items()))


async def _complete(repository: Repository, lifecycle: Lifecycle, wanted: Mapping[str, Desired | None]) -> None:
    """Return once each of the models was served or unloaded: the region orders what could not be restored."""
    told = {model: desired.refused for model, desired in wanted.items() if desired and desired.refused}
    lacking = {model for model in wanted if not repository.settled(model).is_set()}
    if lacking:
        why = sorted(told.get(model, model) for model in lacking)
        log.warning("not ready: the region serves more than could be restored", lacking=why)
    while lacking:
        lifecycle.lacking = tuple(sorted(told.get(model, model) for model in lacking))
        waiting = [asyncio.ensure_future(repository.settled(model).wait()) for model in lacking]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waiting:
                wait.cancel()
        lacking = {model for model in lacking if not repository.settled(model).is_set()}
    lifecycle.lacking = ()


async def _ask_until_told(source: DesiredSource) -> dict[str, Desired]:
    while True:
        await asyncio.sleep(ASK_AGAIN_SECONDS)
        if (desired := await _ask(source)) is not None:
            return desired


async def _ask(source: DesiredSource) -> dict[str, Desired] | None:
    try:
        async for attempt in stamina.retry_context(on=ModelcastError, attempts=4, timeout=20.0, wait_initial=0.2):
            with attempt:
                return {desired.order.model: desired for desired in await asyncio.to_thread(source.desired)}
    except ModelcastError as error:
        log.error("what the region serves is not known now", error=str(error))
    return None


async def _drain(config: PodConfig, lifecycle: Lifecycle) -> None:
    lifecycle.phase = Phase.DRAINING
    log.info("draining", in_flight=lifecycle.in_flight)
    await asyncio.sleep(config.grace_seconds)  # balancers learn from /readyz, and requests on their way arrive
    lifecycle.phase = Phase.CLOSED
    if not await lifecycle.idle(timeout=config.drain_seconds):
        log.warning("requests cut off", in_flight=lifecycle.in_flight)
