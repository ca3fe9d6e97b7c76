"""What both agents share in making and running a Faust app.

    stop = stop_on_signals()
    await run_app(lambda: build(settings), settings, stop=stop)

``build`` makes a fresh app (``make_app``) with its agents, tables and tasks; it is called again after a crash, so
that whatever broke inside Faust is left behind with the app that it broke.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka.partitioner import DefaultPartitioner
from faust.types.auth import CredentialsT
from faust.types.serializers import SchemaT

from modelcast.infra.kafka.agent_connection import AgentConnection, agent_connection
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import Settings
from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.topics import MODEL_PARTITIONS, TopicSpec

SESSION_TIMEOUT_SECONDS = 10.0
HEARTBEAT_SECONDS = 3.0
TOPICS_LOOK_SECONDS = 5.0
OFFSETS_ATTEMPTS = 8
RESTART_SECONDS_FIRST, RESTART_SECONDS_MAX = 0.5, 15.0
STOP_GRACE_SECONDS = 15.0
STATE_LOOK_SECONDS = 0.1
CONSUMER_GROUP_PREFIX = "modelcast-"

NOT_CONNECTED = "not connected to Kafka yet"
"""Why a daemon whose app has not started is not ready."""

log = structlog.get_logger(__name__)

BYTES: SchemaT[bytes, bytes] = faust.Schema(
    key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
)
"""Keys and values as the bytes that they are: decoding is ours, so that nothing raises inside of Faust."""


def aiokafka_properties(settings: Settings) -> dict[str, Any]:
    """Connection properties of a plain aiokafka client (a consumer without group, a producer).

    Raises:
        UsageError: see ``agent_connection``.
    """
    connection = agent_connection(settings)
    properties: dict[str, Any] = {
        "bootstrap_servers": list(connection.servers),
        "client_id": connection.client_id,
        "security_protocol": connection.protocol,
        "ssl_context": connection.tls,
        **connection.limits_ms,
    }
    if connection.mechanism:
        properties["sasl_mechanism"] = connection.mechanism
        properties["sasl_plain_username"] = connection.username
        properties["sasl_plain_password"] = connection.password
    return properties


def _connecting(connection: AgentConnection) -> dict[str, Any]:
    """The connection in Faust's words."""
    credentials: CredentialsT | None = None
    if connection.mechanism:
        credentials = faust.SASLCredentials(
            username=connection.username,
            password=connection.password,
            ssl_context=connection.tls,
            mechanism=connection.mechanism,
        )
    elif connection.tls is not None:
        credentials = faust.SSLCredentials(context=connection.tls)
    limits = {f"{who}_{name}": ms for name, ms in connection.limits_ms.items() for who in ("consumer", "producer")}
    return {
        "broker": ";".join(f"kafka://{server}" for server in connection.servers),
        "broker_client_id": connection.client_id,
        "broker_credentials": credentials,
        **limits,
    }


def data_dir(settings: Settings, name: str) -> Path:
    """Where Faust may keep files of the app ``name``; made if it is missing."""
    root = settings.daemon.data_dir or Path(tempfile.gettempdir()) / f"modelcast-{os.getuid()}"
    path = root / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def make_app(settings: Settings, name: str, **overrides: Any) -> PositionedApp:
    """A Faust app of consumer group ``modelcast-<name>``, with one set of options for every agent.

    Tables lie in memory and are rebuilt from their changelogs; streams carry raw bytes (``BYTES``); no web
    server, no leader topic; a dead worker's partitions move on after ``SESSION_TIMEOUT_SECONDS``.
    """
    configuration: dict[str, Any] = {
        **_connecting(agent_connection(settings)),
        "broker_session_timeout": SESSION_TIMEOUT_SECONDS,
        "broker_heartbeat_interval": HEARTBEAT_SECONDS,
        "broker_commit_interval": 1.0,
        "producer_partitioner": DefaultPartitioner(),
        "producer_linger": 0.0,
        "topic_disable_leader": True,
        "topic_partitions": MODEL_PARTITIONS,
        "topic_replication_factor": settings.kafka.topic_replication_factor,
        "web_enabled": False,
        "store": "memory://",
        "datadir": data_dir(settings, name),
        "autodiscover": False,
        "worker_redirect_stdouts": False,
        "key_serializer": "raw",
        "value_serializer": "raw",
    }
    app = PositionedApp(CONSUMER_GROUP_PREFIX + name, **(configuration | overrides))
    _hold_until_sought(app)
    return app


def _hold_until_sought(app: faust.App) -> None:
    """Hand out nothing between the end of a recovery and the seek; Faust itself resumes the flow after it.

    Faust lets partitions go before it seeks. What streams were given in between would come twice, and the first time
    into queues that Faust clears.
    """

    async def hold(*_: Any, **__: Any) -> None:
        app.consumer.stop_flow()

    connect: Any = app.on_rebalance_complete.connect
    connect(hold, weak=False)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; call it inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def wait_for_kafka(settings: Settings, *, stop: asyncio.Event) -> bool:
    """Wait until the cluster answers and every topic exists (missing ones are created).

    A Faust worker that starts while Kafka is away never runs, and ignores topics that are missing at its start.

    Returns:
        False if ``stop`` was set first.
    """
    from modelcast.infra.kafka.admin import create_topics

    failures = 0
    while not stop.is_set():
        try:
            await asyncio.to_thread(create_topics, settings)
        except ModelcastError as error:
            if not error.retryable:
                raise
            if not failures:
                log.warning("waiting for kafka", error=str(error), servers=settings.kafka.bootstrap_servers)
            failures += 1
        else:
            return True
        await _first(stop.wait(), timeout_seconds=backoff_seconds(RESTART_SECONDS_FIRST, failures, 5.0))
    return False


async def run_app(
    build: Callable[[], PositionedApp],
    settings: Settings,
    *,
    stop: asyncio.Event,
    on_state: Callable[[str], None] = lambda trouble: None,
) -> None:
    """Run the app that ``build`` makes until ``stop`` is set; make a new one whenever it crashes.

    Also when the cluster loses its topics, and with them everything that offsets and assignments meant: Faust drops
    what comes with an offset below one that was committed, and a rebalance that misses a topic never asks for it again.

    On ``stop`` the app finishes what it has in hand, commits and leaves its group, so that another worker takes
    over at once. ``on_state`` is told why it does not run, or why its group refuses it, whenever
    that changes; "": it runs.
    """
    crashes = 0
    while await wait_for_kafka(settings, stop=stop):
        app = build()
        began = asyncio.get_running_loop().time()
        try:
            ending = await _run_once(app, settings, stop, on_state)
        finally:
            on_state(NOT_CONNECTED)
            await _stop(app, settings.daemon.drain_seconds + STOP_GRACE_SECONDS)
        if ending is _Ending.STOPPED:
            return
        if ending is _Ending.TOPICS_LOST:
            await _forget_offsets(settings, app.conf.id)
            continue
        crashes = 1 if asyncio.get_running_loop().time() - began > 60 else crashes + 1
        pause_seconds = backoff_seconds(RESTART_SECONDS_FIRST, crashes, RESTART_SECONDS_MAX)
        log.error("the stream app crashed and is made anew", reason=repr(app.crash_reason), pause_seconds=pause_seconds)
        await _first(stop.wait(), timeout_seconds=pause_seconds)


class _Ending(Enum):
    STOPPED = auto()
    CRASHED = auto()
    TOPICS_LOST = auto()


async def _run_once(
    app: PositionedApp, settings: Settings, stop: asyncio.Event, on_state: Callable[[str], None]
) -> _Ending:
    """Start the app and wait for its end."""
    started = asyncio.Event()

    async def live() -> None:
        await asyncio.to_thread(_create_changelogs, app, settings)
        await app.start()
        started.set()
        await app.wait_until_stopped()

    running = asyncio.create_task(live())
    stopping = asyncio.create_task(stop.wait())
    crashing = asyncio.create_task(_crashed(app))
    reporting = asyncio.create_task(_report(app, started, on_state))
    losing = asyncio.create_task(_topics_lost(settings))
    try:
        await asyncio.wait((running, stopping, crashing, losing), return_when=asyncio.FIRST_COMPLETED)
        if running.done() and running.exception() is not None:
            log.error("the stream app failed", error=repr(running.exception()))
        if stop.is_set():
            return _Ending.STOPPED
        return _Ending.TOPICS_LOST if losing.done() else _Ending.CRASHED
    finally:
        for task in (running, stopping, crashing, losing, reporting):
            task.cancel()
        await asyncio.gather(running, stopping, crashing, losing, reporting, return_exceptions=True)


def _create_changelogs(app: faust.App, settings: Settings) -> None:
    """Make the tables' changelogs as Faust would, but before it starts.

    Faust joins its group as soon as it has asked for them. A broker that does not list them yet makes it assign none,
    and every write to a table fails until the next rebalance.
    """
    from modelcast.infra.kafka.admin import create_topics

    specs = [
        TopicSpec(
            table.changelog_topic.get_topic_name(),
            table.changelog_topic.partitions or MODEL_PARTITIONS,
            {"cleanup.policy": "compact", **(table.changelog_topic.config or {})},
        )
        for table in app.tables.values()
    ]
    if specs:
        create_topics(settings, specs=specs)


async def _crashed(app: faust.App) -> None:
    # Polled: Faust's own event is bound to mode's Service and is set from several threads.
    while not app.crashed:  # noqa: ASYNC110
        await asyncio.sleep(0.2)


async def _report(app: PositionedApp, started: asyncio.Event, on_state: Callable[[str], None]) -> None:
    """Tell why the app does not run, whenever that changes, until cancelled."""
    told: str | None = None
    while True:
        state = _refusal(app) or ("" if started.is_set() else NOT_CONNECTED)
        if state != told:
            on_state(state)
        told = state
        await asyncio.sleep(STATE_LOOK_SECONDS)


def _refusal(app: PositionedApp) -> str:
    if not app.refusal:
        return ""
    return (
        f"Kafka does not let it read in the consumer group {app.conf.id}: {app.refusal}; does another program read "
        "under that name, or is a right missing? It is tried again"
    )


async def _topics_lost(settings: Settings) -> None:
    """Return once the topics are no longer those that they were, and exist again: an app can't stop without them."""
    from modelcast.infra.kafka.admin import create_topics, topic_ids
    from modelcast.infra.kafka.client import make_admin

    admin, known, lost, reported = make_admin(settings), None, False, False
    while True:
        try:
            found = await asyncio.to_thread(topic_ids, settings, admin)
            known = known or found
            # Seen twice: a broker that has just started may not know all topics yet.
            if found != known and lost:
                if not reported:
                    log.error("the cluster has lost its topics", lacking=sorted(known.keys() - found.keys()))
                reported = True
                await asyncio.to_thread(create_topics, settings)
                return
            lost = found != known
        except Exception as error:  # whatever it is, it must not end the app
            log.debug("the topics can't be looked at", error=repr(error))
        await asyncio.sleep(1.0 if lost else TOPICS_LOOK_SECONDS)


async def _forget_offsets(settings: Settings, group: str) -> None:
    """What was committed while the topics came back counts in the old ones' offsets. Waits for the group's last
    member to leave, but not for ever: another worker of ours may have begun anew already."""
    from modelcast.infra.kafka.admin import delete_group

    for _ in range(OFFSETS_ATTEMPTS):
        try:
            if await asyncio.to_thread(delete_group, settings, group):
                return
        except ModelcastError as error:
            log.warning("old offsets can't be forgotten now", group=group, error=error)
        await asyncio.sleep(1.0)


async def _stop(app: faust.App, timeout_seconds: float) -> None:
    try:
        await asyncio.wait_for(app.stop(), timeout_seconds)
    except TimeoutError:
        log.warning("the stream app did not stop in time", timeout_seconds=timeout_seconds)
    except Exception as error:
        log.warning("the stream app did not stop cleanly", error=repr(error))


async def _first(awaitable: Any, *, timeout_seconds: float) -> None:
    try:
        await asyncio.wait_for(awaitable, timeout_seconds)
    except TimeoutError:
        return
