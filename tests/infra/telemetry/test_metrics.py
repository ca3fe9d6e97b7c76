"""Metrics are declared in one place, and each is really kept."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from modelcast.infra.telemetry import metrics
from modelcast.infra.telemetry.inference_counts import InferenceCounts

ROOT = Path(__file__).parents[3]
SOURCES = [path for room in (ROOT / "src" / "modelcast").iterdir() for path in room.resolve().rglob("*.py")]
DECLARED = Path(metrics.__file__).resolve()
KINDS = MetricWrapperBase | InferenceCounts
POD = {name: value for name, value in vars(metrics.PodMetrics()).items() if isinstance(value, KINDS)}
EVERYBODY = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def test_no_other_module_declares_one() -> None:
    declares = re.compile(r"prometheus_client import .*\b(Counter|Gauge|Histogram|Summary|Info|Enum)\b")
    assert SOURCES
    assert [path for path in SOURCES if path != DECLARED and declares.search(path.read_text())] == []


def test_each_is_used_somewhere() -> None:
    text = "\n".join(path.read_text() for path in SOURCES if path != DECLARED)
    unused = {name for name in EVERYBODY if not re.search(rf"\b{name}\b", text)}
    unused |= {name for name in POD if not re.search(rf"metrics\.{name}\b", text)}
    assert unused == set()


FAMILIES = [family for metric in (*EVERYBODY.values(), *POD.values()) for family in metric.describe()]


def test_each_says_what_it_means_and_durations_and_sizes_their_unit() -> None:
    for family in FAMILIES:
        assert len(family.documentation) > 15, family.name
        assert family.type in {"counter", "gauge", "histogram"}, family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name


def test_names_carry_our_prefix_or_are_those_that_dashboards_know() -> None:
    names = {family.name for family in FAMILIES}
    foreign = {name for name in names if not name.startswith("modelcast_")}
    assert foreign == {"model_predictions", "model_prediction_latency_seconds", "model_active_replicas"}
