"""Snapshots on their way out: at once, together, again, and never lost."""

import asyncio
import time
from collections.abc import Callable

import pytest

from modelcast.agents.region.reporting import IN_FLIGHT_MAX, SnapshotReporter
from modelcast.agents.region.values import Fetched, Loaded, PodRead
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import Activation, ModelAck
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import Topic
from tests.agents.region.words import MODEL, Log, Region, digest, reading, serving


class Mail:
    """An outbox whose deliveries are the test's to decide."""

    def __init__(self) -> None:
        self.sent: list[ModelAck] = []
        self.open: list[Callable[[bool], None]] = []
        self.arrives: bool | None = True

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None]) -> None:
        self.sent.append(decode_as(ModelAck, value))
        if self.arrives is None:
            self.open.append(on_delivery)
        else:
            asyncio.get_running_loop().call_soon(on_delivery, self.arrives)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def reporter(mail: Mail, report_seconds: float = 60.0) -> SnapshotReporter:
    return SnapshotReporter(mail, "w", report_seconds)  # type: ignore[arg-type]


async def goes_out(mail: Mail, reports: SnapshotReporter, region: Region, words: int) -> None:
    """What changed is told, as the last of so many words."""
    reports.changed(MODEL, region.replica)
    await until(lambda: len(mail.sent) == words)


def on_the_way() -> Region:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    return region


async def test_the_first_change_goes_at_once_and_what_follows_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcast.agents.region.reporting.GAP_SECONDS", 0.5)  # longer than a busy machine's pauses
    mail = Mail()
    reports, region = reporter(mail), on_the_way()
    reports.changed(MODEL, region.replica)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [a.state for a in mail.sent] == [State.FETCHING]
    region.on(Fetched(digest(1), digest(1)))
    reports.changed(MODEL, region.replica)
    last = serving("a").replica
    reports.changed(MODEL, last)
    await until(lambda: len(mail.sent) == 2)
    assert mail.sent[1].state is State.SERVING
    assert mail.sent[0].sequence < mail.sent[1].sequence
    reports.forget(MODEL)


async def test_what_has_begun_waits_for_its_end_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = Mail()
    reports, log, region = reporter(mail), Log().publish(1), Region("a")
    region.all_read(None)
    region.on(log.folded)
    await goes_out(mail, reports, region, 1)
    monkeypatch.setattr("modelcast.agents.region.reporting.PASSING_SECONDS", 60.0)
    region.on(log.publish(2).folded)
    reports.changed(MODEL, region.replica)
    await asyncio.sleep(0.02)
    assert [a.version for a in mail.sent] == [1]
    region.on(Fetched(digest(2), digest(2)))
    await goes_out(mail, reports, region, 2)
    assert mail.sent[1].staged_version == 2
    monkeypatch.setattr("modelcast.agents.region.reporting.PASSING_SECONDS", 0.03)
    region.on(log.publish(3).folded)
    await goes_out(mail, reports, region, 3)
    assert (mail.sent[2].state, mail.sent[2].version) == (State.FETCHING, 3)
    reports.forget(MODEL)


async def test_what_is_fetched_ahead_of_what_is_served_is_told_when_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("GAP_SECONDS", 0.0), ("GAP_SECONDS_PER_POD", 0.0), ("PASSING_SECONDS", 600.0)):
        monkeypatch.setattr(f"modelcast.agents.region.reporting.{name}", seconds)
    mail, log = Mail(), Log().publish(1)
    reports, region = reporter(mail), serving("a", log=log)
    await goes_out(mail, reports, region, 1)
    region.on(log.publish(2, activation=Activation.STAGED).folded)
    reports.changed(MODEL, region.replica)  # without a gap, what does not wait has gone when this returns
    assert [a.staged_version for a in mail.sent] == [1]
    region.on(Fetched(digest(2), digest(2)))
    await goes_out(mail, reports, region, 2)
    assert (mail.sent[1].staged_version, mail.sent[1].staged_generation) == (2, 2)
    reports.forget(MODEL)


async def test_one_pod_of_several_waits_for_the_next_but_the_last_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcast.agents.region.reporting.GAP_SECONDS", 0.0)
    monkeypatch.setattr("modelcast.agents.region.reporting.PROGRESS_SECONDS", 60.0)
    mail, region, log = Mail(), Region("a", "b"), Log().publish(1)
    reports = reporter(mail)
    region.all_read(None)
    region.on(log.folded)
    region.save_all()
    region.fetched(1)
    await goes_out(mail, reports, region, 1)
    for pod in ("a", "b"):
        order = region.order()
        region.on(Loaded(pod, order))
        region.on(PodRead(reading(pod, 1)))
        reports.changed(MODEL, region.replica)
        await asyncio.sleep(0)
    await until(lambda: len(mail.sent) == 2)
    assert [p.state for p in mail.sent[1].pods] == [PodState.SERVING, PodState.SERVING]
    reports.forget(MODEL)


async def test_an_unchanged_snapshot_is_repeated() -> None:
    mail = Mail()
    reports = reporter(mail, report_seconds=0.05)
    reports.changed(MODEL, serving("a").replica)
    await until(lambda: len(mail.sent) >= 4)
    assert [a.sequence for a in mail.sent[:4]] == [1, 2, 3, 4]
    reports.forget(MODEL)
    count = len(mail.sent)
    await asyncio.sleep(0.15)
    assert len(mail.sent) == count


async def test_what_was_not_delivered_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcast.agents.region.reporting.RETRY_SECONDS", 0.01)
    mail = Mail()
    mail.arrives = False
    reports = reporter(mail)
    reports.changed(MODEL, serving("a").replica)
    await until(lambda: len(mail.sent) >= 3)
    mail.arrives = True
    await asyncio.sleep(0.1)
    count = len(mail.sent)
    await asyncio.sleep(0.1)
    assert len(mail.sent) == count
    reports.forget(MODEL)


async def test_while_kafka_is_away_only_few_snapshots_wait_and_then_the_newest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelcast.agents.region.reporting.PASSING_SECONDS", 0.0)
    mail = Mail()
    mail.arrives = None
    reports = reporter(mail)
    for _ in range(3 * IN_FLIGHT_MAX):
        reports.changed(MODEL, on_the_way().replica)
        await asyncio.sleep(0.006)
    assert len(mail.sent) == IN_FLIGHT_MAX
    reports.changed(MODEL, serving("a").replica)
    mail.arrives = True
    for delivered in mail.open:
        delivered(True)
    await until(lambda: mail.sent[-1].state is State.SERVING)
    reports.forget(MODEL)
