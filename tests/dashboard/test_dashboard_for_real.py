"""The dashboard over a real Kafka and a real Redis, as a process of its own."""

import hashlib
import json
import queue
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcast.dashboard.sources.kafka_follower import POLL_SECONDS, KafkaFollower
from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.layout import inherited_env
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.records import DeadLetter, VersionState
from modelcast.schemas.topics import Topic
from tests.dashboard.makers import fetching, now_state, refusing, row
from tests.support.processes.fork_server import COMMAND_LINE
from tests.support.processes.forked import start_forked
from tests.support.servers.shared_servers import shared
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


class Dashboard:
    """``modelcast run dashboard``."""

    def __init__(self, folder: Path, kafka: str, redis_url: str, **more: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://{LOOPBACK}:{port}"
        self.settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=5))
        env = {
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "MODELCAST_KAFKA__TIMEOUT_SECONDS": "5",
            "MODELCAST_REDIS__URL": redis_url,
            "MODELCAST_REDIS__TIMEOUT_SECONDS": "0.5",
            "MODELCAST_DASHBOARD__PORT": str(port),
            **more,
        }
        self.child = start_forked(
            shared("forks"),
            COMMAND_LINE,
            ["run", "dashboard"],
            name="dashboard",
            log=folder / "dashboard.log",
            env={**inherited_env(), **env},
            folder=folder,
        )
        self.log = folder / "dashboard.log"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
            return json.load(answer)

    def ready(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)

    def say(self, *states: VersionState) -> None:
        producer = make_producer(self.settings)
        for each in states:
            producer.produce(Topic.VERSION_STATE, encode(each), key=each.model)
        assert producer.flush(20) == 0

    def forget(self, model: str) -> None:
        producer = make_producer(self.settings)
        producer.produce(Topic.VERSION_STATE, None, key=model)
        assert producer.flush(20) == 0

    def statuses(self, model: str) -> dict[str, str]:
        return {r["region"]: r["status"] for r in self.get(f"/api/v1/models/{model}")["regions"]}


@pytest.fixture
def dashboard(tmp_path: Path, kafka: str, redis_url: str) -> Iterator[Dashboard]:
    create_topics(Settings(kafka=KafkaSettings(bootstrap_servers=kafka)))
    made = Dashboard(tmp_path, kafka, redis_url)
    until(made.ready, lambda: made.log.read_text())
    yield made
    made.child.stop()


def fresh_name() -> str:
    return f"dash-{uuid.uuid4().hex[:12]}"


def test_what_comes_is_handed_over_when_it_comes(kafka: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=5))
    create_topics(settings)
    batches: queue.Queue[NewsBatch] = queue.Queue()
    follower, producer, model, seconds = KafkaFollower(settings, batches.put), make_producer(settings), fresh_name(), []
    follower.start()
    try:
        while batches.get(timeout=60).reach is not Reach.LIVE:
            pass
        for _ in range(10):
            began = time.monotonic()
            producer.produce(Topic.VERSION_STATE, encode(now_state(model, [row("eu")])), key=model)
            producer.flush(20)
            while model not in {seen.model for seen in batches.get(timeout=60).states}:
                pass
            seconds.append(time.monotonic() - began)
    finally:
        follower.close(10)
    assert min(seconds) < 0.7 * POLL_SECONDS, seconds


def test_what_the_tracker_says_is_shown_within_a_moment(dashboard: Dashboard) -> None:
    model = fresh_name()
    dashboard.say(now_state(model, [row("eu"), fetching("us", 9)]))
    until(lambda: dashboard.statuses(model) == {"eu": "OK", "us": "LAG"}, "the model is shown")
    said = time.monotonic()
    dashboard.say(now_state(model, [row("eu"), refusing("us")]))
    until(lambda: dashboard.statuses(model) == {"eu": "OK", "us": "REFUSED"}, "the change is shown")
    assert time.monotonic() - said < 20
    assert dashboard.get("/api/v1/verdict")["fresh"]["kafka"] == "live"
    dashboard.forget(model)

    def gone() -> bool:
        try:
            dashboard.get(f"/api/v1/models/{model}")
        except urllib.error.HTTPError as error:
            return error.code == 404
        return False

    until(gone, "the model is gone")


@pytest.mark.soak
def test_a_record_that_can_not_be_read_hides_nothing_else(dashboard: Dashboard) -> None:
    model = fresh_name()
    producer = make_producer(dashboard.settings)
    producer.produce(Topic.VERSION_STATE, b"\xc3\x01rubbish", key=f"{model}-bad")
    assert producer.flush(20) == 0
    dashboard.say(now_state(model, [row("eu")]))
    until(lambda: dashboard.statuses(model) == {"eu": "OK"}, "the other model is shown")
    missing = dashboard.get("/api/v1/verdict")["fresh"]["missing"]
    assert any(f"{model}-bad" in line for line in missing)
    dashboard.forget(f"{model}-bad")
    dashboard.forget(model)


def test_sigterm_ends_it_at_once_also_with_a_stream_open(dashboard: Dashboard) -> None:
    with urllib.request.urlopen(f"{dashboard.url}/api/v1/events", timeout=10) as stream:
        assert stream.readline()
        began = time.monotonic()
        dashboard.child.stop()
        assert time.monotonic() - began < 8
        assert b"event: bye" in stream.read()
    assert dashboard.child.exit_code == 0


def test_a_port_that_is_taken_is_a_clear_error(dashboard: Dashboard, tmp_path: Path) -> None:
    port = dashboard.url.rsplit(":", 1)[1]
    env = {**inherited_env(), "MODELCAST_DASHBOARD__PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "modelcast.cli.main", "run", "dashboard"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"127.0.0.1:{port}: can't listen: Address already in use" in done.stderr
    assert "MODELCAST_DASHBOARD__HOST" in done.stderr


@pytest.mark.soak
def test_kafka_that_went_away_is_named_and_its_return_noticed(
    tmp_path: Path, kafka_of_its_own: KafkaServer, redis_url: str
) -> None:
    create_topics(Settings(kafka=KafkaSettings(bootstrap_servers=kafka_of_its_own.bootstrap_servers)))
    dashboard = Dashboard(tmp_path, kafka_of_its_own.bootstrap_servers, redis_url)
    try:
        until(dashboard.ready, lambda: dashboard.log.read_text())
        dashboard.say(now_state("fraud", [row("eu")]))
        until(lambda: dashboard.statuses("fraud") == {"eu": "OK"}, "the model is shown")
        kafka_of_its_own.child.kill()
        took = until(lambda: dashboard.get("/api/v1/verdict")["fresh"]["kafka"] == "away", "Kafka's absence is noticed")
        assert took < 30
        assert any("Kafka" in line for line in dashboard.get("/api/v1/verdict")["fresh"]["missing"])
        assert dashboard.statuses("fraud") == {"eu": "OK"}
        kafka_of_its_own.restart()
        until(lambda: dashboard.get("/api/v1/verdict")["fresh"]["kafka"] == "live", "Kafka is read again")
        dashboard.say(now_state("fraud", [refusing("eu")]))
        until(lambda: dashboard.statuses("fraud") == {"eu": "REFUSED"}, "news are shown again")
    finally:
        dashboard.child.stop()


@pytest.mark.soak
def test_a_dead_letter_is_shown_and_sent_back_once(tmp_path: Path, kafka: str, redis_url: str) -> None:
    create_topics(Settings(kafka=KafkaSettings(bootstrap_servers=kafka)))
    token, reason = "t" * 40, fresh_name()
    allowed = {"anna": "sha256:" + hashlib.sha256(token.encode()).hexdigest()}
    dashboard = Dashboard(
        tmp_path, kafka, redis_url,
        MODELCAST_DASHBOARD__ACTIONS__ENABLED="true", MODELCAST_DASHBOARD__ACTIONS__TOKENS=json.dumps(allowed),
    )  # fmt: skip

    def replay(**body: Any) -> tuple[int, dict[str, Any]]:
        url = f"{dashboard.url}/api/v1/dead-letters/{letter['offset']}/replay"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def group() -> dict[str, Any] | None:
        found = dashboard.get("/api/v1/dead-letters")["groups"]
        return next((each for each in found if each["reason"] == reason), None)

    try:
        until(dashboard.ready, lambda: dashboard.log.read_text())
        raw = b"no record of ours"
        written = DeadLetter(
            Topic.REGION_HEARTBEATS, 0, 7, reason, "<b>it can not be read</b>", raw, len(raw), sha256_of(raw), b"eu/w",
            "tracker w", 1,
        )  # fmt: skip
        producer = make_producer(dashboard.settings)
        producer.produce(Topic.DEAD_LETTERS, encode(written))
        assert producer.flush(20) == 0
        until(lambda: group() is not None, "the letter is shown")
        (letter,) = (group() or {})["letters"]
        assert (letter["detail"], letter["size_bytes"], letter["replays"]) == (written.detail, len(raw), [])
        assert replay(expected_replays=0, dry_run=True)[1]["sent"] is False
        status, done = replay(expected_replays=0, reason="mended")
        assert (status, done["sent"], done["topic"], done["requested_by"]) == (200, True, "region-heartbeats", "anna")
        until(lambda: (group() or {})["letters"][0]["replays"], "who sent it back stands with it")
        (told,) = (group() or {})["letters"][0]["replays"]
        assert (told["by"], told["reason"]) == ("anna", "mended")
        status, fault = replay(expected_replays=0)
        assert (status, fault["error"]) == (409, "it was sent back 1 times, not 0")
    finally:
        dashboard.child.stop()
