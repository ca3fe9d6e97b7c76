"""Snapshots on their way out: at once, together, again, and never lost."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import Fetched, Loaded, PodRead
from modelcast.agents.region.reporting.snapshot_reporter import (
    GAP_SECONDS,
    GAP_SECONDS_PER_POD,
    IN_FLIGHT_MAX,
    PASSING_SECONDS,
    PROGRESS_SECONDS,
    RETRY_SECONDS,
    SnapshotReporter,
)
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import Activation, ModelAck
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import Topic
from tests.agents.region.scene import SOON, Scene
from tests.agents.region.words import MODEL, Log, Region, digest, reading, serving
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import until_async


class Mail:
    """An outbox whose deliveries are the test's to decide."""

    def __init__(self) -> None:
        self.sent: list[ModelAck] = []
        self.open: list[Callable[[bool], None]] = []
        self.arrives: bool | None = True

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None], headers: dict[str, bytes]
    ) -> None:
        self.sent.append(decode_as(ModelAck, value))
        assert AckHeaders.read(headers) == AckHeaders.of(self.sent[-1])
        if self.arrives is None:
            self.open.append(on_delivery)
        else:
            asyncio.get_running_loop().call_soon(on_delivery, self.arrives)


def reporter(mail: Mail, report_seconds: float = 600.0) -> SnapshotReporter:
    return SnapshotReporter(mail, "w", report_seconds)  # type: ignore[arg-type]


def tell(mail: Mail, reports: SnapshotReporter, region: Region) -> list[ModelAck]:
    """What a change sends at once."""
    before = len(mail.sent)
    reports.changed(MODEL, region.replica)
    return mail.sent[before:]


async def after(seconds: float, mail: Mail) -> list[ModelAck]:
    """What is sent by itself in so many seconds from now, as the loop's clock has it."""
    before = len(mail.sent)
    await asyncio.sleep(seconds)
    return mail.sent[before:]


def on_the_way() -> Region:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    return region


GAP = GAP_SECONDS + 3 * GAP_SECONDS_PER_POD
"""More than the gap after a word on two pods."""


@in_virtual_time
async def test_the_first_change_goes_at_once_and_what_follows_goes_together() -> None:
    mail = Mail()
    reports, region = reporter(mail), on_the_way()
    assert [a.state for a in tell(mail, reports, region)] == [State.FETCHING]
    region.on(Fetched(digest(1)))
    assert tell(mail, reports, region) == []
    assert tell(mail, reports, serving("a")) == []
    (together,) = await after(GAP, mail)
    assert together.state is State.SERVING
    assert mail.sent[0].sequence < together.sequence
    reports.forget(MODEL)


@in_virtual_time
async def test_what_has_begun_waits_for_its_end() -> None:
    mail = Mail()
    reports, log, region = reporter(mail), Log().publish(1), Region("a")
    region.all_read(None)
    region.on(log.folded)
    assert len(tell(mail, reports, region)) == 1
    await after(GAP, mail)
    region.on(log.publish(2).folded)
    assert tell(mail, reports, region) == []
    assert await after(0.9 * PASSING_SECONDS, mail) == []
    region.on(Fetched(digest(2)))
    assert [a.staged_version for a in tell(mail, reports, region)] == [2]
    assert await after(2 * PASSING_SECONDS, mail) == []
    reports.forget(MODEL)


@in_virtual_time
async def test_what_has_begun_does_not_wait_for_long() -> None:
    mail = Mail()
    reports, log, region = reporter(mail), Log().publish(1), Region("a")
    region.all_read(None)
    region.on(log.folded)
    assert len(tell(mail, reports, region)) == 1
    await after(GAP, mail)
    region.on(log.publish(2).folded)
    assert tell(mail, reports, region) == []
    assert [(a.state, a.version) for a in await after(1.1 * PASSING_SECONDS, mail)] == [(State.FETCHING, 2)]
    reports.forget(MODEL)


@in_virtual_time
async def test_what_is_fetched_ahead_of_what_is_served_is_told_when_it_is_here() -> None:
    mail, log = Mail(), Log().publish(1)
    reports, region = reporter(mail), serving("a", log=log)
    assert len(tell(mail, reports, region)) == 1
    region.on(log.publish(2, activation=Activation.STAGED).folded)
    assert tell(mail, reports, region) == []
    assert await after(0.9 * PASSING_SECONDS, mail) == []
    region.on(Fetched(digest(2)))
    assert [(a.staged_version, a.staged_generation) for a in tell(mail, reports, region)] == [(2, 2)]
    reports.forget(MODEL)


@in_virtual_time
async def test_one_pod_of_several_waits_for_the_next_but_the_last_goes_at_once() -> None:
    mail, region, log = Mail(), Region("a", "b"), Log().publish(1)
    reports = reporter(mail)
    region.all_read(None)
    region.on(log.folded)
    region.save_all()
    region.fetched(1)
    assert len(tell(mail, reports, region)) == 1
    told = []
    for pod in ("a", "b"):
        await after(0.9 * PROGRESS_SECONDS, mail)
        order = region.order()
        region.on(Loaded(pod, order))
        region.on(PodRead(reading(pod, 1)))
        told.append(tell(mail, reports, region))
    assert told[0] == []
    (last,) = told[1]
    assert [p.state for p in last.pods] == [PodState.SERVING, PodState.SERVING]
    assert await after(GAP, mail) == []
    reports.forget(MODEL)


@in_virtual_time
async def test_one_pod_does_not_wait_long_for_the_next() -> None:
    mail, region, log = Mail(), Region("a", "b"), Log().publish(1)
    reports = reporter(mail)
    region.all_read(None)
    region.on(log.folded)
    region.save_all()
    region.fetched(1)
    assert len(tell(mail, reports, region)) == 1
    await after(GAP, mail)
    order = region.order()
    region.on(Loaded("a", order))
    region.on(PodRead(reading("a", 1)))
    assert tell(mail, reports, region) == []
    (word,) = await after(1.1 * PROGRESS_SECONDS, mail)
    assert sum(p.state is PodState.SERVING for p in word.pods) == 1
    reports.forget(MODEL)


@in_virtual_time
async def test_an_unchanged_snapshot_is_repeated() -> None:
    mail = Mail()
    reports = reporter(mail, report_seconds=10.0)
    assert len(tell(mail, reports, serving("a"))) == 1
    assert 4 <= len(await after(40.5, mail)) <= 5  # up to a fifth earlier each time
    assert [a.sequence for a in mail.sent] == list(range(1, len(mail.sent) + 1))
    reports.forget(MODEL)
    assert await after(100.0, mail) == []


@in_virtual_time
async def test_what_is_repeated_says_when_the_pods_were_read_last() -> None:
    mail, region = Mail(), serving("a")
    reports = reporter(mail, report_seconds=600.0)
    tell(mail, reports, region)
    for _ in range(150):  # twelve quiet minutes: each read-back says what was known
        await asyncio.sleep(5.0)
        region.now = asyncio.get_running_loop().time()
        region.on(PodRead(reading("a", 1)))
        reports.unchanged(MODEL, region.replica)
    repeated = mail.sent[1:]
    assert repeated
    for ack in repeated:
        assert ack.reported_at_us - ack.pods[0].read_at_us < 10_000_000
    reports.forget(MODEL)


async def test_pods_that_answer_as_before_are_reported_as_read_back_again() -> None:
    scene, mail = Scene(Log().publish(1)), Mail()
    reports = reporter(mail, report_seconds=0.5)
    ports = replace(scene.world, reporter=reports)
    scene.reconciler = Reconciler(MODEL, ports, scene.state, scene.book, SOON, scene.replaced.append)
    try:
        await scene.start()
        await until_async(lambda: mail.sent[-1].state is State.SERVING, "it serves")
        serves_at_us = time.time_ns() // 1000
        newest = lambda: min(pod.read_at_us for pod in mail.sent[-1].pods)  # noqa: E731
        await until_async(lambda: newest() > serves_at_us + 1_000_000, "both pods are reported as read since")
    finally:
        await scene.end()
        reports.forget(MODEL)


@in_virtual_time
async def test_what_was_not_delivered_is_said_again() -> None:
    mail = Mail()
    mail.arrives = False
    reports = reporter(mail)
    assert len(tell(mail, reports, serving("a"))) == 1
    assert len(await after(2.5 * RETRY_SECONDS, mail)) == 2
    mail.arrives = True
    assert len(await after(RETRY_SECONDS, mail)) == 1
    assert await after(100 * RETRY_SECONDS, mail) == []
    reports.forget(MODEL)


@in_virtual_time
async def test_while_kafka_is_away_only_few_snapshots_wait_and_then_the_newest_goes() -> None:
    mail = Mail()
    mail.arrives = None
    reports = reporter(mail)
    for _ in range(3 * IN_FLIGHT_MAX):
        tell(mail, reports, on_the_way())
        await after(1.1 * PASSING_SECONDS, mail)
    assert len(mail.sent) == IN_FLIGHT_MAX
    assert tell(mail, reports, serving("a")) == []
    mail.arrives = True
    for delivered in mail.open:
        delivered(True)
    await after(GAP, mail)
    assert [a.state for a in mail.sent[IN_FLIGHT_MAX:]] == [State.SERVING]
    reports.forget(MODEL)
