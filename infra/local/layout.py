"""What the stack on this machine consists of, as data: names, ports, settings, the daemons' command lines."""

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.servers.s3 import CREDENTIALS
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_region

REGIONS = ("eu", "us", "ap")
PODS_PER_REGION = 2
PODS_PER_REGION_MAX = 20
ORIGIN_BUCKET = "modelcast-origin"
CONFIG_FILE = "modelcast.toml"
DRAIN_SECONDS = 5
DASHBOARD = "dashboard"
KEPT_FROM_OUTSIDE = frozenset({"MODELCAST_CACHE_DIR", "MODELCAST_MAVEN_MIRROR", "MODELCAST_STACK"})


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of Modelcast's own processes.

    Attributes:
        name: ``tracker``, ``region-eu``, ``pod-eu-0``.
        arguments: what follows ``modelcast`` on its command line.
        port: where it answers ``/readyz``.
        env: what its environment has beyond the stack's.
    """

    name: str
    arguments: tuple[str, ...]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{LOOPBACK}:{self.port}"


def check_shape(regions: Iterable[str], pods_per_region: int) -> None:
    """Say what is wrong with the regions or the number of pods.

    Raises:
        UsageError: a region's name is bad or can't stand in a variable's name, or there are none or too many.
    """
    if isinstance(regions, str):
        raise UsageError("regions are a text", subject=regions, hint=f"write ({regions!r},)")
    names = list(regions)
    for name in names:
        check_region(name)
        if not re.fullmatch(r"[a-z][a-z0-9]*", name):
            raise UsageError(
                "on this machine a region's name has letters and digits only", subject=name, hint="as in eu or us2"
            )
    if not names:
        raise UsageError("no region is named", hint="name at least one, as in --regions eu,us,ap")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError("a region is named twice", subject=",".join(names), hint=f"name {', '.join(twice)} once")
    if not 1 <= pods_per_region <= PODS_PER_REGION_MAX:
        raise UsageError(f"{pods_per_region} pods a region", hint=f"give it 1 to {PODS_PER_REGION_MAX}")


def modelcast_daemons(
    directory: Path, regions: Iterable[str], pods_per_region: int, *, rollouts: bool = False
) -> tuple[Daemon, ...]:
    """The tracker, the dashboard, and for each region its agent and its pods, each on a port of its own.

    With ``rollouts`` the rollout controller, too: nothing else needs it.
    """
    names = list(regions)
    ports = iter(free_ports(3 + len(names) * (1 + pods_per_region)))

    def agent(name: str, *arguments: str) -> Daemon:
        port = next(ports)
        data = str(directory / "daemons" / name)
        env = {
            "MODELCAST_DAEMON__PORT": str(port),
            "MODELCAST_DAEMON__DATA_DIR": data,
            "MODELCAST_DAEMON__WORKER": name,
        }
        return Daemon(name, ("run", *arguments), port, env)

    port = next(ports)
    shown = Daemon(DASHBOARD, ("run", "dashboard"), port, {"MODELCAST_DASHBOARD__PORT": str(port)})
    daemons = [agent("tracker", "tracker"), shown]
    if rollouts:
        daemons.append(agent("rollouts", "rollouts"))
    for region in names:
        daemons.append(agent(f"region-{region}", "region", region))
        for index in range(pods_per_region):
            name, port = f"{region}-{index}", next(ports)
            arguments = ("run", "pod", "--name", name, "--region", region, "--port", str(port))
            daemons.append(Daemon(f"pod-{name}", arguments, port))
    return tuple(daemons)


def dashboard_url(env: Mapping[str, str]) -> str:
    """The dashboard's address in a stack with such settings; "" if it runs none."""
    port = env.get("MODELCAST_DASHBOARD__PORT")
    return f"http://{LOOPBACK}:{port}/" if port else ""


def bucket_name(region: str) -> str:
    """The regional bucket's name."""
    return f"modelcast-{region}"


def settings_env(
    *,
    directory: Path,
    regions: Iterable[str],
    daemons: Iterable[Daemon],
    bootstrap_servers: str,
    redis_url: str,
    endpoint_url: str,
) -> dict[str, str]:
    """The variables that point Modelcast, and any S3 client, at this stack."""
    env = dict(CREDENTIALS)
    env |= {
        "NO_PROXY": _with_loopback(os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""),
        "MODELCAST_CONFIG": str(directory / CONFIG_FILE),
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "MODELCAST_REDIS__URL": redis_url,
        "MODELCAST_STORES__ORIGIN__URL": f"s3://{ORIGIN_BUCKET}",
        "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": endpoint_url,
        "MODELCAST_DAEMON__DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    daemons = list(daemons)
    if shown := next((daemon for daemon in daemons if daemon.name == DASHBOARD), None):
        env["MODELCAST_DASHBOARD__PORT"] = str(shown.port)
    for region in regions:
        prefix = f"MODELCAST_REGIONS__{region.upper()}__"
        pods = [daemon.url for daemon in daemons if daemon.name.startswith(f"pod-{region}-")]
        env |= {
            prefix + "STORE__URL": f"s3://{bucket_name(region)}",
            prefix + "STORE__ENDPOINT_URL": endpoint_url,
            prefix + "PODS": json.dumps(pods),
            prefix + "CACHE_DIR": str(directory / "regions" / region / "cache"),
            prefix + "TOKEN": secrets.token_urlsafe(24),
        }
    env["no_proxy"] = env["NO_PROXY"]
    return env


def inherited_env() -> dict[str, str]:
    """This process' environment without what would point a daemon elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_FROM_OUTSIDE or not name.startswith(("MODELCAST_", "AWS_"))
    }


def _with_loopback(no_proxy: str) -> str:
    hosts = [host for host in no_proxy.split(",") if host]
    return ",".join([*hosts, *(host for host in (LOOPBACK, "localhost") if host not in hosts)])
