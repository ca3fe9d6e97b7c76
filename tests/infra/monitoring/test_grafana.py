"""The Grafana dashboards are what the code makes, ask for what daemons show, and in words that Prometheus parses."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcast.infra.monitoring.grafana.generate import NO_DATA, rendered
from modelcast.infra.monitoring.grafana.panels import DASHBOARDS
from tests.infra.monitoring.test_alerts import MONITORING, metrics_in, recorded, shown
from tests.support.servers.stores import required_binary

FOLDER = MONITORING / "grafana"
OF_OTHERS = {"up", "scrape_samples_scraped", "process_cpu_seconds_total", "process_resident_memory_bytes", "ALERTS"}
"""What Prometheus itself and every process of Python show."""


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield f"{path.stem}: {panel['title']}", panel


def queries(**values: str) -> dict[str, str]:
    """Every query, with values in the place of Grafana's variables, by what shows it."""
    found = {}
    for what, panel in panels():
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in {"__rate_interval": "1m", **values}.items():
                expr = expr.replace(f"${name}", value)
            found[f"{what} ({target['refId']})"] = expr
    return found


def test_the_files_are_what_the_code_makes() -> None:
    made = {f"{spec.uid}.json": rendered(spec) for spec in DASHBOARDS}
    assert made == {path.name: path.read_text() for path in FOLDER.glob("*.json")}


def test_panels_ask_only_for_what_is_shown_or_recorded() -> None:
    for what, expr in queries(model="fraud", region="eu").items():
        assert "$" not in expr, what
        assert metrics_in(expr) <= shown(), what
        assert set(re.findall(r"\w*:\w+:\w+", expr)) <= recorded(), what
        assert (
            metrics_in(expr)
            or recorded() & set(re.findall(r"\w*:\w+:\w+", expr))
            or any(name in expr for name in (*OF_OTHERS, "model_"))
        ), what


def test_what_is_not_known_is_said_to_be_no_data() -> None:
    for what, panel in panels():
        assert panel["fieldConfig"]["defaults"]["noValue"] == NO_DATA, what
        if panel["type"] == "stat":
            assert panel["options"]["reduceOptions"]["calcs"] == ["last"], what
            assert all(target["instant"] for target in panel["targets"]), what
        else:
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False, what


@pytest.mark.real
def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": expr} for n, expr in enumerate(queries(model="m", region="r").values())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool = required_binary("promtool", "MODELCAST_PROMTOOL")
    checked = subprocess.run(
        [promtool, "check", "rules", "--lint=none", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
