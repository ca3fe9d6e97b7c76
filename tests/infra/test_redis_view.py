"""The live view on a real Redis: fences, ages, refills, and what happens without it."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import redis

from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.redis_view import Batch, NotRenewed, RedisMirror, RedisView, Renewal, Write
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import RedisUnavailable
from modelcast.schemas.records import ModelAck, PodReport, RegionHeartbeat, VersionState
from modelcast.schemas.states import PodState, State
from modelcast.schemas.unchanged import StatesUnchanged, UnchangedState

pytestmark = pytest.mark.integration


def settings_for(url: str, timeout_seconds: float = 2.0) -> Settings:
    return Settings(redis={"url": url, "timeout_seconds": timeout_seconds})  # type: ignore[arg-type]


@pytest.fixture
def registry_id() -> str:
    return uuid.uuid4().hex


def state(registry_id: str, model: str = "fraud", head: int = 1) -> VersionState:
    return VersionState(registry_id, model, head, None, None, 0, None, 0.0, 0, 0, head)


def write_state(mirror: RedisMirror, value: VersionState, fence: int, **more: int) -> Write:
    return Write(mirror.keys.model(value.model), {"v": encode(value)}, fence, **more)  # type: ignore[arg-type]


def with_mirror(url: str, registry_id: str, use: Callable[[RedisMirror], Awaitable[None]]) -> None:
    async def run() -> None:
        mirror = RedisMirror(settings_for(url), registry_id)
        try:
            await use(mirror)
        finally:
            await mirror.close()

    asyncio.run(run())


def test_what_was_written_is_read_with_its_age(redis_url: str, registry_id: str) -> None:
    async def write(mirror: RedisMirror) -> None:
        names = {mirror.keys.models: frozenset({"fraud", "spam"})}
        fraud = write_state(mirror, state(registry_id), 1)
        spam = write_state(mirror, state(registry_id, "spam"), 1, age_us=90_000_000)
        assert await mirror.write(Batch((fraud, spam), names)) == 0

    with_mirror(redis_url, registry_id, write)
    with RedisView(settings_for(redis_url)) as view:
        fraud, spam = view.models()
        assert (fraud.value, spam.value) == (state(registry_id), state(registry_id, "spam"))
        assert 0 <= fraud.age_seconds < 30
        assert 90 <= spam.age_seconds < 120
        assert view.model("fraud") is not None
        assert view.model("unknown") is None


def test_a_lower_fence_is_refused_inside_redis(redis_url: str, registry_id: str) -> None:
    async def write(mirror: RedisMirror) -> None:
        assert await mirror.write(Batch((write_state(mirror, state(registry_id, head=2), 8),))) == 0
        assert await mirror.write(Batch((write_state(mirror, state(registry_id, head=1), 7),))) == 1
        assert await mirror.write(Batch((write_state(mirror, state(registry_id, head=3), 8),))) == 0

    with_mirror(redis_url, registry_id, write)
    with RedisView(settings_for(redis_url), registry_id) as view:
        seen = view.model("fraud")
        assert seen is not None
        assert seen.value.head_generation == 3


def test_each_fence_is_higher_than_the_last_also_after_redis_lost_its_data(redis_url: str, registry_id: str) -> None:
    async def take(mirror: RedisMirror) -> None:
        first = await mirror.take_fence()
        second = await mirror.take_fence()
        redis.Redis.from_url(redis_url).delete(mirror.keys.fence)
        third = await mirror.take_fence()
        assert first < second < third

    with_mirror(redis_url, registry_id, take)


def test_pods_are_read_in_full_over_all_pages_and_old_pages_vanish(redis_url: str, registry_id: str) -> None:
    def page(number: int, pages: int, *names: str) -> bytes:
        pods = tuple(PodReport(n, PodState.SERVING) for n in names)
        return encode(
            ModelAck(registry_id, "fraud", "eu", "w", 1, 1, number, pages, 1, None, "", State.SERVING, 1, pods=pods)
        )

    async def write(mirror: RedisMirror) -> None:
        key = mirror.keys.pods("fraud", "eu")
        both = {"p0": page(0, 2, "a", "b"), "p1": page(1, 2, "c")}
        await mirror.write(Batch((Write(key, both, 1, whole=True),)))
        await check(["a", "b", "c"])
        await mirror.write(Batch((Write(key, {"p0": page(0, 1, "d")}, 1, whole=True),)))
        await check(["d"])

    async def check(expected: list[str]) -> None:
        with RedisView(settings_for(redis_url), registry_id) as view:
            seen = view.pods("fraud", "eu")
            assert seen is not None
            assert [p.pod for p in seen.value] == expected
            assert view.pods("fraud", "us") is None

    with_mirror(redis_url, registry_id, write)


def test_heartbeats_are_as_old_as_what_was_heard(redis_url: str, registry_id: str) -> None:
    beat = RegionHeartbeat(registry_id, "eu", "w1", 1, 1, 1)

    async def write(mirror: RedisMirror) -> None:
        key = mirror.keys.heartbeat("eu/w1")
        names = {mirror.keys.heartbeats: frozenset({"eu/w1"})}
        await mirror.write(Batch((Write(key, {"v": encode(beat)}, 5, age_us=20_000_000),), names))

    with_mirror(redis_url, registry_id, write)
    with RedisView(settings_for(redis_url), registry_id) as view:
        (seen,) = view.heartbeats()
        assert seen.value == beat
        assert 20 <= seen.age_seconds < 50


def test_an_empty_redis_is_an_empty_view(registry_id: str, redis_url: str) -> None:
    with RedisView(settings_for(redis_url), registry_id) as view:
        assert view.models() == []
        assert view.heartbeats() == []
        assert view.model("fraud") is None


def test_an_absent_redis_is_known_within_the_bound(registry_id: str) -> None:
    settings = settings_for(f"redis://127.0.0.1:{free_ports(1)[0]}/0", timeout_seconds=1.0)
    began = time.monotonic()
    with RedisView(settings, registry_id) as view, pytest.raises(RedisUnavailable):
        view.models()

    async def write() -> None:
        mirror = RedisMirror(settings, registry_id)
        with pytest.raises(RedisUnavailable):
            await mirror.take_fence()
        with pytest.raises(RedisUnavailable):
            await mirror.write(Batch((write_state(mirror, state(registry_id), 1),)))
        await mirror.close()

    asyncio.run(write())
    assert time.monotonic() - began < 10


def test_a_server_without_scripts_gets_plain_writes(tmp_path_factory: pytest.TempPathFactory, registry_id: str) -> None:
    server = RedisServer._imitation(tmp_path_factory.mktemp("fakeredis"), free_ports(1)[0])
    try:

        async def write(mirror: RedisMirror) -> None:
            fence = await mirror.take_fence()
            assert await mirror.write(Batch((write_state(mirror, state(registry_id), fence),))) == 0

        with_mirror(server.url, registry_id, write)
        with RedisView(settings_for(server.url)) as view:
            assert view.model("fraud") is not None
    finally:
        server.stop()


def test_a_state_that_has_not_changed_is_renewed_if_it_is_there(redis_url: str, registry_id: str) -> None:
    said = replace(state(registry_id), updated_at_us=1_000_000, as_of_us=1_000_000)
    row = UnchangedState("fraud", 1_000_000, 31_000_000, 0)
    told = encode(StatesUnchanged(registry_id, 0, 31_000_000, 0, (row,)))

    async def write(mirror: RedisMirror) -> None:
        key = mirror.keys.model("fraud")
        fields = {"v": encode(said), "u": b"tag"}
        await mirror.write(
            Batch((Write(key, fields, 5, age_us=60_000_000),), {mirror.keys.models: frozenset({"fraud"})})
        )
        assert await mirror.renew([Renewal(key, b"another", told, 5)]) == NotRenewed(missing=frozenset({key}))
        assert await mirror.renew([Renewal(key, b"tag", told, 4)]) == NotRenewed(refused=frozenset({key}))
        check(1_000_000, 60.0)
        assert await mirror.renew([Renewal(key, b"tag", told, 5)]) == NotRenewed()
        check(31_000_000, 0.0)
        lost = mirror.keys.model("spam")
        assert await mirror.renew([Renewal(lost, b"tag", told, 5)]) == NotRenewed(missing=frozenset({lost}))
        assert not redis.Redis.from_url(redis_url).exists(lost)

    def check(updated_at_us: int, age_seconds: float) -> None:
        with RedisView(settings_for(redis_url), registry_id) as view:
            seen = view.model("fraud")
        assert seen is not None
        assert (seen.value.updated_at_us, seen.said_us) == (updated_at_us, 1_000_000)
        assert age_seconds <= seen.age_seconds < age_seconds + 30

    with_mirror(redis_url, registry_id, write)
