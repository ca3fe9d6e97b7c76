"""``modelcast run region | tracker | rollouts | dashboard | pod``: the daemons, wired to the world."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelcast.cli.configured import load
from modelcast.cli.options import check_output_folder, path
from modelcast.consumers.companion.server_kinds import SERVER_KINDS
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_pod

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from modelcast.consumers.pod.config import PodConfig
    from modelcast.infra.settings import RegionSettings, Settings

ADVERTISE_HELP = (
    'Register in the region\'s bucket as reachable at this URL (fleets with discover = { by = "registration" }).'
)
ZONE_HELP = "The zone in which it stands, registered with --advertise; else as its fleet's settings say."
PortFile = Annotated[Path | None, typer.Option("--port-file", help="Where to write the port, once bound.", parser=path)]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="A folder of its own for what it has accepted.", parser=path)
]
CacheDir = Annotated[
    Path | None, typer.Option("--cache-dir", help="Artifacts; may be shared in a region.", parser=path)
]
GraceSeconds = Annotated[
    float,
    typer.Option(
        "--grace-seconds",
        min=0,
        max=600,
        help="How long /readyz says no before it closes, or before a swap with a gap: what a balancer takes to notice.",
    ),
]

daemons = typer.Typer(no_args_is_help=True, help="Run a daemon in the foreground; SIGTERM drains it.")


def register(app: typer.Typer) -> None:
    """Add ``run`` to the command line."""
    app.add_typer(daemons, name="run")


@daemons.command()
def region(name: Annotated[str, typer.Argument(help="The region that this worker works for.")]) -> None:
    """The region agent: fetches, verifies and stages what is published, and reloads the region's pods."""
    from modelcast.agents.region.runner import run_region

    settings = load()
    settings.region(name)
    _run(run_region(settings, name), settings, daemon="region", region=name)


@daemons.command()
def tracker() -> None:
    """The tracker agent: knows who serves what, announces what was left unannounced."""
    from modelcast.agents.tracker.runner import run_tracker

    settings = load()
    _run(run_tracker(settings), settings, daemon="tracker")


@daemons.command("rollouts")
def run_rollout_controller() -> None:
    """The rollout controller: lets candidates earn their traffic, by what regions count and read back."""
    from modelcast.agents.rollout.runner import run_rollouts

    settings = load()
    _run(run_rollouts(settings), settings, daemon="rollouts")


@daemons.command()
def dashboard() -> None:
    """The dashboard: who serves what, how late, since when, and why. Its address is in [dashboard] of the settings."""
    from modelcast.cli.console import say
    from modelcast.dashboard.runner import run_dashboard

    settings = load()
    _run(run_dashboard(settings, lambda url: say(f"dashboard: {url}")), settings, daemon="dashboard")


@daemons.command()
def pod(
    name: Annotated[str, typer.Option("--name", help="This pod's name, as it stands in reports.")],
    region: Annotated[str, typer.Option("--region", help="The region that it serves in.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free one (see --port-file).")
    ] = 0,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port_file: PortFile = None,
    state_dir: StateDir = None,
    cache_dir: CacheDir = None,
    advertise: Annotated[str, typer.Option("--advertise", help=ADVERTISE_HELP)] = "",
    zone: Annotated[str, typer.Option("--zone", help=ZONE_HELP)] = "",
    memory_max_bytes: Annotated[
        int | None, typer.Option("--memory-max-bytes", min=1, help="Of all its models together; else what is free.")
    ] = None,
    grace_seconds: GraceSeconds = 1.0,
) -> None:
    """A serving pod: Open Inference Protocol (V2) on ONNX Runtime."""
    from dataclasses import replace

    from modelcast.consumers.pod.server import serve

    settings = load()
    config = _pod_config(settings, region, name, host, port, port_file, state_dir, cache_dir, advertise, zone)
    config = replace(config, memory_max_bytes=memory_max_bytes, grace_seconds=grace_seconds)
    _run(serve(config), settings, daemon="pod", region=region, pod=name)


@daemons.command()
def companion(
    kind: Annotated[str, typer.Option("--kind", help=f"The server beside it: {SERVER_KINDS}.")],
    name: Annotated[str, typer.Option("--name", help="Its name, as it stands in reports.")],
    region: Annotated[str, typer.Option("--region", help="The region that the server serves in.")],
    server: Annotated[
        str, typer.Option("--server", help="grpc://HOST:PORT of a Triton, http://HOST:PORT of any other.")
    ] = "",
    repository: Annotated[
        Path | None, typer.Option("--repository", help="Where the server looks for models.", parser=path)
    ] = None,
    command: Annotated[str, typer.Option("--command", help="Kind folder: run when the version has changed.")] = "",
    check: Annotated[str, typer.Option("--check", help="Kind folder: prints the version in memory.")] = "",
    webhook: Annotated[
        Path | None, typer.Option("--webhook", help="Kind webhook: its requests, a TOML file.", parser=path)
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free one (see --port-file).")
    ] = 0,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port_file: PortFile = None,
    state_dir: StateDir = None,
    cache_dir: CacheDir = None,
    advertise: Annotated[str, typer.Option("--advertise", help=ADVERTISE_HELP)] = "",
    zone: Annotated[str, typer.Option("--zone", help=ZONE_HELP)] = "",
    memory_check: Annotated[
        bool,
        typer.Option("--memory-check/--no-memory-check", help="Refuse a load that does not fit into its memory."),
    ] = True,
    memory_max_bytes: Annotated[
        int | None, typer.Option("--memory-max-bytes", min=1, help="Of all its processes together; else what is free.")
    ] = None,
    gap: Annotated[
        bool, typer.Option("--gap", help="Kinds folder, webhook: it fails requests while it loads.")
    ] = False,
    grace_seconds: GraceSeconds = 1.0,
    load_seconds_max: Annotated[
        float, typer.Option("--load-seconds-max", min=1, max=86_400, help="How long the server may take for a load.")
    ] = 300.0,
) -> None:
    """Beside a server of another kind: a pod towards the region, files and swaps towards the server.

    A token for the server itself comes from MODELCAST_SERVER_TOKEN.
    """
    import os
    from dataclasses import replace

    from modelcast.consumers.companion.kinds import ServerSettings, make_engine
    from modelcast.consumers.pod.server import serve

    settings = load()
    config = _pod_config(settings, region, name, host, port, port_file, state_dir, cache_dir, advertise, zone)
    config = replace(config, grace_seconds=grace_seconds, load_seconds_max=load_seconds_max)
    server_token = os.environ.get("MODELCAST_SERVER_TOKEN", "")
    beside = ServerSettings(
        *(kind, server, repository, command, check, webhook, server_token),
        load_seconds_max=config.load_seconds_max,
        gap=gap,
        memory_check=memory_check,
        memory_max_bytes=memory_max_bytes,
    )
    engine = make_engine(beside, config.artifacts)
    _run(serve(config, engine), settings, daemon="companion", region=region, pod=name)


def _pod_config(
    settings: "Settings",
    region: str,
    name: str,
    host: str,
    port: int,
    port_file: Path | None,
    state_dir: Path | None,
    cache_dir: Path | None,
    advertise: str,
    zone: str,
) -> "PodConfig":
    import functools

    from modelcast.cli.pod_sources import RegionAspired, make_source
    from modelcast.consumers.discovery.registrar import make_registrar
    from modelcast.consumers.pod.config import PodConfig

    if advertise and port == 0:
        raise UsageError(
            "a pod that registers itself needs a port of its own", hint="set --port to that of --advertise"
        )
    if zone and not advertise:
        raise UsageError("a zone is registered with --advertise", hint="or set zone in the fleet's settings")
    here = settings.region(region)
    check_pod(name)
    cache = cache_dir or here.cache_dir
    if cache is None:
        raise UsageError(
            "a pod needs a cache folder", hint=f"give --cache-dir DIR, or set `cache_dir` below [regions.{region}]"
        )
    if here.store is None:  # it would take traffic before it has what the region serves
        raise UsageError(
            "a pod learns from its region's bucket what it must serve before it is ready",
            hint=f"set [regions.{region}.store] url = 's3://…'",
        )
    state = state_dir or cache.parent / f"pod-{name}"
    check_output_folder(cache, "--cache-dir")
    check_output_folder(state, "--state-dir")
    return PodConfig(
        name=name,
        region=region,
        token=_token(here, region),
        artifacts=functools.partial(make_source, here, cache),
        state_dir=state,
        aspired=RegionAspired(here.store),
        presence=make_registrar(here, region, name, advertise, zone) if advertise else None,
        host=host,
        port=port,
        port_file=port_file,
        drain_seconds=settings.daemon.drain_seconds,
        metrics_tokens=settings.daemon.metrics_tokens,
    )


def _run(daemon_: "Coroutine[Any, Any, None]", settings: "Settings", **names: Any) -> None:
    import asyncio

    from modelcast.infra.telemetry import logs

    logs.set_up(settings.log, **names)
    logs.warn_of_variables()
    asyncio.run(daemon_)


def _token(region: "RegionSettings", name: str) -> str:
    if region.token is None:
        raise UsageError(
            f"region {name!r} has no token", hint=f"set `token` below [regions.{name}], or its MODELCAST_… variable"
        )
    return region.token.get_secret_value()
