"""What the live view tells of regions, in terms of links."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from modelcast.deltas.publish.planning.links import held_by, links_of
from modelcast.deltas.publish.planning.timing import RegionLink
from modelcast.deltas.publish.regions import KnownRegions
from modelcast.infra.redis_view import Batch, RedisMirror, Write
from modelcast.infra.settings import RedisSettings, Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.records import RegionHeartbeat
from tests.producers.planning.test_convergence import SERVING, state

BEAT = RegionHeartbeat("r", "eu", "w1", 1, 1, 1)


def test_a_region_is_as_fast_as_its_slowest_worker_that_measured() -> None:
    beats = [
        replace(BEAT, origin_bytes_per_second=5e6),
        replace(BEAT, worker="w2", origin_bytes_per_second=2e6),
        replace(BEAT, worker="w3", origin_bytes_per_second=0.0),
        replace(BEAT, region="us"),
    ]
    assert links_of(None, beats) == (RegionLink("eu", 2e6), RegionLink("us", 0.0))
    assert links_of(None, []) == ()


def test_a_region_holds_what_it_serves_and_what_it_has_staged() -> None:
    eu = replace(SERVING, served_version=3, staged_version=4)
    found = links_of(state(eu=eu, us=replace(SERVING, served_version=None, staged_version=None)), [])
    assert {link.region: link.held for link in found} == {"eu": frozenset({3, 4}), "us": frozenset()}


def test_the_slowest_regions_base_comes_first_then_what_most_hold() -> None:
    links = (
        RegionLink("ap", 1e6, frozenset({2, 1})),
        RegionLink("eu", 9e9, frozenset({5})),
        RegionLink("us", 0.0, frozenset({7})),
        RegionLink("sa", 0.0, frozenset({7})),
    )
    assert held_by(links) == (2, 5, 7, 1)
    assert held_by(()) == ()


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while() -> None:
    regions = KnownRegions(Settings(redis=RedisSettings.model_validate({"url": "redis://127.0.0.1:1/0"})))
    assert regions.links("fraud", "r") == ()
    assert regions._quiet_until > 0


@pytest.mark.integration
def test_links_are_read_from_the_live_view(redis_url: str) -> None:
    registry_id = uuid.uuid4().hex
    settings = Settings(redis=RedisSettings.model_validate({"url": redis_url, "timeout_seconds": 60}))
    told = replace(
        state(eu=replace(SERVING, served_version=3, staged_version=4)), registry_id=registry_id, model="fraud"
    )
    beat = replace(BEAT, registry_id=registry_id, origin_bytes_per_second=2e6)

    async def write() -> None:
        mirror = RedisMirror(settings, registry_id)
        keys = mirror.keys
        writes = (
            Write(keys.model("fraud"), {"v": encode(told)}, 1),
            Write(keys.heartbeat("eu/w1"), {"v": encode(beat)}, 1),
        )
        names = {keys.models: frozenset({"fraud"}), keys.heartbeats: frozenset({"eu/w1"})}
        await mirror.write(Batch(writes, names))
        await mirror.close()

    asyncio.run(write())
    assert KnownRegions(settings).links("fraud", registry_id) == (RegionLink("eu", 2e6, frozenset({3, 4})),)
    assert KnownRegions(settings).links("unknown", registry_id) == (RegionLink("eu", 2e6),)
