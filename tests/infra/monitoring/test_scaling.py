"""Scaling rules changes how long they take, and nothing else."""

import re

import yaml

from tests.infra.monitoring.scaling import scaled
from tests.infra.monitoring.test_alerts import MONITORING

RULES = """
groups:
  - name: g
    interval: 15s
    rules:
      - { record: "a:b", expr: "sum_over_time(a:late[1h]) / 240" }
      - alert: A
        expr: time() - max_over_time(m{status="HELD"}[7d:1h]) > 7 * 86400 or n >= 160
        for: 2m
        keep_firing_for: 5m
        labels: { severity: page }
"""


def test_durations_are_scaled_and_other_thresholds_stay() -> None:
    (group,) = yaml.safe_load(scaled(RULES, 0.1))["groups"]
    record, alert = group["rules"]
    assert group["interval"] == "1500ms"
    assert record["expr"] == "sum_over_time(a:late[360000ms]) / 240"
    assert alert["expr"] == (
        'time() - max_over_time(m{status="HELD"}[60480000ms:360000ms]) > 0.700000 * 86400 or n >= 160'
    )
    assert (alert["for"], alert["keep_firing_for"], alert["labels"]) == ("12000ms", "30000ms", {"severity": "page"})


def durationless(expr: str) -> str:
    return re.sub(r"\[.*?\]|offset \w+|[\d.]+ \* (?:60|3600|86400)\b", "", expr)


def test_our_rules_differ_in_nothing_but_durations() -> None:
    for name in ("rules.yml", "alerts.yml"):
        text = (MONITORING / name).read_text()
        before, after = (yaml.safe_load(each)["groups"] for each in (text, scaled(text, 1 / 20)))
        for old, new in zip(before, after, strict=True):
            for one, other in zip(old["rules"], new["rules"], strict=True):
                assert durationless(one["expr"]) == durationless(other["expr"])
                assert one.keys() == other.keys()
                assert one.get("annotations") == other.get("annotations")
