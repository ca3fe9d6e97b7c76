"""Copies for a version that answers nobody: bounded, one at a time, compared."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.traffic.answers import Given, V2Request
from modelcast.consumers.pod.traffic.shadow import COPIES_BYTES_MAX, COPIES_MAX, Copy, Shadow
from modelcast.consumers.pod.worker.frames import ALL_JSON
from tests.consumers.pod.traffic.test_comparing import answer
from tests.consumers.pod.traffic.test_division import ONE, TWO, Pod
from tests.consumers.pod.traffic.traffic_tables import table
from tests.support.waiting import until_async

ANSWER = Given(200, answer(1.0))


class Shown:
    """Answers copies once ``gate`` is set; knows how many were asked at once."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = self.at_once = self.most_at_once = 0
        self.gives = Given(200, answer(1.0, version="2"))

    async def given(
        self, serving: Serving, asked: V2Request, seconds_max: float, *, look: bool, counted: bool = True
    ) -> Given:
        assert (serving.order.version, seconds_max, counted) == (2, 60.0, False)
        self.asked, self.at_once = self.asked + 1, self.at_once + 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return self.gives


@pytest_asyncio.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    pod = await Pod(tmp_path).loaded()
    await pod.division.apply(table(ONE, TWO, 0, shadow=10_000))
    yield pod
    await pod.close()


def differing(pod: Pod) -> int:
    return pod.division.read("m").versions[0].shadow_differ


def copy(pod: Pod, body: bytes = b"{}") -> Copy:
    traffic = pod.division.active["m"]
    serving = pod.repository.supervisor.slots["m"].serving
    assert serving is not None
    arm = traffic.wants_copy(serving)
    assert arm is not None
    return Copy(traffic, arm, V2Request("", body, ALL_JSON), ANSWER)


async def test_copies_wait_in_a_bounded_line_and_those_beyond_are_dropped(pod: Pod) -> None:
    shown = Shown()
    shadow = Shadow(pod.repository.supervisor, shown, 60.0)
    shadow.take(copy(pod))
    await until_async(lambda: shown.asked == 1, "the first is under way")
    for _ in range(COPIES_MAX + 5):
        shadow.take(copy(pod))
    assert pod.division.read("m").shadow_dropped == {2: 5}
    shown.gate.set()
    await until_async(lambda: shown.asked == COPIES_MAX + 1, "the rest is sent")
    await until_async(lambda: pod.division.read("m").versions[0].shadow_agree == COPIES_MAX + 1, "and compared")
    assert shown.most_at_once == 1
    shadow.take(copy(pod, b"x" * COPIES_BYTES_MAX))
    assert pod.division.read("m").shadow_dropped == {2: 6}


async def test_an_answer_that_differs_or_fails_is_counted_as_such(pod: Pod) -> None:
    shown = Shown()
    shown.gate.set()
    shadow = Shadow(pod.repository.supervisor, shown, 60.0)
    for number, gives in enumerate((Given(200, answer(1.5)), Given(500), Given(504, error="none in time")), 1):
        shown.gives = gives
        shadow.take(copy(pod))
        await until_async(lambda n=number: differing(pod) == n, "counted")  # type: ignore[misc]
    counts = pod.division.read("m").versions[0]
    assert (counts.version, counts.shadow_agree, counts.requests) == (2, 0, 0)


async def test_the_shadow_answers_no_one_and_gets_no_copy_of_its_own_answers(pod: Pod) -> None:
    traffic = pod.division.active["m"]
    candidate = pod.repository.supervisor.slots["m@candidate"].serving
    assert candidate is not None
    assert traffic.wants_copy(candidate) is None
    chosen = [traffic.choose({}, b"", ALL_JSON)[0] for _ in range(100)]
    assert all(serving is None or serving.order.version == 1 for serving in chosen)
