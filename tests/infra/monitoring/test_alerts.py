"""Alerts fire when they should and only then, name what there is, and each has its entry in the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_help import parsed
from tests.infra.monitoring.faults import BROUGHT_ABOUT, ELSEWHERE
from tests.support.servers.stores import required_binary

ROOT = Path(__file__).parents[3]
MONITORING, HERE = ROOT / "infra" / "monitoring", Path(__file__).parent
SEVERITIES = {"page", "ticket"}
RUNBOOK_URL = "{{ or $externalLabels.modelcast_runbook `docs/runbook.md` }}#"
LATE_REGION = [
    ('modelcast_region_models_late{region="eu"}', "20x100"),
    ('modelcast_region_models{region="eu"}', "20x100"),
]
LATE_MODEL = [
    ('modelcast_model_regions_late{model="fraud"}', "20x100"),
    ('modelcast_model_regions{model="fraud"}', "20x100"),
]
FIRING: dict[str, list[tuple[str, str]]] = {
    "TrackerAbsent": [('up{job="modelcast-tracker"}', "1x10 0x60")],
    "StateStale": [('modelcast_state_timestamp_seconds{model="fraud"}', "1x60")],
    "TrackerBehind": [('modelcast_unread_since_timestamp_seconds{partition="3"}', "1x60")],
    "ManyRegionsSilent": [
        ('modelcast_region_silent{region="eu"}', "1x60"),
        ('modelcast_region_silent{region="us"}', "1x60"),
        *((f'modelcast_region_silent{{region="ap-{n}"}}', "0x60") for n in range(4)),
    ],
    "RegionSilent": [
        ('modelcast_region_silent{region="eu"}', "1x60"),
        ('modelcast_region_silent{region="us"}', "0x60"),
    ],
    "RegionLate": LATE_REGION,
    "RegionOftenLate": LATE_REGION,
    "ModelLate": LATE_MODEL,
    "ModelOftenLate": LATE_MODEL,
    "Stalled": [('modelcast_model_regions_stalled{model="fraud"}', "2x60")],
    "Alarm": [('modelcast_alarm{model="fraud"}', "1x60")],
    "VersionRefused": [('modelcast_model_regions_refused{model="fraud"}', "3x60")],
    "RolloverStopped": [('modelcast_rollover_stopped{model="fraud"}', "1x60")],
    "CandidateCut": [('modelcast_candidate_cut_timestamp_seconds{model="fraud",region="eu"}', "_x20 300x40")],
    "RolloutEnded": [('modelcast_rollout_ended_timestamp_seconds{model="fraud",entry="abort"}', "_x20 300x40")],
    "SkewTooLong": [('modelcast_skew{model="fraud"}', "1x200")],
    "ConsumerStopped": [('modelcast_consumer_status{group="modelcast-region-eu",status="STALL"}', "1x60")],
    "ConsumerLag": [('modelcast_consumer_lag_seconds{group="modelcast-tracker",topic="model-acks"}', "70+15x60")],
    "ProbeLost": [
        ('modelcast_probe_last_success_timestamp_seconds{region="eu"}', "1x60"),
        ('modelcast_region_silent{region="eu"}', "0x60"),
        ('modelcast_region_silent{region="us"}', "0x60"),
    ],
    "DeadLetters": [('modelcast_dead_letter_timestamp_seconds{topic="model-acks"}', "_x20 300x40")],
    "PodsMissing": [
        ('modelcast_model_pods_serving{model="fraud"}', "17x60"),
        ('modelcast_model_pods_expected{model="fraud"}', "20x60"),
    ],
    "FleetUnseen": [('modelcast_fleet_seen_timestamp_seconds{instance="eu-1:9464",fleet="registration"}', "1x100")],
    "OwnerFlapping": [('modelcast_fenced_total{model="fraud"}', "0+1x60")],
    "DiskFull": [('modelcast_disk_free_bytes{instance="eu-1:9464"}', "100000000000-500000000x200")],
    "AnnounceFailing": [
        ('modelcast_announcements_total{by="tracker",outcome="failed"}', "0+1x100"),
        ('modelcast_announcements_total{by="tracker",outcome="done"}', "7x100"),
    ],
    "ViewUnwritten": [
        ('modelcast_view_writes_total{outcome="unavailable"}', "0+1x100"),
        ('modelcast_view_writes_total{outcome="done"}', "7x100"),
    ],
    "DashboardStale": [
        ("modelcast_dashboard_state_timestamp_seconds", "1x100"),
        ('up{job="modelcast-dashboard"}', "1x100"),
    ],
    "HeldLong": [('modelcast_held_since_timestamp_seconds{model="fraud",region="us"}', "1x10300")],
}
"""What makes each alert fire: series, a sample every 15 s."""


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    files = [yaml.safe_load((MONITORING / name).read_text()) for name in ("rules.yml", "alerts.yml")]
    return [rule["expr"] for file in files for group in file["groups"] for rule in group["rules"]]


def test_every_alert_says_whom_it_wakes_what_to_type_and_where_to_read_on() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == RUNBOOK_URL + rule["alert"].lower()
        command = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"\1", rule["annotations"]["command"])
        if not command.startswith("systemctl "):
            parsed(command)


def sections() -> dict[str, str]:
    """The runbook's entries by alert."""
    _, *found = re.split(r"^## ", (ROOT / "docs" / "runbook.md").read_text(), flags=re.MULTILINE)
    return {name: text for name, _, text in (each.partition("\n") for each in found)}


def test_the_runbook_has_an_entry_for_each_alert_that_says_what_to_do_and_when_it_is_over() -> None:
    entries = sections()
    assert list(entries) == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        text = entries[rule["alert"]]
        assert text.strip().startswith(f"*{rule['labels']['severity']}* · **Means**: ")
        assert re.findall(r"\*\*(.+?)\*\*", text) == ["Means", "Look first", "Do", "Over"]


def test_what_the_runbook_types_is_what_the_command_line_takes() -> None:
    commands = {line for text in sections().values() for line in re.findall(r"`(modelcast [^`]+)`", text)}
    assert len(commands) > 20
    for line in commands:
        parsed(line)


def test_every_alert_has_a_series_that_makes_it_fire_and_one_that_keeps_it_quiet() -> None:
    names = [rule["alert"] for rule in alerts()]
    quiet = yaml.safe_load((HERE / "alerts_test.yml").read_text())["tests"][0]["alert_rule_test"]
    assert set(FIRING) == set(names)
    assert {each["alertname"] for each in quiet} == set(names)


def test_every_alert_is_brought_about_by_a_real_fault_or_it_is_said_why_not() -> None:
    assert sorted([*BROUGHT_ABOUT, *ELSEWHERE]) == sorted(rule["alert"] for rule in alerts())
    assert all(ELSEWHERE.values())


def shown() -> set[str]:
    """The metrics that our processes declare, as they are queried, less what a counter or histogram adds."""
    sources = [ROOT / "infra" / "telemetry" / "metrics.py", ROOT / "dashboard" / "metrics.py"]
    names = re.findall(r'"(modelcast_\w+)"', "".join(path.read_text() for path in sources))
    return {name.removesuffix("_total") for name in names}


def metrics_in(expr: str) -> set[str]:
    """The metrics of ours that an expression asks for."""
    return {re.sub("_(total|bucket|count)$", "", name) for name in re.findall(r"(?<![:\w])modelcast_\w+(?!:|\w)", expr)}


def recorded() -> set[str]:
    """What the recording rules make."""
    (group,) = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    return {rule["record"] for rule in group["rules"]}


def test_rules_name_only_what_the_daemons_show() -> None:
    named = {name for text in expressions() for name in metrics_in(text)}
    assert named
    assert named <= shown()


@pytest.mark.real
@pytest.mark.timeout(300)
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    promtool = required_binary("promtool", "MODELCAST_PROMTOOL")
    rules = (MONITORING / "rules.yml", MONITORING / "alerts.yml")
    checked = subprocess.run([promtool, "check", "rules", *rules], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    slow = ("HeldLong",)  # a week of every 15 s is more than promtool holds
    quick = [fires(rule) for rule in alerts() if rule["alert"] not in slow]
    files = [HERE / "alerts_test.yml", tmp_path / "quick.yml", tmp_path / "slow.yml"]
    files[1].write_text(as_file("15s", quick, "rules.yml", "alerts.yml"))
    rare = [fires(rule, interval="1m") for rule in alerts() if rule["alert"] in slow]
    files[2].write_text(as_file("1h", rare, "alerts.yml"))
    for file in files:
        done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_both_settings_of_prometheus_scrape_the_jobs_that_rules_ask_for() -> None:
    """Debian's Prometheus is built without Kubernetes, so that file is read here alone."""
    jobs = {job for text in expressions() for job in re.findall(r'job="(\w[\w-]+)"', text)}
    plain, cluster = (
        yaml.safe_load((MONITORING / name).read_text()) for name in ("prometheus.yml", "prometheus-kubernetes.yml")
    )
    assert jobs
    assert jobs <= {each["job_name"] for each in plain["scrape_configs"]}
    assert plain["rule_files"] == cluster["rule_files"] == ["rules.yml", "alerts.yml"]
    (job,) = cluster["scrape_configs"]
    kept, *_ = [rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep"]
    assert all(re.fullmatch(kept, each) for each in jobs)
    region = next(
        yaml.safe_load_all((ROOT / "infra/deploy/kubernetes/region.yaml").read_text().split("kind: Deployment")[1])
    )
    labels = region["spec"]["template"]["metadata"]["labels"]
    assert re.fullmatch(kept, labels["app"])
    assert labels["region"]


@pytest.mark.real
def test_prometheus_takes_the_settings() -> None:
    promtool = required_binary("promtool", "MODELCAST_PROMTOOL")
    checked = subprocess.run(
        [promtool, "check", "config", MONITORING / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.real
def test_alertmanager_takes_the_settings() -> None:
    amtool = required_binary("amtool", "MODELCAST_AMTOOL")
    checked = subprocess.run(
        [amtool, "check-config", MONITORING / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def as_file(every: str, tests: list[dict[str, Any]], *names: str) -> str:
    rules = [str(MONITORING / name) for name in names]
    return yaml.safe_dump({"rule_files": rules, "evaluation_interval": every, "tests": tests})


def fires(rule: dict[str, Any], interval: str = "15s") -> dict[str, Any]:
    """A test by which the alert fires: its labels and annotations are those that promtool would render."""
    name = rule["alert"]
    series = FIRING[name]
    samples = max(int(number) for _, values in series for number in re.findall(r"x(\d+)", values))
    minutes = {"HeldLong": 10_200, "DeadLetters": 12, "CandidateCut": 12, "RolloutEnded": 12}.get(
        name, samples * 15 // 60 - 1
    )
    # ALERTS carries what fires, whatever its text: the text is for people.
    return {
        "name": name,
        "interval": interval,
        "input_series": [{"series": key, "values": values} for key, values in series],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0',
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        ],
    }
