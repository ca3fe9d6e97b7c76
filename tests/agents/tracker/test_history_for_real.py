"""The history on real servers: killed trackers record and archive it, and it is read without Kafka and Redis."""

import time
from collections.abc import Callable

import pytest

from modelcast.infra.history import KafkaRecent, ModelHistory, PairAt
from modelcast.infra.registry.reader import RegistryReader
from modelcast.schemas.history.timeline import Certainty
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic, partition_of
from tests.agents.tracker.makers import pages, pod, update
from tests.agents.tracker.rig import REGIONS, Rig
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak]

MODEL, SECOND = "kept", 1_000_000


class Fleet:
    """Regions that report what they serve."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.sequence = rig, 0

    def serve(self, version: int, *regions: str) -> None:
        self.sequence += 1
        for region in regions:
            self.rig.report(
                pages(
                    region,
                    [pod(f"{region}-{n}", version, version) for n in range(2)],
                    sequence=self.sequence,
                    generation=version,
                    version=version,
                    model=MODEL,
                    registry_id=self.rig.registry_id,
                )
            )


def now_us() -> int:
    time.sleep(0.05)
    return time.time_ns() // 1000


def says(rig: Rig, what: Callable[[VersionState], bool], told: str) -> None:
    until(lambda: (said := rig.said(MODEL)) is not None and what(said), told)


def served(rig: Rig) -> dict[str, int | None]:
    said = rig.said(MODEL)
    return {row.region: row.served_version for row in said.regions} if said else {}


def test_what_was_served_is_known_after_kills_and_without_kafka_and_redis(rig: Rig) -> None:
    fleet, everywhere = Fleet(rig), dict.fromkeys(REGIONS, 1)
    rig.claim(update(1, 1, model=MODEL, registry_id=rig.registry_id))
    first = rig.start()
    first.wait_ready()
    fleet.serve(1, *REGIONS)
    until(lambda: served(rig) == everywhere, "version 1 everywhere")
    partition = partition_of(MODEL)
    until(lambda: len(rig.records(Topic.VERSION_CHANGES, partition)) >= len(REGIONS), "changes on Kafka")
    one_us = now_us()
    fleet.serve(1, *REGIONS)
    says(rig, lambda said: said.updated_at_us > one_us + SECOND, "said again")
    first.kill()
    second = rig.start()
    second.wait_ready()
    rig.claim(update(2, 2, model=MODEL, registry_id=rig.registry_id))
    fleet.serve(2, "eu")
    until(lambda: served(rig).get("eu") == 2, "version 2 in eu")
    half_us = now_us()
    fleet.serve(2, "eu")
    says(rig, lambda said: said.updated_at_us > half_us + SECOND, "said again")
    second.kill()
    third = rig.start()
    third.wait_ready()
    fleet.serve(2, *REGIONS)
    until(lambda: served(rig) == dict.fromkeys(REGIONS, 2), "version 2 everywhere")
    two_us = now_us()
    says(rig, lambda said: said.updated_at_us > two_us + SECOND, "said again")
    recent = ModelHistory(RegistryReader(rig.store), MODEL, recent=KafkaRecent(rig.settings))
    live = {pair.region: pair.served for pair in recent.at(one_us)}
    assert {s.certainty for s in live.values()} == {Certainty.CONFIRMED}, "what is not archived yet lies on Kafka"
    assert third.terminate() == 0
    after_us = now_us()

    history = ModelHistory(RegistryReader(rig.store), MODEL)  # the store is all that is left

    def at(at_us: int) -> dict[str, PairAt]:
        return {pair.region: pair for pair in history.at(at_us)}

    then = at(one_us)
    assert {r: p.served.change and p.served.change.version for r, p in then.items()} == everywhere
    assert {p.served.certainty for p in then.values()} == {Certainty.CONFIRMED}
    assert {p.aspired.version for p in then.values()} == {1}
    then = at(half_us)
    assert then["eu"].served.change is not None
    assert then["eu"].served.change.version == 2
    assert {r: p.served.change and p.served.change.version for r, p in then.items() if r != "eu"} == {
        "ap": 1,
        "us": 1,
    }
    then = at(two_us)
    assert {p.served.change and p.served.change.version for p in then.values()} == {2}
    assert {p.served.certainty for p in at(after_us).values()} == {Certainty.UNKNOWN}
    recorded = history.recorded(one_us, after_us)
    pairs = [(c.region, c.status, c.version) for c in recorded.changes if c.status == "OK"]
    assert sorted(pairs) == sorted((r, "OK", v) for r in REGIONS for v in (1, 2)), recorded.changes
    for generation in (1, 2):
        record = history.generation(generation)
        assert record is not None, generation
        assert (record.how, [each.region for each in record.regions]) == ("served", list(REGIONS))
