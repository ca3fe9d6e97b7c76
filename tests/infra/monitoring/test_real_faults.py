"""Real daemons, a real Prometheus, a real Alertmanager: a normal day is quiet, real faults are told, panels answer.

The rules are scaled (``scaling.py``): half as slow on the normal day, a twentieth while faults are waited for.
What takes hours however it is scaled, or can't be brought about from outside, is left to promtool (``faults.py``).
"""

import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.layout import inherited_env
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import Topic
from tests.infra.monitoring.breaking import asked, damage_origin, filling, reading_as, unreadable_id, with_the_bucket_of
from tests.infra.monitoring.conftest import REGIONS, Scraped, rules
from tests.infra.monitoring.faults import (
    AT_ONCE,
    CUT,
    DEAF,
    FILLING,
    LONGER,
    SILENCE,
    TAKEN,
    UNREAD,
    WITHOUT_DAEMONS,
    WITHOUT_KAFKA,
)
from tests.infra.monitoring.test_grafana import queries
from tests.support.processes.command_line import SECONDS_MAX, CommandLine, pods_of, predicts
from tests.support.processes.forked import run_command
from tests.support.servers.shared_servers import shared
from tests.support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(900)]

OF_EVENTS = {"modelcast_pod_worker_crashes_total", "modelcast_dashboard_resyncs_total"}
"""Counters of what does not happen here."""


@pytest.fixture
def modelcast(scraped: Scraped, tmp_path: Path) -> CommandLine:
    return CommandLine(scraped.stack.env, tmp_path)


def serves_first(pods: Sequence[str], models: Sequence[str]) -> bool:
    """Whether every pod serves the first version of every model."""
    try:
        return {predicts(pod, model)[0] for pod in pods for model in models} == {1}
    except OSError:
        return False  # one is not there yet


def typed(modelcast: CommandLine, command: str) -> int:
    """The exit code of what an alert tells people to type."""
    env = {**inherited_env(), **modelcast.env}
    words = shlex.split(command)[1:]
    done = run_command(shared("forks"), words, folder=modelcast.folder, env=env, seconds=SECONDS_MAX)
    assert done.out.strip() or done.err.strip(), command
    return done.code


def test_a_normal_day_is_quiet(scraped: Scraped, modelcast: CommandLine) -> None:
    pods = pods_of(scraped.stack.env)
    for number in (1, 2):
        for model in ("fraud", "churn"):
            modelcast("publish", model, modelcast.model(number), "--wait")
        assert {predicts(pod, "fraud")[0] for pod in pods} == {number}
    modelcast("pin", "fraud/1", "--region", "us", "--yes", "--reason", "an audit")
    modelcast("unpin", "fraud", "--region", "us", "--yes")
    modelcast("reload", "churn", "--yes")
    modelcast("rollback", "churn", "--yes", "--wait")
    for name in [name for name in scraped.stack.services if name not in {"s3", "redis", "kafka"}]:
        scraped.restart(name)
    modelcast("publish", "fraud", modelcast.model(3), "--wait")
    until(lambda: {predicts(pod, "fraud")[0] for pod in pods} == {3}, "all serve the third")
    # A rollout that is ended, and one that goes through; a worker that dies, and another that takes its models over.
    modelcast("publish", "fraud", modelcast.model(4), "--activation", "staged")
    modelcast("rollout", "start", "fraud/4", "--steps", "50,100", "--yes", "--reason", "a trial")
    modelcast("rollout", "abort", "fraud", "--yes", "--reason", "later")
    modelcast("rollout", "start", "fraud/4", "--steps", "50,100", "--yes", "--reason", "a trial")
    scraped.daemon("region-us").child.kill()
    scraped.restart("region-us")
    with asked(pods, "fraud"):
        until(lambda: {predicts(pod, "fraud")[0] for pod in pods} & {4}, "users meet the fourth")
    modelcast("rollout", "promote", "fraud", "--yes", "--reason", "it is well")
    until(lambda: {predicts(pod, "fraud")[0] for pod in pods} == {4}, "all serve the fourth", 60)
    until(scraped.prometheus.up, "everything is scraped again")
    assert scraped.prometheus.fired() == set()


def test_every_alert_fires_in_a_real_fault_and_every_panel_answers(scraped: Scraped, modelcast: CommandLine) -> None:
    prometheus, began = scraped.prometheus, time.monotonic()
    pods, models = pods_of(scraped.stack.env), ("tried", "damaged", "stuck", "pinned", "alarmed")
    for model in models:
        modelcast("publish", model, modelcast.model(1))
    until(lambda: serves_first(pods, models), "all of them serve", 120)
    prometheus.use(rules(1 / 20, HeldLong=1 / 20_000, OwnerFlapping=1 / 10))

    def fired() -> set[str]:
        return prometheus.fired(f"{int(time.monotonic() - began) + 1}s")

    def wait_for(*names: str, seconds: float = 90) -> None:
        until(lambda: set(names) <= fired(), lambda: f"{sorted(set(names) - fired())} did not fire", seconds, every=0.5)

    # A candidate that answers nonsense, and users that meet it.
    modelcast("publish", "tried", modelcast.model(float("nan")), "--activation", "staged")
    modelcast("rollout", "start", "tried/2", "--steps", "50,100", "--yes", "--reason", "a trial")
    with asked(pods, "tried"):
        wait_for(*CUT)
    # A fleet whose file is gone when its region starts; bytes that change in the origin before they are fetched.
    scraped.discovered.unlink()
    scraped.restart("region-ap")
    for region in REGIONS:
        scraped.signal(f"region-{region}", signal.SIGSTOP)
    modelcast("publish", "damaged", modelcast.model(4.5))
    damage_origin(scraped, "damaged", 2, modelcast)
    for region in REGIONS:
        scraped.signal(f"region-{region}", signal.SIGCONT)
    # A model that does not load; the only version quarantined; noise; a pin that is left behind.
    bad = modelcast.folder / "bad"
    bad.mkdir()
    (bad / "model.txt").write_text("no model")
    modelcast("publish", "unloadable", bad)
    modelcast("quarantine", "alarmed/1", "--yes", "--reason", "biased")
    producer = make_producer(
        Settings(kafka=KafkaSettings(bootstrap_servers=scraped.stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]))
    )
    producer.produce(Topic.MODEL_ACKS, b"noise", key=b"fraud")
    assert producer.flush(20) == 0
    modelcast("pin", "pinned/1", "--region", "us", "--yes", "--reason", "an audit")
    # A pod that stands still while its models move on, and a region that does, with records to read; no Redis.
    scraped.signal("pod-us-0", signal.SIGSTOP)
    for model in ("stuck", "pinned", "fraud", "churn"):
        modelcast("publish", model, modelcast.model(5))
    wait_for(*AT_ONCE)
    scraped.signal("region-eu", signal.SIGSTOP)
    scraped.signal("redis", signal.SIGSTOP)
    for model in ("stuck", "fraud"):
        modelcast("publish", model, modelcast.model(6))
    wait_for(*SILENCE)
    assert "ManyRegionsSilent" not in fired(), "one of three"
    until(lambda: "active" in scraped.alertmanager.states().get("RegionSilent", ()), "somebody is told which", 60)
    with with_the_bucket_of(scraped, "ap"):
        wait_for(*TAKEN)
    with reading_as(scraped, "ap"):
        wait_for(*DEAF)
        assert prometheus.query('ALERTS{alertname="ProbeLost",region="ap"}')
    with filling(modelcast.folder):
        wait_for(*FILLING)
    wait_for(*LONGER, seconds=300)
    for command in prometheus.commands():
        assert typed(modelcast, command) in {0, 1, 6}, command  # 1, 6: doctor has found what is wrong
    empty = {what: expr for what, expr in queries(model="fraud", region="us").items() if not prometheus.query(expr)}
    assert {what: expr for what, expr in empty.items() if not any(name in expr for name in OF_EVENTS)} == {}
    # What regions report of the next version, no tracker reads: it can't tell whose registry that is.
    scraped.signal("redis", signal.SIGCONT)
    scraped.signal("tracker", signal.SIGSTOP)
    modelcast("publish", "churn", modelcast.model(6.5))
    with unreadable_id(scraped):
        scraped.daemon("tracker").restart()
        wait_for(*UNREAD)
    # Kafka stands still, and something is published all the same; then nobody is left to tell.
    scraped.signal("kafka", signal.SIGSTOP)
    modelcast("publish", "churn", modelcast.model(7), code=7, MODELCAST_KAFKA__TIMEOUT_SECONDS="5")
    wait_for(*WITHOUT_KAFKA, seconds=180)
    until(
        lambda: scraped.alertmanager.states().get("RegionSilent") == {"suppressed"},
        lambda: f"one message for many silent regions: {scraped.alertmanager.states()}",
        60,
    )
    assert scraped.alertmanager.states()["ManyRegionsSilent"] == {"active"}
    scraped.daemon("tracker").child.kill()
    scraped.daemon("dashboard").child.kill()
    wait_for(*WITHOUT_DAEMONS)
