"""A generation that is over leaves one record; it says who was slowest and where, and it is small."""

import random
from dataclasses import replace

from modelcast.agents.history.decider.generations import Generations
from modelcast.schemas.errors import ContentError
from modelcast.schemas.history.generation import (
    GenerationRecord,
    decode_generation,
    encode_generation,
    rollout_record,
)
from modelcast.schemas.records import RegionState, StageSpan, VersionState
from tests.dashboard.makers import NOW, SECOND, fetching, row, state

SIZE_BYTES_MAX = 10 * 1024


def done(region: str, seconds: float = 5.0, **changes: object) -> RegionState:
    """A region that serves version 8 by generation 8."""
    ms = round(seconds * 1000)
    spans = (
        StageSpan("wait", 0, 100, 100),
        StageSpan("fetch", 100, ms - 500, ms - 600),
        StageSpan("origin", 150, ms - 600, ms - 750),
        StageSpan("load", ms - 500, ms, 500),
    )
    served = {"aspired_version": 8, "aspired_generation": 8, "served_version": 8, "reported_version": 8}
    return row(region, **{**served, "spans_since_us": NOW, "spans": spans, **changes})


class Scene:
    def __init__(self) -> None:
        self.records: list[GenerationRecord] = []
        self.generations = Generations()
        self.before: VersionState | None = None

    def say(self, *rows: RegionState) -> None:
        said = state("ranker", rows)
        self.records += self.generations.reported(said, self.before, NOW)
        self.before = said

    @property
    def told(self) -> list[tuple[int, str]]:
        return [(record.generation, record.how) for record in self.records]


def test_a_generation_is_over_once_every_counted_region_serves_it() -> None:
    scene = Scene()
    scene.say(row("eu"), row("us"), row("old", left_out="unexpected"))
    assert scene.told == [(7, "served")]
    scene.say(fetching("eu", 3), row("us"))
    scene.say(done("eu"), fetching("us", 3))
    assert scene.told == [(7, "served")]
    scene.say(done("eu"), done("us", 31.0))
    scene.say(done("eu"), done("us", 31.0))
    assert scene.told == [(7, "served"), (8, "served")]
    last = scene.records[-1]
    assert (last.version, last.slowest, last.slowest_stage, last.last_ms) == (8, "us", "fetch: origin", 31_000)


def test_one_that_a_newer_one_overtakes_is_told_as_far_as_it_came() -> None:
    scene = Scene()
    scene.say(fetching("eu", 3), done("us"))
    scene.say(fetching("eu", 3, aspired_generation=9), done("us"))
    assert scene.told == [(8, "superseded")]
    assert [(r.region, r.served_version) for r in scene.records[0].regions] == [("eu", 7), ("us", 8)]


def test_a_tracker_that_starts_later_does_not_tell_of_what_was_over_long_ago() -> None:
    scene = Scene()
    scene.before = replace(state("ranker", [row("eu")]), consistent_since_us=NOW - 7200 * SECOND)
    scene.say(row("eu"))
    assert scene.told == []


def test_a_tracker_that_starts_as_a_generation_ends_tells_of_it() -> None:
    scene = Scene()
    scene.before = state("ranker", [fetching("eu", 3)])
    scene.say(done("eu"))
    assert scene.told == [(8, "served")]


def test_a_record_reads_as_it_was_written() -> None:
    rows = [done("eu"), fetching("us", 3, spans=(StageSpan("fetch", 5),), error="no route")]
    record = rollout_record(state("ranker", rows), "superseded", NOW)
    assert decode_generation(encode_generation(record), "here") == record


def test_what_is_no_record_is_refused() -> None:
    for body in (b"", b"x", encode_generation(rollout_record(state("ranker", []), "served", 1))[:-9]):
        try:
            decode_generation(body, "here")
        except ContentError as error:
            assert error.subject == "here"
        else:
            raise AssertionError(body)


def test_two_hundred_regions_of_ten_stages_take_ten_kibibytes_at_most() -> None:
    rng = random.Random(1)
    names = ("wait", "fetch", "manifest", "plan", "lease", "origin", "rebuild", "verify", "stage", "load")
    rows = []
    for number in range(200):
        at, spans = 0, []
        for name in names:
            took = round(rng.lognormvariate(6, 1.2))
            spans.append(StageSpan(name, at, at + took, took))
            at += took
        moved = 1_100_000 + rng.randint(0, 900)
        rows.append(done(f"region-{number:03d}", spans=tuple(spans), bytes_moved=moved, spans_since_us=NOW + at))
    size_bytes = len(encode_generation(rollout_record(state("ranker", rows), "served", NOW)))
    assert size_bytes <= SIZE_BYTES_MAX, size_bytes
