"""Heartbeats: when they are sent, what they tell, and what is noticed by them."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelcast.agents.region.reporting.heartbeats import SLEPT_SECONDS, UNKNOWN_SECONDS, HeartbeatSender
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import Topic
from tests.support.virtual_time import in_virtual_time

EVERY = 5.0
NOW_US = 1_700_000_000_000_000


class Now(Executor):
    """Runs what it is given in the very moment."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answer = Future[Any]()
        try:
            answer.set_result(call(*args, **kwargs))
        except OSError as error:
            answer.set_exception(error)
        return answer


@dataclass
class Scene:
    """One worker's heartbeats, and the world as this test has it. It is the worker, an outbox and a disk."""

    registry_id: str = "r"
    arrives: bool = True
    damaged: bool = False
    sent: list[tuple[str, RegionHeartbeat]] = field(default_factory=list)
    models_owned: int = 3
    rollouts: str = "1"
    wakes: int = 0
    confirmed: int = 0

    def woke(self) -> None:
        self.wakes += 1

    def heartbeat_confirmed(self) -> None:
        self.confirmed += 1

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None], headers: Mapping[str, bytes]
    ) -> None:
        assert topic is Topic.REGION_HEARTBEATS
        self.sent.append((key, decode_as(RegionHeartbeat, value)))
        asyncio.get_running_loop().call_soon(on_delivery, self.arrives)

    def used_bytes(self) -> int:
        if self.damaged:
            raise OSError("input/output error")
        return 7

    def disk_free_bytes(self) -> int:
        if self.damaged:
            raise OSError("no such folder")
        return 11

    def begin(self) -> HeartbeatSender:
        beats = HeartbeatSender(self, "eu", "w", self, EVERY, disk=self, threads=Now(), wall_clock_us=lambda: NOW_US)
        self.task = asyncio.get_running_loop().create_task(beats.run())
        return beats


@in_virtual_time
async def test_a_worker_beats_at_once_and_then_at_its_pace() -> None:
    scene = Scene()
    scene.begin()
    await asyncio.sleep(3 * EVERY + 1)
    assert [beat.sequence for _, beat in scene.sent] == [1, 2, 3, 4]
    assert scene.confirmed == 4
    key, beat = scene.sent[0]
    assert key == "eu/w"
    assert (beat.registry_id, beat.region, beat.worker, beat.models_owned) == ("r", "eu", "w", 3)
    assert (beat.started_at_us, beat.sent_at_us) == (NOW_US, NOW_US)
    assert (beat.disk_free_bytes, beat.cache_used_bytes, beat.draining) == (11, 7, False)
    assert set(beat.software) >= {"python", "modelcast"}


@in_virtual_time
async def test_nothing_is_sent_before_there_is_a_registry_and_then_soon() -> None:
    scene = Scene(registry_id="")
    scene.begin()
    await asyncio.sleep(3 * EVERY)
    assert not scene.sent
    scene.registry_id = "r"
    await asyncio.sleep(UNKNOWN_SECONDS)
    assert len(scene.sent) == 1


@in_virtual_time
async def test_a_beat_that_does_not_arrive_is_not_heard() -> None:
    scene = Scene(arrives=False)
    scene.begin()
    await asyncio.sleep(EVERY + 1)
    assert len(scene.sent) == 2
    assert scene.confirmed == 0


@in_virtual_time
async def test_a_disk_that_cannot_be_measured_keeps_no_beat_back() -> None:
    scene = Scene(damaged=True)
    scene.begin()
    await asyncio.sleep(1)
    assert [(beat.disk_free_bytes, beat.cache_used_bytes) for _, beat in scene.sent] == [(0, 0)]


@pytest.mark.parametrize(("late_seconds", "woken"), [(SLEPT_SECONDS - 0.1, 0), (SLEPT_SECONDS + 0.1, 1)])
def test_a_process_that_slept_is_told_so(late_seconds: float, woken: int) -> None:
    @in_virtual_time
    async def run() -> None:
        scene = Scene()
        beats = scene.begin()
        await asyncio.sleep(1)
        beats.beat_at -= late_seconds
        await asyncio.sleep(EVERY)
        assert len(scene.sent) == 2
        assert scene.wakes == woken

    run()


@in_virtual_time
async def test_the_last_beat_says_that_the_worker_leaves() -> None:
    scene = Scene()
    beats = scene.begin()
    await asyncio.sleep(1)
    beats.beat(draining=True)
    assert [beat.draining for _, beat in scene.sent] == [False, True]
