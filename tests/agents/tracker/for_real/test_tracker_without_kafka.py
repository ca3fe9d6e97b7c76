"""A tracker that is started before its Kafka waits for it, and says so."""

from pathlib import Path

import pytest

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.schemas.records import Entry
from tests.agents.tracker.makers import pages, pod, update
from tests.agents.tracker.rig import REGIONS, Rig
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.soak
def test_a_tracker_started_while_kafka_is_away_works_once_it_is_there(
    s3: S3ForTests, redis_url: str, tmp_path: Path
) -> None:
    kafka = KafkaServer.start(tmp_path / "kafka-one")
    rig = Rig(kafka.bootstrap_servers, s3, redis_url, tmp_path)
    try:
        kafka.stop()
        model = "patience"
        entries: list[Entry] = [update(1, 1, model=model, registry_id=rig.registry_id)]
        rig.claim(*entries, announce=False)  # by somebody who could tell nobody either
        tracker = rig.start(MODELCAST_KAFKA__TIMEOUT_SECONDS="3")
        until(lambda: "waiting for kafka" in tracker.log.read_text(), "it says what it waits for", 120)
        until(lambda: tracker.get("/livez")[0] == 200, "it lives", 60)
        assert tracker.get("/readyz")[0] == 503
        kafka = KafkaServer.start(tmp_path / "kafka-two", port=kafka.port)  # empty: not even a topic
        tracker.wait_ready(180)
        for region in REGIONS:
            rig.report(pages(region, [pod(f"{region}-1", 1, 1)], model=model, registry_id=rig.registry_id))
        until(lambda: (s := rig.said(model)) and s.consistent_version == 1, "it knows who serves what", 120)
        until(lambda: rig.announced(model) == [1], "it announced what nobody had", 120)
        assert tracker.terminate() == 0
    finally:
        rig.stop_all()
        kafka.stop()


@pytest.mark.soak
def test_a_tracker_can_be_ended_while_it_still_waits_for_kafka(s3: S3ForTests, redis_url: str, tmp_path: Path) -> None:
    kafka = KafkaServer.start(tmp_path / "kafka")
    rig = Rig(kafka.bootstrap_servers, s3, redis_url, tmp_path)
    kafka.stop()
    try:
        tracker = rig.start(MODELCAST_KAFKA__TIMEOUT_SECONDS="3")
        until(lambda: "waiting for kafka" in tracker.log.read_text(), "it waits", 120)
        assert tracker.terminate() == 0
    finally:
        rig.stop_all()
