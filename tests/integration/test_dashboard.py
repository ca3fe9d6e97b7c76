"""The dashboard of a whole stack: what people do to a model, and what happens to a region, is there to be seen."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from modelcast.cli.top.feeds import DirectFeed
from modelcast.cli.top.shown import ModelShown
from modelcast.infra.local.layout import dashboard_url
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import Topic
from tests.support.processes.command_line import CommandLine
from tests.support.servers.topic_reader import TopicReader
from tests.support.waiting import until, until_async

pytestmark = pytest.mark.integration


def read(stack: LocalStack, path: str) -> Any:
    with urllib.request.urlopen(f"{dashboard_url(stack.env)}api/v1/{path}", timeout=10) as answer:
        return json.load(answer)


def statuses(stack: LocalStack, model: str) -> dict[str, str]:
    return {each["region"]: each["status"] for each in read(stack, f"models/{model}")["regions"]}


@contextmanager
def standing_still(stack: LocalStack, name: str) -> Iterator[None]:
    child = stack.services[name].child
    child.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.signal(signal.SIGCONT)


def test_who_serves_what_who_wanted_it_and_which_pods_are_shown(modelcast: CommandLine, stack: LocalStack) -> None:
    modelcast("publish", "shown", modelcast.model(1), "--label", "git=4f2c1a", "--wait")
    until(lambda: statuses(stack, "shown") == {"eu": "OK", "us": "OK"}, "both regions are shown as serving")
    answer = read(stack, "models/shown")
    assert (answer["model"]["serving"], answer["model"]["counted"], answer["model"]["consistent_version"]) == (2, 2, 1)
    assert [(e["kind"], e["version"], e["why"]) for e in answer["entries"]] == [("PUBLISH", 1, "git=4f2c1a")]
    pods = read(stack, "models/shown/regions/eu/pods")
    assert [(p["version"], p["state"]) for p in pods["pods"]] == [(1, "SERVING")]

    modelcast("pin", "shown/1", "--region", "us", "--yes", "--reason", "the drill")
    until(lambda: statuses(stack, "shown") == {"eu": "OK", "us": "HELD"}, "the pin is shown")
    newest = read(stack, "models/shown")["entries"][0]
    assert (newest["kind"], newest["why"], newest["regions"]) == ("PIN", "the drill", ["us"])
    assert any(e["model"] == "shown" and e["kind"] == "PIN" for e in read(stack, "entries")["entries"])


@pytest.mark.soak
def test_a_region_that_stands_still_counts_in_no_n_of_n(modelcast: CommandLine, stack: LocalStack) -> None:
    modelcast("publish", "quiet", modelcast.model(2), "--wait")
    until(lambda: statuses(stack, "quiet") == {"eu": "OK", "us": "OK"}, "both regions are shown as serving")
    with standing_still(stack, "region-us"):
        until(lambda: statuses(stack, "quiet") == {"eu": "OK", "us": "SILENT"}, "the silence is shown")
        model = read(stack, "models/quiet")
        assert (model["model"]["serving"], model["model"]["counted"]) == (1, 2)
        assert model["model"]["consistent_version"] is None
        (silent,) = [each for each in model["regions"] if each["region"] == "us"]
        assert (silent["reported_version"], silent["pods_serving"]) == (1, 0)
        until(lambda: "region:us" in {p["id"] for p in read(stack, "problems")["problems"]}, "it is told as a problem")
    until(lambda: statuses(stack, "quiet") == {"eu": "OK", "us": "OK"}, "the region is heard again")


def test_a_probe_goes_to_every_region_and_back_and_is_no_model(
    modelcast: CommandLine, stack: LocalStack, topics: TopicReader
) -> None:
    modelcast("publish", "beside", modelcast.model(3), "--wait")

    def newest() -> dict[str, Any]:
        return read(stack, "kafka/probe")["probe"] or {}

    def whole() -> bool:
        probe = newest()
        hops = ("log_seconds", "kafka_seconds", "region_seconds_p95", "tracker_seconds", "page_seconds")
        return probe.get("answered") == probe.get("asked") == 2 and all(probe[hop] is not None for hop in hops)

    until(whole, lambda: f"a probe passes every hop: {newest()}")
    probe = newest()
    assert {row["region"] for row in probe["regions"]} == {"eu", "us"}
    assert probe["region_seconds_p95"] < 30
    until(lambda: newest()["finished_today"] > probe["finished_today"], "the next ones go out")
    assert not [each["model"] for each in read(stack, "models")["models"] if "probe" in each["model"]]
    assert not [each for each in modelcast("get", "models", "-o", "json").json if "probe" in each["state"]["model"]]
    letters = [decode_as(DeadLetter, raw) for raw in topics.values(Topic.DEAD_LETTERS, 0)]
    assert [letter for letter in letters if letter.key.startswith(b"probe/")] == []


async def test_top_reads_the_same_straight_from_kafka_and_redis(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    modelcast("publish", "topped", modelcast.model(4), "--wait")
    feed, told = DirectFeed(settings), []
    task = asyncio.create_task(feed.run(lambda now, away: told.append((now, away))))
    try:

        async def model() -> ModelShown | None:
            return await feed.model("topped")

        async with asyncio.timeout(60):
            while (found := await model()) is None or found.model.serving < 2:
                await asyncio.sleep(0.1)
        assert {(row.region, row.status.value) for row in found.regions} == {("eu", "OK"), ("us", "OK")}
        await until_async(lambda: told[-1][0].fresh.kafka == "live")
        assert "topped" in told[-1][0].grid.models
        assert told[-1][1] == ""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
