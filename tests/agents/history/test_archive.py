"""The archive answers as the whole run of changes would, whenever its writers were killed; and it is small."""

import random
from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from modelcast.agents.history.archive import SEALED_AFTER_US, PartitionArchive
from modelcast.agents.history.merging import merge_days
from modelcast.infra.history import HistoryReader, RecentChanges
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.history.segments import ChangesSegment, decode_segment, encode_segment
from modelcast.schemas.history.timeline import Certainty, Recorded, served_at
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from tests.agents.history.worlds import (
    BEGIN_US,
    MODELS,
    REGIONS,
    REGISTRY,
    SECOND,
    ArchivingWorld,
    Died,
    MortalStore,
    digest,
    some_changes,
)

QUESTIONS = 1_000
READS_MAX = 3


def archived(rng: random.Random, count: int, risk: float) -> tuple[MortalStore, list[VersionChange]]:
    """A store into which that many changes were archived, among deaths; and the changes."""
    store = MortalStore(rng=rng, risk=risk)
    world = ArchivingWorld(store, rng)
    changes = some_changes(rng, count)
    for change in changes:
        world.log.append(change)
        if rng.random() < 0.7:
            world.step(change.changed_at_us + rng.randint(0, 5) * SECOND)
    end_us = changes[-1].changed_at_us
    for hour in range(1, 40):
        world.step(end_us + hour * SEALED_AFTER_US)
    store.risk = 0.0
    return store, changes


def oracle(changes: list[VersionChange], model: str, region: str, at_us: int) -> tuple[str, int | None, int | None]:
    """(certainty, version, version after) by looking at every change, one after the other."""
    own = [c for c in changes if c.model == model and c.region == region]
    quiet = [c for c in changes if c.model == model and c.region == ALL_OF_THEM]
    runs = [
        (key, list(same)) for key, same in groupby(own, key=lambda c: (c.status == "SILENT", c.version))
    ]  # what was served, and whether that was known
    now = next((n for n in reversed(range(len(runs))) if runs[n][1][0].changed_at_us <= at_us), None)
    if any(c.confirmed_at_us < at_us < c.changed_at_us for c in quiet):
        return "UNKNOWN", runs[now][0][1] if now is not None else None, None
    if now is None:
        return "UNKNOWN", None, runs[0][0][1] if runs else None
    (silent, version), _ = runs[now]
    following = runs[now + 1] if now + 1 < len(runs) else None
    if silent:
        return "UNKNOWN", version, following[0][1] if following else None
    if following is None:
        return "CONFIRMED", version, None
    (then_silent, then_version), then = following
    if at_us <= max(runs[now][1][0].changed_at_us, then[0].confirmed_at_us):
        return "CONFIRMED", version, None
    return ("UNKNOWN", version, None) if then_silent else ("BETWEEN", version, then_version)


@pytest.mark.parametrize("seed", range(10))
def test_it_answers_as_all_changes_do_whenever_archivers_died(seed: int) -> None:
    rng = random.Random(seed)
    store, changes = archived(rng, 400, risk=0.04)
    assert store.deaths > 10
    reader, end_us = HistoryReader(store), changes[-1].changed_at_us
    for _ in range(QUESTIONS // 10):
        model, region = rng.choice(MODELS), rng.choice(REGIONS)
        at_us = rng.randint(BEGIN_US - 3600 * SECOND, end_us) // 1000 * 1000
        found = served_at(reader.recorded(model, at_us, at_us), region, at_us)
        version = found.change.version if found.change else None
        told = (found.certainty.value, version, found.after.version if found.after else None)
        expected = oracle(changes, model, region, at_us)
        if expected[0] == "UNKNOWN":  # how it ended is told where it is at hand
            told, expected = told[:2], expected[:2]
        assert told == expected, f"seed {seed}: {model} in {region} at {at_us}"


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_and_nothing_doubled(seed: int) -> None:
    store, changes = archived(random.Random(100 + seed), 300, risk=0.05)
    segments = [
        decode_segment(found.body, info.key)
        for info in store.list(keys.changes_prefix(3))
        if info.key.endswith(".avro") and (found := store.get(info.key, size_max=2**25))
    ]
    kept = [change for segment in segments for change in segment.changes]
    expected: list[VersionChange] = []
    last: dict[tuple[str, str], VersionChange] = {}
    for change in changes:
        before = last.get((change.model, change.region))
        same = before is not None and (
            before == change
            or (
                change.region != ALL_OF_THEM
                and (before.status, before.version, before.generation)
                == (change.status, change.version, change.generation)
            )
        )
        if not same:
            expected.append(change)
        last[change.model, change.region] = change
    assert kept == expected
    for one, other in pairwise(segments):
        assert one.end_offset == other.first_offset or not other.changes
        assert {(c.model, c.region): c for c in other.checkpoint} == one.ends_with()


@pytest.mark.parametrize("seed", range(4))
def test_days_are_merged_and_the_answers_stay_whenever_the_merger_died(seed: int) -> None:
    rng = random.Random(200 + seed)
    store, changes = archived(rng, 300, risk=0.0)
    before, end_us = keys_of(store), changes[-1].changed_at_us
    later_us, store.risk, deaths = end_us + 72 * 3600 * SECOND, 0.1, 0
    while True:
        try:
            merge_days(store, 3, later_us)
            break
        except Died:
            deaths += 1
            _agrees(rng, store, changes, questions=3)
    store.risk = 0.0
    assert deaths > 0
    days = {key.split("/")[3][:20] for key in keys_of(store)}
    assert len(keys_of(store)) < len(before)
    assert len({int(day) // (86400 * SECOND) for day in days}) == len(days)  # one a day
    _agrees(rng, store, changes, questions=60)


def test_a_merge_that_was_cut_off_before_it_deleted_doubles_nothing() -> None:
    store, changes = archived(random.Random(7), 300, risk=0.0)
    span = (BEGIN_US, changes[-1].changed_at_us)
    before = {model: HistoryReader(store).recorded(model, *span) for model in MODELS}
    undeletable(store)
    with pytest.raises(Died):
        merge_days(store, 3, span[1] + 72 * 3600 * SECOND)
    assert {model: HistoryReader(store).recorded(model, *span) for model in MODELS} == before


def undeletable(store: MortalStore) -> None:
    def delete(key: str) -> None:
        raise Died

    store.delete = delete  # type: ignore[method-assign]


def keys_of(store: MortalStore) -> list[str]:
    return [info.key for info in store.list(keys.changes_prefix(3)) if info.key.endswith(".avro")]


def _agrees(rng: random.Random, store: MortalStore, changes: list[VersionChange], questions: int) -> None:
    risk, store.risk = store.risk, 0.0
    reader = HistoryReader(store)
    for _ in range(questions):
        model, region = rng.choice(MODELS), rng.choice(REGIONS)
        at_us = rng.randint(BEGIN_US, changes[-1].changed_at_us) // 1000 * 1000
        found = served_at(reader.recorded(model, at_us, at_us), region, at_us)
        told = (found.certainty.value, found.change.version if found.change else None)
        assert told == oracle(changes, model, region, at_us)[:2], f"{model} in {region} at {at_us}"
    store.risk = risk


def test_a_question_takes_three_reads_at_most() -> None:
    rng = random.Random(1)
    store, changes = archived(rng, 600, risk=0.0)
    reader = HistoryReader(store)
    segments = sum(info.key.endswith(".avro") for info in store.list(keys.changes_prefix(3)))
    assert segments > 20
    for _ in range(200):
        at_us = rng.randint(changes[0].changed_at_us, changes[-1].changed_at_us)
        store.reads = 0
        reader.recorded(rng.choice(MODELS), at_us, at_us)
        assert store.reads <= READS_MAX


def test_a_change_takes_ten_bytes_at_most() -> None:
    changes = rollouts(random.Random(2), models=8, regions=200, generations=10)
    segment = ChangesSegment(REGISTRY, "topic-1", 0, len(changes), (), tuple(changes))
    size_bytes = len(encode_segment(segment))
    assert size_bytes / len(changes) <= 10, f"{size_bytes / len(changes):.1f} bytes"


def rollouts(rng: random.Random, models: int, regions: int, generations: int) -> list[VersionChange]:
    """What a fleet records as versions go round: each region is behind for some seconds, then serves."""
    found = []
    for model in range(models):
        for generation in range(1, generations + 1):
            begun_us = BEGIN_US + (model * generations + generation) * 600 * SECOND
            for region in range(regions):
                late_us = begun_us + rng.randint(10, 900) * 1000
                done_us = late_us + rng.randint(3_000, 30_000) * 1000
                for status, at_us, version in (("LAG", late_us, generation), ("OK", done_us, generation + 1)):
                    found.append(
                        VersionChange(
                            REGISTRY,
                            f"model-{model}",
                            f"region-{region:03d}",
                            status,
                            at_us,
                            at_us - rng.randint(20, 2_000) * 1000,
                            version,
                            digest(version),
                            version,
                            3,
                            3,
                            at_us - rng.randint(5, 250) * 1000,
                        )
                    )
    return sorted(found, key=lambda c: c.changed_at_us)


def test_a_segment_reads_as_it_was_written() -> None:
    changes = some_changes(random.Random(3), 200)
    segment = ChangesSegment(REGISTRY, "topic-1", 5, 260, tuple(changes[:9]), tuple(changes[9:]), True)
    assert decode_segment(encode_segment(segment), "here") == segment


def test_a_topic_that_was_made_anew_is_archived_from_its_beginning_and_the_gap_is_known() -> None:
    store = MemoryStore()
    one = change_at(BEGIN_US, 1)
    first = PartitionArchive(store, 3, REGISTRY, "topic-1")
    first.begin(0, 0)
    first.take(0, one)
    assert first.seal(BEGIN_US + SECOND)
    other = replace(change_at(BEGIN_US + 9 * 3600 * SECOND, 2), confirmed_at_us=BEGIN_US)
    second = PartitionArchive(store, 3, REGISTRY, "topic-2")
    assert second.begin(0, 1) == 0
    second.take(0, other)
    assert second.seal(other.changed_at_us)
    at_us = BEGIN_US + 4 * 3600 * SECOND
    found = served_at(HistoryReader(store).recorded(one.model, at_us, at_us), "eu", at_us)
    assert found.certainty is Certainty.UNKNOWN
    assert (found.from_us, found.until_us) == (one.changed_at_us, other.changed_at_us)


def test_beyond_the_end_of_the_archive_nothing_is_confirmed() -> None:
    store = MemoryStore()
    archive = PartitionArchive(store, 3, REGISTRY, "topic-1")
    archive.begin(0, 0)
    archive.take(0, change_at(BEGIN_US, 1))
    archive.seal(BEGIN_US + SECOND)
    later_us = BEGIN_US + 3600 * SECOND
    reader = HistoryReader(store)
    assert served_at(reader.recorded(MODELS[0], later_us, later_us), "eu", later_us).certainty is Certainty.UNKNOWN
    archive.mark(later_us + 60 * SECOND)
    assert served_at(reader.recorded(MODELS[0], later_us, later_us), "eu", later_us).certainty is Certainty.CONFIRMED


def test_a_silence_that_follows_is_unknown_from_the_last_report_on() -> None:
    silent = replace(change_at(BEGIN_US + 60 * SECOND, 1), status="SILENT", confirmed_at_us=BEGIN_US + 40 * SECOND)
    recorded = Recorded((change_at(BEGIN_US, 1), silent), BEGIN_US + 3600 * SECOND)
    assert served_at(recorded, "eu", BEGIN_US + 40 * SECOND).certainty is Certainty.CONFIRMED
    found = served_at(recorded, "eu", BEGIN_US + 50 * SECOND)
    assert (found.certainty, found.from_us, found.why) == (
        Certainty.UNKNOWN, BEGIN_US + 40 * SECOND, "the region was silent",
    )  # fmt: skip


def change_at(at_us: int, version: int) -> VersionChange:
    return VersionChange(REGISTRY, MODELS[0], "eu", "OK", at_us, 0, version, digest(version), version, 3, 3, at_us)


class TopicTail:
    """What lies on the topic, up to the moment of a question."""

    def __init__(self, world: ArchivingWorld, low: int = 0) -> None:
        self.world, self.low = world, low
        self.asked = 0

    def since(self, model: str, topic_id: str, end_offset: int) -> RecentChanges:
        self.asked += 1
        goes_on = topic_id == self.world.topic_id and end_offset >= self.low
        start = end_offset if goes_on else self.low
        last_us = max((c.changed_at_us for c in self.world.log), default=0)
        return RecentChanges(tuple(self.world.log[start:]), last_us, bool(topic_id) and not goes_on)


@pytest.mark.parametrize("seed", range(10))
def test_archive_and_topic_answer_as_all_changes_do_from_now_to_the_oldest(seed: int) -> None:
    rng = random.Random(300 + seed)
    store = MortalStore(rng=rng, risk=0.02)
    world = ArchivingWorld(store, rng)
    changes = some_changes(rng, 200)
    for number, change in enumerate(changes):
        world.log.append(change)
        if rng.random() < 0.7:
            world.step(change.changed_at_us + rng.randint(0, 5) * SECOND)
        if number % 20:
            continue
        risk, store.risk = store.risk, 0.0
        reader = HistoryReader(store, TopicTail(world), REGISTRY)
        for _ in range(20):
            model, region = rng.choice(MODELS), rng.choice(REGIONS)
            at_us = rng.randint(BEGIN_US, change.changed_at_us) // 1000 * 1000
            found = served_at(reader.recorded(model, at_us, at_us), region, at_us)
            version = found.change.version if found.change else None
            told = (found.certainty.value, version, found.after.version if found.after else None)
            expected = oracle(changes[: number + 1], model, region, at_us)
            if expected[0] == "UNKNOWN":
                told, expected = told[:2], expected[:2]
            assert told == expected, f"seed {seed}: {model} in {region} at {at_us}, after {number + 1} changes"
        store.risk = risk


def test_what_lies_deep_in_the_archive_asks_no_topic() -> None:
    store, changes = archived(random.Random(7), 200, risk=0.0)
    tail = TopicTail(ArchivingWorld(store, random.Random(1), log=list(changes)))
    reader = HistoryReader(store, tail, REGISTRY)
    reader.recorded(MODELS[0], changes[20].changed_at_us, changes[20].changed_at_us)
    assert tail.asked == 0
    reader.recorded(MODELS[0], changes[-1].changed_at_us, changes[-1].changed_at_us)
    assert tail.asked == 1


def test_where_changes_were_lost_between_archive_and_topic_nothing_is_claimed() -> None:
    store, changes = archived(random.Random(8), 100, risk=0.0)
    model, end_us = MODELS[0], changes[-1].changed_at_us
    later = [replace(changes[0], model=model, region="eu", changed_at_us=end_us + 600 * SECOND, confirmed_at_us=0)]
    world = ArchivingWorld(store, random.Random(1), log=[*changes, changes[-1], *later])
    reader = HistoryReader(store, TopicTail(world, low=len(changes) + 1), REGISTRY)
    found = served_at(reader.recorded(model, end_us + 300 * SECOND, end_us + 300 * SECOND), "eu", end_us + 300 * SECOND)
    assert (found.certainty, found.why) == (Certainty.UNKNOWN, "no tracker reported the model")
