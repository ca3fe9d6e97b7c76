"""A fetch over a slow link: everybody can see how far it has come, while it is on its way and afterwards."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.layout import CONFIG_FILE
from modelcast.infra.local.stack import LocalStack
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State
from tests.integration.test_losses import words_on
from tests.support.processes.command_line import CommandLine
from tests.support.servers.topic_reader import TopicReader
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SIZE_BYTES = 24 * 1024 * 1024
SLOWLY_BYTES_PER_SECOND = 200_000  # two minutes: nobody arrives before it was seen on its way


class Limit:
    """A region's bandwidth, changed as operators do: in the settings file, then SIGHUP."""

    def __init__(self, stack: LocalStack, region: str) -> None:
        self._file = stack.directory / CONFIG_FILE
        self._before = self._file.read_text()
        self._agent = stack.services[f"region-{region}"]
        self._region = region

    def set(self, bytes_per_second: int) -> None:
        said = f"[regions.{self._region}]\nbandwidth_bytes_per_second = {bytes_per_second}\n"
        self._file.write_text(self._before + said)
        self._agent.child.signal(signal.SIGHUP)

    def lift(self) -> None:
        self._file.write_text(self._before)
        self._agent.child.signal(signal.SIGHUP)


@pytest.fixture
def eu_limit(stack: LocalStack) -> Iterator[Limit]:
    limit = Limit(stack, "eu")
    yield limit
    limit.lift()


def large_model(modelcast: CommandLine) -> Path:
    folder = modelcast.model(1)
    (folder / "vocabulary.bin").write_bytes(os.urandom(SIZE_BYTES))
    return folder


def rows(said: list[VersionState], region: str) -> list[RegionState]:
    return [row for state in said for row in state.regions if row.region == region]


@pytest.mark.soak
def test_a_slow_fetch_is_followed_from_its_plan_to_its_end(
    modelcast: CommandLine, topics: TopicReader, eu_limit: Limit
) -> None:
    model, folder = "followed", large_model(modelcast)
    whole = sum(path.stat().st_size for path in folder.iterdir())
    eu_limit.set(SLOWLY_BYTES_PER_SECOND)
    modelcast("publish", model, folder)

    def progress() -> list[RegionState]:
        seen = rows(words_on(topics, model), "eu")
        return [row for row in seen if row.state is State.FETCHING and row.bytes_moved]

    until(lambda: len({row.bytes_moved for row in progress()}) >= 3, "it says how far it has come", 90)
    told = progress()
    moved = [row.bytes_moved for row in told]
    assert moved == sorted(moved)
    (planned,) = {row.bytes_planned for row in told}
    assert SIZE_BYTES <= planned <= whole  # the small file may be there since another test
    assert all(0 < row.bytes_moved < planned for row in told)
    assert all("whole" in row.way and row.bytes_per_second > 0 for row in told)

    shown = modelcast("get", model).out
    assert "FETCHING" in shown
    assert "of 24 MiB" in shown
    assert "/s" in shown
    modelcast("wait", f"{model}/1", "--level", "one", "--timeout", "90s")  # the other region waits for nobody

    eu_limit.lift()
    modelcast("wait", f"{model}/1", "--timeout", "90s")
    until(lambda: rows(words_on(topics, model), "eu")[-1].state is State.SERVING, "the tracker says so", 60)
    last = rows(words_on(topics, model), "eu")[-1]
    assert (last.bytes_moved, last.bytes_planned, last.bytes_total) == (planned, planned, whole)
    (eu,) = (r for r in modelcast("get", model, "-o", "json").json["state"]["regions"] if r["region"] == "eu")
    assert {"bytes_moved": planned, "bytes_saved": whole - planned, "bytes_planned": planned}.items() <= eu.items()
    assert "whole" in eu["way"]

    modelcast(
        "publish", "unlimited", large_model(modelcast)
    )  # what a limit held that was lifted says nothing of a link
    modelcast("wait", "unlimited/1", "--timeout", "90s")
    until(lambda: rows(words_on(topics, "unlimited"), "eu")[-1].bytes_per_second > 0, "its speed is told", 60)
