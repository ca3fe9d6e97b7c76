"""Where states are read, and how much of them."""

import time
import uuid
from collections.abc import Callable

import pytest

from modelcast.cli.views.state_source import Sighting, StateSource
from modelcast.cli.views.states import _heard
from modelcast.cli.views.tables import view_of
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.redis_view import Batch, RedisMirror, RedisView, Write
from modelcast.infra.settings import KafkaSettings, RedisSettings, Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import UNCHANGED_KEYS, StatesUnchanged, UnchangedState
from tests.dashboard.makers import NOW, SECOND, row, state
from tests.infra.test_redis_view import settings_for, with_mirror


@pytest.fixture
def written(redis_url: str) -> Settings:
    """Two models in a view of their own."""

    async def write(mirror: RedisMirror) -> None:
        states = [state(name, [row("eu")], registry_id=registry_id) for name in ("fraud", "ranker")]
        writes = tuple(Write(mirror.keys.model(each.model), {"v": encode(each)}, 1) for each in states)
        await mirror.write(Batch(writes, {mirror.keys.models: frozenset({"fraud", "ranker"})}))

    registry_id = uuid.uuid4().hex
    with_mirror(redis_url, registry_id, write)
    return settings_for(redis_url)


@pytest.mark.integration
def test_of_one_model_no_other_is_read(written: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read: Callable[..., object] = RedisView._fetch
    monkeypatch.setattr(RedisView, "_fetch", lambda view, keys: asked.extend(keys) or read(view, keys))
    found = StateSource(written).model("ranker")
    assert found is not None
    assert (found.state.model, found.source) == ("ranker", "redis")
    assert [key.rpartition(":")[2] for key in asked] == ["ranker"]


def test_without_heartbeats_a_region_is_heard_as_the_tracker_said_and_not_never() -> None:
    said = state("fraud", [row("eu"), row("us", silent=True)])
    pairs = {name: {"fraud": pair} for name, pair in view_of(said).pairs.items()}
    assert _heard(None, pairs["eu"], {"fraud": NOW + 3 * SECOND}, 15.0) == (5.0, False)
    assert _heard(None, pairs["us"], {"fraud": NOW}, 15.0) == (2.0, True)
    assert _heard(16.0, pairs["eu"], {"fraud": NOW}, 15.0) == (16.0, True)
    assert _heard(None, {}, {}, 15.0) == (None, True)


def test_what_was_not_read_back_in_time_is_not_told_as_served() -> None:
    said = state("fraud", [row("eu", read_at_us=NOW - 590 * SECOND), row("us")])
    now, later = (Sighting.of(said, seconds, "redis").as_known().state for seconds in (9.0, 11.0))
    assert ([r.served_version for r in now.regions], now.consistent_version) == ([7, 7], 7)
    assert ([r.served_version for r in later.regions], later.consistent_version) == ([None, 7], None)


@pytest.mark.integration
def test_a_view_that_no_tracker_renews_serves_nothing_after_ten_minutes(redis_url: str) -> None:
    registry_id = uuid.uuid4().hex

    async def write(mirror: RedisMirror) -> None:
        it = state("fraud", [row("eu")], registry_id=registry_id)
        each = Write(mirror.keys.model("fraud"), {"v": encode(it)}, 1, age_us=601 * SECOND)
        await mirror.write(Batch((each,), {mirror.keys.models: frozenset({"fraud"})}))

    with_mirror(redis_url, registry_id, write)
    source = StateSource(settings_for(redis_url))
    for found in (source.model("fraud"), *source.models()):
        assert found is not None
        assert (found.state.consistent_version, found.state.regions[0].served_version) == (None, None)


@pytest.mark.integration
def test_without_redis_a_state_is_as_old_as_what_was_told_of_it_last(kafka: str) -> None:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=10),
        redis=RedisSettings(url="redis://127.0.0.1:1/0", timeout_seconds=0.2),  # type: ignore[arg-type]
    )
    create_topics(settings)
    model, said_us = f"model-{uuid.uuid4().hex[:12]}", time.time_ns() // 1000 - 3600 * SECOND
    said = state(model, [row("eu")], updated_at_us=said_us, as_of_us=said_us)
    told_us, partition = said_us + 3600 * SECOND, partition_of(model)
    it = UnchangedState(model, said_us, told_us, 0)
    told = StatesUnchanged(said.registry_id, partition, told_us, 0, (it,))
    with KafkaAnnouncer(settings) as announcer:
        announcer.announce(Topic.VERSION_STATE, model, encode(said), timeout_seconds=10)
        announcer.announce(Topic.VERSION_STATE, UNCHANGED_KEYS[partition], encode(told), timeout_seconds=10)
    found = StateSource(settings).model(model)
    assert found is not None
    assert (found.source, found.state.updated_at_us, found.behind_seconds) == ("kafka", told_us, 0.0)
    assert found.age_seconds < 60
