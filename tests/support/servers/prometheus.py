"""Debian's Prometheus and Alertmanager, each in a folder of its own, with our rules over the daemons of a stack."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child
from tests.support.servers.stores import required_binary

READY_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """A daemon: ``port`` on loopback, scraped as ``job``."""

    job: str
    port: int
    labels: Mapping[str, str]


def _ask(url: str, **form: str) -> Any:
    body = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, body, timeout=20) as answer:
        return json.load(answer)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Alertmanager:
    """``alertmanager`` with a configuration file, alone in its cluster."""

    def __init__(self, folder: Path, config: Path) -> None:
        program = required_binary("prometheus-alertmanager", "MODELCAST_ALERTMANAGER")
        folder.mkdir(parents=True)
        self.address = f"{LOOPBACK}:{free_ports(1)[0]}"
        self.child = Child.start(
            [
                program,
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            name="alertmanager",
            log=folder / "alertmanager.log",
        )
        ready = f"http://{self.address}/-/ready"
        self.child.wait_until(lambda: _answers(ready), what="ready", seconds_max=READY_SECONDS_MAX)

    def post(self, *alerts: Mapping[str, str]) -> None:
        """Have alerts with these labels fire."""
        body = json.dumps([{"labels": dict(labels)} for labels in alerts]).encode()
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=20).close()

    def states(self) -> dict[str, set[str]]:
        """By alert: ``active`` (somebody is told), ``suppressed`` (another alert speaks for it), or both."""
        found: dict[str, set[str]] = {}
        for alert in _ask(f"http://{self.address}/api/v2/alerts"):
            found.setdefault(alert["labels"]["alertname"], set()).add(alert["status"]["state"])
        return found

    def stop(self) -> None:
        """End it."""
        self.child.stop()


class Prometheus:
    """``prometheus`` that scrapes ``targets`` every ``every_ms``."""

    def __init__(
        self, folder: Path, targets: Sequence[ScrapeTarget], rules: Mapping[str, str], alertmanager: str, every_ms: int
    ) -> None:
        program = required_binary("prometheus", "MODELCAST_PROMETHEUS")
        folder.mkdir(parents=True)
        self._folder, self._targets, self._alertmanager, self._every_ms = folder, targets, alertmanager, every_ms
        self.url = f"http://{LOOPBACK}:{free_ports(1)[0]}"
        self._write(rules)
        self.child = Child.start(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--web.enable-lifecycle",
            ],
            name="prometheus",
            log=folder / "prometheus.log",
        )
        self.child.wait_until(lambda: _answers(f"{self.url}/-/ready"), what="ready", seconds_max=READY_SECONDS_MAX)

    def use(self, rules: Mapping[str, str]) -> None:
        """Go on with other rules."""
        self._write(rules)
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")
        urllib.request.urlopen(request, timeout=20).close()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        return list(_ask(f"{self.url}/api/v1/query", query=expr)["data"]["result"])

    def fired(self, since: str = "30m") -> set[str]:
        """Names of alerts that have fired."""
        expr = f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{since}]))'
        return {sample["metric"]["alertname"] for sample in self.query(expr)}

    def commands(self) -> set[str]:
        """What the alerts that fire now tell people to type, of our own commands."""
        found = _ask(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        said = {alert["annotations"]["command"] for alert in found if alert["state"] == "firing"}
        return {command for command in said if command.startswith("modelcast ")}

    def up(self) -> bool:
        """Whether every target was scraped."""
        found = self.query("up")
        return len(found) == len(self._targets) and all(sample["value"][1] == "1" for sample in found)

    def stop(self) -> None:
        """End it."""
        self.child.stop()

    def _write(self, rules: Mapping[str, str]) -> None:
        for name, text in rules.items():
            (self._folder / name).write_text(text)
        jobs: dict[str, list[dict[str, Any]]] = {}
        for each in self._targets:
            jobs.setdefault(each.job, []).append({"targets": [f"{LOOPBACK}:{each.port}"], "labels": dict(each.labels)})
        every = f"{self._every_ms}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": list(rules),
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]},
            "scrape_configs": [{"job_name": job, "static_configs": found} for job, found in jobs.items()],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
