"""A region that will not come back, and a person who says so, with the real command line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.infra.redis_view import RedisView
from modelcast.schemas.topics import Topic
from tests.agents.tracker.makers import update
from tests.agents.tracker.reported import everywhere, serving
from tests.agents.tracker.rig import Rig
from tests.support.processes.command_line import CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.integration
MODEL = "gone-region"


def regions_of(rig: Rig) -> set[str]:
    said = rig.said(MODEL)
    return {row.region for row in said.regions} if said else set()


def command_line(rig: Rig, folder: Path, *regions: str) -> CommandLine:
    env = {
        **rig.s3.env,
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": rig.bootstrap_servers,
        "MODELCAST_REDIS__URL": rig.redis_url,
        "MODELCAST_REGIONS": json.dumps({region: {} for region in regions}),
        "MODELCAST_TRACKER__SILENT_SECONDS": "4",
    }
    return CommandLine(env, folder)


@pytest.mark.soak
def test_a_region_that_a_person_has_forgotten_is_neither_waited_for_nor_shown_until_it_is_heard_again(
    rig: Rig, tmp_path: Path
) -> None:
    rig.alive = ("eu", "us")
    rig.claim(update(1, 1, model=MODEL, registry_id=rig.registry_id))
    tracker = rig.start(MODELCAST_TRACKER__SILENT_SECONDS="4")
    rig.report(everywhere(rig, MODEL))
    tracker.wait_ready()
    rig.beat("ap")
    until(lambda: regions_of(rig) == {"ap", "eu", "us"}, "all three are told of", 60)
    modelcast = command_line(rig, tmp_path, "eu", "us")
    there = modelcast("regions", "forget", "ap", "--dry-run", code=5, MODELCAST_TRACKER__SILENT_SECONDS="600")
    assert "stop its agents first" in there.err
    refused = command_line(rig, tmp_path, "ap", "eu")("regions", "forget", "ap", "--reason", "closed", code=5)
    assert "remove [regions.ap]" in refused.err
    assert "nothing is known" in modelcast("regions", "forget", "mars", "--reason", "closed", code=1).err

    def silent() -> bool:
        said = rig.said(MODEL)
        return said is not None and any(row.silent for row in said.regions) and said.consistent_version is None

    until(silent, "the silent region holds everything up", 60)
    assert "--reason" in modelcast("regions", "forget", "ap", code=2).err
    assert "would be forgotten: 1 model(s), 1 worker(s)" in modelcast("regions", "forget", "ap", "--dry-run").out
    assert regions_of(rig) == {"ap", "eu", "us"}
    done = modelcast("regions", "forget", "ap", "--reason", "the site was closed", "--yes")
    assert "ap: forgotten: 1 model(s), 1 worker(s)" in done.out

    def forgotten() -> bool:
        said = rig.said(MODEL)
        return said is not None and regions_of(rig) == {"eu", "us"} and said.consistent_version == 1

    until(forgotten, "those that are left are all there is", 60)
    assert "ap" not in modelcast("get", "regions").out
    rig.report(serving(rig, "ap", MODEL, 1, sequence=9))  # an old report that was late
    rig.report([replace(ack, epoch=1) for ack in serving(rig, "eu", MODEL, 1, sequence=5)])
    until(lambda: (said := rig.said(MODEL)) is not None and forgotten() and said.updated_at_us > 0, "it stays so")

    again = rig.start(MODELCAST_TRACKER__SILENT_SECONDS="4")
    assert tracker.terminate() == 0
    again.wait_ready()
    until(lambda: rig.said(MODEL) is not None and forgotten(), "another tracker knows it from the topic", 60)
    with RedisView(rig.settings, rig.registry_id) as view:
        assert {seen.value.region for seen in view.heartbeats()} == {"eu", "us"}
    rig.beat("ap")
    rig.report(serving(rig, "ap", MODEL, 1, sequence=10))
    until(lambda: regions_of(rig) == {"ap", "eu", "us"}, "it is back", 60)
    assert Topic.REGION_HEARTBEATS not in {letter.source_topic for letter in rig.letters() if b"ap" in letter.raw}
