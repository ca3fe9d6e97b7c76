"""Answers to probes: at once, on the probe's partition; in a flood few, and the newest."""

import asyncio
from collections.abc import Callable, Mapping

from modelcast.agents.region.reporting.probe_answers import ANSWER_SECONDS, ProbeAnswers
from modelcast.schemas.codec import decode_as
from modelcast.schemas.probes import Probe, ProbeAnswer
from modelcast.schemas.topics import Topic, partition_of
from tests.support.virtual_time import in_virtual_time


class Outbox:
    def __init__(self) -> None:
        self.sent: list[tuple[str, ProbeAnswer]] = []

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None], headers: Mapping[str, bytes]
    ) -> None:
        assert topic is Topic.MODEL_ACKS
        assert not headers
        self.sent.append((key, decode_as(ProbeAnswer, value)))
        on_delivery(True)


def probe(number: int) -> Probe:
    return Probe("registry", f"probe-{number}", "tracker", number)


@in_virtual_time
async def test_a_probe_is_answered_at_once_where_it_came_from() -> None:
    outbox = Outbox()
    answers = ProbeAnswers(outbox, "eu", "eu-1")
    for partition in range(12):
        answers.take(probe(partition), 1000 + partition, partition)
        await asyncio.sleep(1)
        key, answer = outbox.sent[-1]
        assert partition_of(key) == partition
        assert answer == ProbeAnswer("registry", f"probe-{partition}", "eu", "eu-1", 1000 + partition)
    assert len(outbox.sent) == 12


@in_virtual_time
async def test_of_a_backlog_the_newest_is_answered_whatever_its_order() -> None:
    outbox = Outbox()
    answers = ProbeAnswers(outbox, "eu", "eu-1")
    for number in (*range(2000), 2999, *range(2000, 2990)):
        answers.take(probe(number), number, 3)
    await asyncio.sleep(10)
    assert [answer.probe_id for _, answer in outbox.sent] == ["probe-2999"]


@in_virtual_time
async def test_a_flood_is_answered_twice_a_second_at_most_and_the_last_one_is() -> None:
    outbox = Outbox()
    answers = ProbeAnswers(outbox, "eu", "eu-1")
    for number in range(1000):
        answers.take(probe(number), number, number % 12)
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    assert len(outbox.sent) <= 10 / ANSWER_SECONDS + 2
    assert outbox.sent[-1][1].probe_id == "probe-999"
