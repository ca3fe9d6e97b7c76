"""A stack of three regions whose real daemons a real Prometheus scrapes, with a real Alertmanager behind it."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcast.infra.local.layout import Daemon, inherited_env
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.service import DaemonService
from modelcast.infra.local.stack import LocalStack
from tests.infra.monitoring.scaling import scaled
from tests.infra.monitoring.test_alerts import MONITORING
from tests.support.processes.services import ForkedService
from tests.support.servers.prometheus import Alertmanager, Prometheus, ScrapeTarget
from tests.support.waiting import until

REGIONS = ("eu", "us", "ap")
RULES = ("rules.yml", "alerts.yml")
LATE_SECONDS = 20
PUBLISHES = """
import sys, time
from prometheus_client import start_http_server
from modelcast.producers import Commander, Publisher
start_http_server(int(sys.argv[1]), addr="127.0.0.1")
with Publisher.from_env() as publisher, Commander.from_env() as commander:
    number = 0
    while True:
        number += 1
        open("weights.txt", "w").write(str(number % 2))
        publisher.publish("trained", "weights.txt", placement="nowhere")
        commander.reload("trained")
        time.sleep(10)
"""
"""A training job that publishes and commands again and again, and shows its metrics."""


def rules(factor: float, **others: float) -> dict[str, str]:
    """Our rules, ``factor`` times as slow; ``others``: the factors of single alerts."""
    return {name: scaled((MONITORING / name).read_text(), factor, others) for name in RULES}


@dataclass(frozen=True, slots=True)
class Scraped:
    """What runs. ``discovered``: the file by which region ap finds a fleet."""

    stack: LocalStack
    prometheus: Prometheus
    alertmanager: Alertmanager
    discovered: Path

    def daemon(self, name: str) -> DaemonService:
        """One of the stack's daemons."""
        found = self.stack.services[name]
        assert isinstance(found, DaemonService)
        return found

    def signal(self, name: str, number: signal.Signals) -> None:
        """Deliver a signal to a daemon or server."""
        self.stack.services[name].child.signal(number)

    def restart(self, name: str) -> None:
        """Start a daemon again, and wait until it is ready."""
        self.daemon(name).restart()
        self.daemon(name).wait_ready()


def target_of(daemon: Daemon) -> ScrapeTarget:
    """As ``prometheus.yml`` would have it."""
    kind, _, rest = daemon.name.partition("-")
    return ScrapeTarget(f"modelcast-{kind}", daemon.port, {"region": rest.partition("-")[0]} if rest else {})


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    discovered = folder / "fleet.json"
    discovered.write_text("[]")
    env = {
        "MODELCAST_DASHBOARD__LATE_SECONDS": str(LATE_SECONDS),
        "MODELCAST_KAFKA__TIMEOUT_SECONDS": "10",
        "MODELCAST_TRACKER__ANNOUNCE_SECONDS": "2",
        "MODELCAST_TRACKER__PROBE_SECONDS": "2",
        "MODELCAST_REGIONS__AP__RECONCILE_SECONDS": "3",
        "MODELCAST_REGIONS__AP__ROLLOVER": json.dumps({"stop_after_failures": 1}),
        "MODELCAST_REGIONS__AP__FLEET": json.dumps([{"discover": {"by": "file", "path": str(discovered)}}]),
    }
    with ExitStack() as ending:
        stack = ending.enter_context(
            LocalStack.start(
                folder / "stack",
                regions=REGIONS,
                pods_per_region=1,
                extra_env=env,
                service=ForkedService,
                rollouts=True,
            )
        )
        daemons = [service.daemon for service in stack.services.values() if isinstance(service, DaemonService)]
        (port,) = free_ports(1)
        job = Child.start(
            [sys.executable, "-c", PUBLISHES, str(port)],
            name="publisher",
            log=folder / "publisher.log",
            env={**inherited_env(), **stack.env},
            cwd=folder,
        )
        ending.callback(job.stop)
        alertmanager = Alertmanager(folder / "alertmanager", MONITORING / "alertmanager.yml")
        ending.callback(alertmanager.stop)
        targets = [*map(target_of, daemons), ScrapeTarget("modelcast-publisher", port, {})]
        prometheus = Prometheus(folder / "prometheus", targets, rules(1 / 2), alertmanager.address, every_ms=1000)
        ending.callback(prometheus.stop)
        until(prometheus.up, lambda: str(prometheus.query("up")), 60)
        yield Scraped(stack, prometheus, alertmanager, discovered)
