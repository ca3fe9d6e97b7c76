"""The tracker on a real Kafka, an S3 server and a Redis: says what the slow twin says, whatever happens to it."""

import random
from dataclasses import replace

import pytest

from modelcast.infra.redis_view import RedisView
from modelcast.schemas.codec import encode
from modelcast.schemas.records import Entry, ModelAck
from modelcast.schemas.states import PodState
from modelcast.schemas.topics import Topic, partition_of
from tests.agents.tracker.makers import pages, pod, update
from tests.agents.tracker.reported import agrees, everywhere, serving
from tests.agents.tracker.rig import REGIONS, Rig
from tests.support.records.folding import in_statement, stated
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def lifetime(rig: Rig, model: str, seed: int) -> tuple[list[Entry], list[ModelAck]]:
    """Two publications, and what three regions report of them: pages lost, doubled, out of order, stale."""
    dice = random.Random(seed)
    entries: list[Entry] = [update(g, g, model=model, registry_id=rig.registry_id) for g in (1, 2)]
    acks: list[ModelAck] = []
    for region in REGIONS:
        for sequence in range(1, 5):
            pods = [
                pod(f"{region}-{n}", dice.choice((1, 2, 2, None)), dice.choice((1, 2)), dice.choice(list(PodState)))
                for n in range(dice.randint(0, 4))
            ]
            acks += pages(
                region,
                pods,
                epoch=dice.choice((1, 2)),
                sequence=sequence,
                page_count=dice.randint(1, 3),
                generation=2,
                version=2,
                model=model,
                registry_id=rig.registry_id,
            )
    arriving = [a for a in acks if dice.random() > 0.1]
    arriving += [a for a in arriving if dice.random() < 0.2]
    dice.shuffle(arriving)
    return entries, arriving


def test_says_on_kafka_and_in_redis_what_the_slow_twin_says(rig: Rig) -> None:
    tracker = rig.start()
    stories = {f"model-{n}": lifetime(rig, f"model-{n}", n) for n in range(6)}
    for entries, _ in stories.values():
        rig.claim(*entries)
    deliveries = [a for _, acks in stories.values() for a in acks]
    random.Random(7).shuffle(deliveries)
    rig.report(deliveries)
    rig.beat()
    tracker.wait_ready()
    for model, (entries, acks) in stories.items():
        log = rig.log(*entries)
        in_order = [a for a in deliveries if a.model == model]
        assert sorted(map(repr, in_order)) == sorted(map(repr, acks))
        until(lambda: agrees(rig.said(model), log, acks), f"{model} on Kafka")  # noqa: B023
        until(lambda: agrees(rig.seen(model), log, acks), f"{model} in Redis")  # noqa: B023
    assert tracker.terminate() == 0


def test_bad_records_go_to_the_dead_letters_with_their_reason_and_good_ones_flow(rig: Rig) -> None:
    tracker = rig.start()
    model, first = "sound", len(rig.letters())
    entry = update(1, 1, model=model, registry_id=rig.registry_id)
    rig.claim(entry)
    good = everywhere(rig, model)
    rig.send(Topic.MODEL_ACKS, model, b"no record at all")
    rig.send(Topic.MODEL_ACKS, model, b"")
    rig.send(Topic.MODEL_ACKS, model, encode(good[0])[:-3])
    rig.send(Topic.MODEL_ACKS, model, b"\xc3\x01" + b"x" * (256 * 1024))
    rig.send(Topic.MODEL_ACKS, model, encode(entry))
    rig.send(Topic.MODEL_ACKS, model, encode(replace(good[0], registry_id="another")))
    rig.send(Topic.MODEL_ACKS, model, b"\xc3\x01" + b"8" * 8 + b"of a schema that nobody knows")
    rig.send(Topic.MODEL_UPDATES, model, b"\xc3\x01")
    rig.send(Topic.MODEL_UPDATES, model, encode(good[0]))
    rig.send(Topic.MODEL_UPDATES, model, in_statement(replace(entry, registry_id="another")))
    rig.send(Topic.MODEL_UPDATES, model, in_statement(replace(entry, publisher="somebody else")))
    rig.send(Topic.MODEL_UPDATES, model, in_statement(replace(entry, event_id="another")))
    rig.send(Topic.MODEL_UPDATES, model, in_statement(replace(entry, generation=2, version=2)))
    rig.send(Topic.MODEL_UPDATES, "elsewhere-9", in_statement(entry))
    rig.send(Topic.REGION_HEARTBEATS, "x", b"junk")
    rig.report(good)
    rig.beat()
    tracker.wait_ready()
    until(lambda: agrees(rig.said(model), rig.log(entry), good), "the good ones")
    expected = {
        "model-acks": ["bad-value", "empty", "foreign-registry", "framing", "malformed", "oversize", "unknown-schema"],
        "model-updates": [
            "bad-key",
            "bad-value",
            "differs-from-log",
            "differs-from-log",
            "foreign-registry",
            "framing",
            "not-in-log",
        ],
    }

    def buried() -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for letter in rig.letters()[first:]:
            reasons.setdefault(letter.source_topic, []).append(letter.reason)
        return {topic: sorted(found) for topic, found in reasons.items() if topic in expected}

    until(lambda: buried() == expected, "all bad ones")
    assert tracker.alive


@pytest.mark.soak
def test_a_foreign_registry_raises_an_alarm_until_the_region_speaks_of_ours_again(rig: Rig) -> None:
    tracker = rig.start()
    model = "alarmed"
    rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    rig.report(everywhere(rig, model))
    until(lambda: (s := rig.said(model)) and s.consistent_version == 1, "consistent")
    rig.report([replace(a, registry_id="restored") for a in serving(rig, "eu", model, 1, sequence=9)])
    until(lambda: (s := rig.said(model)) and "another registry" in s.alarm, "alarm")
    assert tracker.metric(f'modelcast_alarm{{model="{model}"}}') == 1
    rig.report(serving(rig, "eu", model, 1, sequence=10))
    until(lambda: (s := rig.said(model)) and s.alarm == "", "no alarm")


def test_a_claim_that_nobody_announced_is_announced_once(rig: Rig) -> None:
    tracker = rig.start()
    model = "unannounced"
    first = update(1, 1, model=model, registry_id=rig.registry_id)
    second = update(2, 2, model=model, registry_id=rig.registry_id)
    rig.claim(first)
    rig.report(everywhere(rig, model))
    tracker.wait_ready()
    until(lambda: (s := rig.said(model)) and s.head_generation == 1, "the first")
    rig.claim(second, announce=False)

    def announced() -> int:
        return rig.records(Topic.MODEL_UPDATES, partition_of(model)).count(stated(rig.log(first), second).body)

    until(lambda: announced() == 1, "the announcement", 30)
    until(lambda: (s := rig.said(model)) and s.head_generation == 2, "its effect")
    later = "unannounced-later"
    rig.claim(update(1, 1, model=later, registry_id=rig.registry_id), announce=False)
    until(lambda: rig.announced(later) == [1], "more rounds of looking, and the grace, have passed", 30)
    assert announced() == 1


def test_a_region_that_falls_silent_is_named_and_heard_again(rig: Rig) -> None:
    rig.alive = ()  # they are heard as this test has it
    tracker = rig.start(MODELCAST_TRACKER__SILENT_SECONDS="3")
    model = "silence"
    rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    rig.report(everywhere(rig, model))
    tracker.wait_ready()

    def silent() -> list[str]:
        state = rig.said(model)
        assert state is not None
        return [r.region for r in state.regions if r.silent]

    def only_eu_is_silent() -> bool:
        rig.beat("ap", "us")
        return silent() == ["eu"]

    def consistent() -> bool:
        rig.beat()
        state = rig.said(model)
        return state is not None and state.consistent_version == 1

    until(consistent, "consistent")
    until(only_eu_is_silent, "eu alone is silent")
    assert tracker.metric('modelcast_region_silent{region="eu"}') == 1
    state = rig.said(model)
    assert state is not None
    assert state.consistent_version is None
    assert [(r.served_version, r.reported_version) for r in state.regions if r.silent] == [(None, 1)]

    def all_heard() -> bool:
        rig.beat()
        return silent() == []

    until(all_heard, "eu is heard again")
    with RedisView(rig.settings, rig.registry_id) as view:
        assert {b.value.region for b in view.heartbeats()} == set(REGIONS)
