"""Whatever stands still or dies, the dashboard says so within seconds, and no pair is OK that nothing has read back.

Tracker, Redis, Kafka and a region are stopped (SIGSTOP) and killed in turn; ``MODELCAST_HONESTY_ROUNDS`` asks for more
rounds. What the page shows is what the API and the stream tell; the page itself: ``browser/test_cut_off.py``.
"""

import os
import signal
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from tests.agents.tracker.makers import SECOND, update
from tests.agents.tracker.reported import everywhere
from tests.agents.tracker.rig import Rig
from tests.dashboard.test_dashboard_for_real import Dashboard as RealDashboard
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(400)]
ROUNDS = int(os.environ.get("MODELCAST_HONESTY_ROUNDS", "2"))
TOLD_SECONDS = 5.0
UNHEARD_SECONDS = 3.0
"""What the page calls too long without a tracker's beat; see ``store.js``."""
SILENT_SECONDS = 15.0
BUSY_SECONDS = 3.0
"""What a machine with few cores and many processes may add."""
MODEL = "honest"


@pytest.fixture
def redis_of_its_own(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer.start(tmp_path / "redis")
    yield server
    server.child.stop()


class Stage:
    """A tracker, its servers and a dashboard; regions are played."""

    def __init__(self, kafka: KafkaServer, redis: RedisServer, s3: S3ForTests, folder: Path) -> None:
        self.kafka, self.redis = kafka, redis
        self.rig = Rig(kafka.bootstrap_servers, s3, redis.url, folder)
        self.rig.claim(update(1, 1, model=MODEL, registry_id=self.rig.registry_id))
        self.tracker = self.rig.start()
        self.dashboard = RealDashboard(folder, kafka.bootstrap_servers, redis.url)
        self.read_at = 0.0
        self.worst: dict[str, float] = {}

    def report(self, sequence: int, seconds_ago: float = 0.0) -> None:
        """Every region has read its pods back so long ago, and says so."""
        self.read_at = time.time() - seconds_ago
        read_at_us = int(self.read_at * SECOND)
        for ack in everywhere(self.rig, MODEL, sequence=sequence):
            pods = tuple(replace(pod, read_at_us=read_at_us) for pod in ack.pods)
            self.rig.report([replace(ack, pods=pods, reported_at_us=time.time_ns() // 1000)])

    def fresh(self) -> dict[str, Any]:
        return dict(self.dashboard.get("/api/v1/verdict")["fresh"])

    def statuses(self) -> dict[str, str]:
        """The pairs' statuses; an OK that no read-back covers ends the test."""
        rows = self.dashboard.get(f"/api/v1/models/{MODEL}")["regions"]
        found = {row["region"]: row["status"] for row in rows}
        if "OK" in found.values():
            assert time.time() - self.read_at <= 600 + BUSY_SECONDS, found
        return found

    def well(self) -> bool:
        fresh = self.fresh()
        heard = fresh["tracker_seconds"] is not None and fresh["tracker_seconds"] < UNHEARD_SECONDS
        return heard and (fresh["kafka"], fresh["redis"]) == ("live", "live")

    def tells(self, what: str, within: float, told: Callable[[], bool]) -> None:
        """It is told in time; how long that took is kept."""
        began = time.monotonic()

        def seen() -> bool:
            self.statuses()
            return told()

        until(seen, lambda: f"{what} is told; {self.fresh()}", within + 20)
        took = time.monotonic() - began
        self.worst[what] = max(took, self.worst.get(what, 0.0))
        assert took <= within + BUSY_SECONDS, f"{what}: {took:.1f} s"

    def unheard(self) -> bool:
        """No tracker is heard, by Redis."""
        seconds = self.fresh()["tracker_seconds"]
        return seconds is not None and seconds > UNHEARD_SECONDS


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def stage(
    kafka_of_its_own: KafkaServer, redis_of_its_own: RedisServer, s3: S3ForTests, tmp_path: Path
) -> Iterator[Stage]:
    made = Stage(kafka_of_its_own, redis_of_its_own, s3, tmp_path)
    yield made
    made.dashboard.child.stop()
    made.rig.stop_all()
    print("seconds until it was told:", {what: round(took, 1) for what, took in made.worst.items()})


def shown(stage: Stage) -> bool:
    try:
        return set(stage.statuses().values()) == {"OK"} and len(stage.statuses()) == 3
    except (urllib.error.URLError, ConnectionError):
        return False


def test_what_stands_still_or_dies_is_told_within_seconds(stage: Stage) -> None:
    stage.tracker.wait_ready(60)
    stage.report(1)
    until(lambda: shown(stage), lambda: stage.dashboard.log.read_text(), 60)
    for turn in range(ROUNDS):
        until(stage.well, "all is well", 60)
        with stopped(stage.tracker.pid):
            stage.tells("a tracker that stands still", TOLD_SECONDS, stage.unheard)
        until(stage.well, "all is well", 60)
        with stopped(stage.redis.child.pid):
            stage.tells("a Redis that stands still", TOLD_SECONDS, lambda: stage.fresh()["redis"] == "away")
        until(stage.well, "all is well", 60)
        stage.redis.restart()  # it has lost everything
        until(stage.well, "the emptied Redis is filled again", 60)
        stage.tracker.kill()
        stage.tells("a tracker that was killed", TOLD_SECONDS, stage.unheard)
        stage.tracker = stage.rig.start()
        stage.tracker.wait_ready(60)
        until(stage.well, "all is well", 60)
        stage.report(2 + turn)
    stage.rig.alive = ("ap", "eu")
    stage.tells("a silent region", SILENT_SECONDS + TOLD_SECONDS, lambda: stage.statuses()["us"] == "SILENT")
    until(lambda: stage.dashboard.get("/api/v1/verdict")["verdict"]["label"] == "SILENT", "the verdict says so")
    assert stage.dashboard.get("/api/v1/models")["models"][0]["serving"] == 2
    with stopped(stage.kafka.child.pid):
        stage.tells("a Kafka that stands still", TOLD_SECONDS, lambda: stage.fresh()["kafka"] == "away")
    until(lambda: stage.fresh()["kafka"] == "live", "Kafka is read again", 60)
    stage.kafka.child.kill()
    stage.tells("a Kafka that was killed", TOLD_SECONDS, lambda: stage.fresh()["kafka"] == "away")
    assert set(stage.statuses()) == {"ap", "eu", "us"}


def test_ok_ends_ten_minutes_after_the_last_read_back_although_no_tracker_is_left_to_say_so(stage: Stage) -> None:
    stage.tracker.wait_ready(60)
    stage.report(1, seconds_ago=570)
    until(lambda: shown(stage), lambda: stage.dashboard.log.read_text(), 25)
    stage.tracker.kill()
    until(lambda: set(stage.statuses().values()) == {"SILENT"}, "the pairs are OK no more", 60)
    assert time.time() - stage.read_at >= 600
