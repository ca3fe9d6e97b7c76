"""``modelcast run pod``: binds, loads what the region should serve, serves, drains."""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable

import structlog
from aiohttp import web

from modelcast.consumers.pod.api.inference import OnnxInference
from modelcast.consumers.pod.api.routes import Routes
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.startup import Startup
from modelcast.consumers.pod.traffic.division import Division
from modelcast.consumers.pod.traffic.tables import TableFolder
from modelcast.consumers.pod.worker.engine import OnnxEngine
from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.infra.files import written_aside
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.errors import ModelcastError, UsageError

log = structlog.get_logger("modelcast.pod")

_CLOSE_SECONDS = 2.0


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
    if not config.token.split():
        raise UsageError("a pod needs its region's token", hint="set MODELCAST_POD_TOKEN")
    ledger = Ledger(config.state_dir)
    lifecycle, metrics = Lifecycle(), PodMetrics()
    onnx = None
    if engine is None:
        engine = onnx = OnnxEngine(config)
    repository = Repository(engine, ledger, metrics, grace_seconds=config.grace_seconds)
    incarnation = secrets.token_hex(8)
    tables = TableFolder(config.state_dir / "traffic")
    division = Division(config.name, incarnation, repository.supervisor, tables)
    inference = OnnxInference(config, onnx, metrics, division) if onnx else None
    routes = Routes(config, lifecycle, repository, metrics, incarnation, division, inference)
    runner = web.ServerRunner(routes.server(), handle_signals=False, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:  # asyncio's own words repeat the address; an unknown host name has no errno
            message = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            where = f"{config.host}:{config.port}"
            raise ModelcastError(f"can't listen: {message}", subject=where, hint="set --host and --port") from error
        port = runner.addresses[0][1]
        log.info("listening", pod=config.name, region=config.region, host=config.host, port=port)
        _write_port(config, port)
        if on_bound is not None:
            on_bound(port)
        served = {place for place, entry in ledger.entries.items() if entry.served}
        known = {place for place in served if "@" not in place} | set(config.expected)
        startup = Startup(config.name, config.aspired, known, repository, lifecycle)
        loop = asyncio.get_running_loop()
        starting = loop.create_task(_start(repository, startup))
        registering = loop.create_task(config.presence.run()) if config.presence else None
        await stop.wait()
        tasks = [starting, *([registering] if registering else [])]
        for task in tasks:
            task.cancel()
        await _drain(config, lifecycle)
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await repository.supervisor.close()
        await runner.cleanup()
        ledger.close()


def _write_port(config: PodConfig, port: int) -> None:
    if config.port_file is not None:
        with written_aside(config.port_file, durable=False) as file:
            file.write(f"{port}\n".encode())


async def _start(repository: Repository, startup: Startup) -> None:
    try:
        await repository.supervisor.start()
    except LoadFailed as error:  # a load would meet the same trouble; orders are taken, and tried, all the same
        log.warning("the engine did not start", error=str(error))
    except Exception:
        log.exception("the engine did not start")
    await startup.run()


async def _drain(config: PodConfig, lifecycle: Lifecycle) -> None:
    lifecycle.phase = Phase.DRAINING
    log.info("draining", in_flight=lifecycle.in_flight)
    await asyncio.sleep(config.grace_seconds)  # balancers learn from /readyz, and requests on their way arrive
    lifecycle.phase = Phase.CLOSED
    if not await lifecycle.idle(timeout=config.drain_seconds):
        log.warning("requests cut off", in_flight=lifecycle.in_flight)
