"""The tracker on a real Kafka, an S3 server and a Redis: says what the slow twin says, whatever happens to it."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from modelcast.infra.local.kafka import KafkaServer
from modelcast.infra.redis_view import Keys, RedisView
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.log import ModelLog
from modelcast.schemas.records import Entry, ModelAck, PodReport, VersionState
from modelcast.schemas.states import PodState
from modelcast.schemas.topics import Topic
from tests.agents.tracker.makers import pages, pod, update
from tests.agents.tracker.rig import REGIONS, Rig, wait_for
from tests.agents.tracker.twin import twin
from tests.support.servers import S3ForTests

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A Kafka of this file's own: the tests use the real topics' names."""
    server = KafkaServer.start(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture
def rig(broker: KafkaServer, s3: S3ForTests, redis_url: str, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(broker.bootstrap_servers, s3, redis_url, tmp_path)
    yield made
    made.stop_all()


def agrees(state: VersionState | None, log: ModelLog, acks: Sequence[ModelAck]) -> bool:
    """Whether a state is what the twin says (regions are heard of)."""
    if state is None:
        return False
    now_us = state.updated_at_us
    truth = twin(log, acks, REGIONS, dict.fromkeys(REGIONS, now_us), now_us)
    mine = [
        (r.region, r.state, r.served_version, r.pods_serving, r.pods_expected, r.left_out, {p.pod for p in r.pods})
        for r in state.regions
    ]
    assert mine == [
        (r.region, r.state, r.served_version, r.pods_serving, r.pods_expected, r.left_out, set(r.pods))
        for r in truth.regions
    ]
    assert (state.consistent_version, state.skew) == (truth.consistent_version, truth.skew)
    assert state.head_generation == log.head
    return True


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


def serving(rig: Rig, region: str, model: str, version: int, sequence: int = 1, pods: int = 2) -> list[ModelAck]:
    reports = [pod(f"{region}-{n}", version, version) for n in range(pods)]
    return pages(
        region,
        reports,
        generation=version,
        version=version,
        sequence=sequence,
        model=model,
        registry_id=rig.registry_id,
    )


def everywhere(rig: Rig, model: str, version: int = 1, sequence: int = 1) -> list[ModelAck]:
    return [a for region in REGIONS for a in serving(rig, region, model, version, sequence)]


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
        wait_for(f"{model} on Kafka", lambda: agrees(rig.said(model), log, acks))  # noqa: B023
        wait_for(f"{model} in Redis", lambda: agrees(rig.seen(model), log, acks))  # noqa: B023
    assert tracker.stop() == 0


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
    rig.send(Topic.MODEL_UPDATES, model, encode(replace(entry, registry_id="another")))
    rig.send(Topic.MODEL_UPDATES, model, encode(replace(entry, publisher="somebody else")))
    rig.send(Topic.MODEL_UPDATES, model, encode(replace(entry, event_id="another")))
    rig.send(Topic.MODEL_UPDATES, model, encode(replace(entry, generation=2, version=2)))
    rig.send(Topic.MODEL_UPDATES, "elsewhere-9", encode(entry))
    rig.send(Topic.REGION_HEARTBEATS, "x", b"junk")
    rig.report(good)
    rig.beat()
    tracker.wait_ready()
    wait_for("the good ones", lambda: agrees(rig.said(model), rig.log(entry), good))
    expected = {
        "model-acks": ["bad-value", "empty", "foreign-registry", "framing", "malformed", "oversize", "unknown-schema"],
        "model-updates": [
            "bad-value",
            "differs-from-log",
            "differs-from-log",
            "foreign-registry",
            "framing",
            "not-in-log",
            "wrong-partition",
        ],
    }

    def buried() -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for letter in rig.letters()[first:]:
            reasons.setdefault(letter.source_topic, []).append(letter.reason)
        return {topic: sorted(found) for topic, found in reasons.items() if topic in expected}

    wait_for("all bad ones", lambda: buried() == expected)
    assert tracker.process.poll() is None


def test_a_foreign_registry_raises_an_alarm_until_the_region_speaks_of_ours_again(rig: Rig) -> None:
    tracker = rig.start()
    model = "alarmed"
    rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    rig.report(everywhere(rig, model))
    wait_for("consistent", lambda: (s := rig.said(model)) and s.consistent_version == 1)
    rig.report([replace(a, registry_id="restored") for a in serving(rig, "eu", model, 1, sequence=9)])
    wait_for("alarm", lambda: (s := rig.said(model)) and "another registry" in s.alarm)
    assert tracker.metric(f'modelcast_alarm{{model="{model}"}}') == 1
    rig.report(serving(rig, "eu", model, 1, sequence=10))
    wait_for("no alarm", lambda: (s := rig.said(model)) and s.alarm == "")


def test_a_claim_that_nobody_announced_is_announced_once(rig: Rig) -> None:
    tracker = rig.start()
    model = "unannounced"
    first = update(1, 1, model=model, registry_id=rig.registry_id)
    second = update(2, 2, model=model, registry_id=rig.registry_id)
    rig.claim(first)
    rig.report(everywhere(rig, model))
    tracker.wait_ready()
    wait_for("the first", lambda: (s := rig.said(model)) and s.head_generation == 1)
    rig.claim(second, announce=False)

    def announced() -> int:
        from modelcast.schemas.topics import partition_of

        return rig.records(Topic.MODEL_UPDATES, partition_of(model)).count(encode(second))

    wait_for("the announcement", lambda: announced() == 1, 30)
    wait_for("its effect", lambda: (s := rig.said(model)) and s.head_generation == 2)
    time.sleep(9)  # two more rounds of looking, and the grace
    assert announced() == 1


def test_a_region_that_falls_silent_is_named_and_heard_again(rig: Rig) -> None:
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

    wait_for("consistent", lambda: (s := rig.said(model)) and s.consistent_version == 1)
    rig.beat()
    wait_for("eu alone is silent", only_eu_is_silent)
    assert tracker.metric('modelcast_region_silent{region="eu"}') == 1
    state = rig.said(model)
    assert state is not None
    assert state.consistent_version == 1  # as last reported

    def all_heard() -> bool:
        rig.beat()
        return silent() == []

    wait_for("eu is heard again", all_heard)
    with RedisView(rig.settings, rig.registry_id) as view:
        assert {b.value.region for b in view.heartbeats()} == set(REGIONS)


def test_an_emptied_redis_is_full_again_within_the_refresh(rig: Rig) -> None:
    tracker = rig.start()
    model = "refilled"
    entry = update(1, 1, model=model, registry_id=rig.registry_id)
    rig.claim(entry)
    many = [pod(f"eu-{n}", 1, 1) for n in range(600)]
    acks = pages("eu", many, page_count=3, model=model, registry_id=rig.registry_id)
    rig.report(acks)
    tracker.wait_ready()

    def full() -> bool:
        with RedisView(rig.settings, rig.registry_id) as view:
            pods = view.pods(model, "eu")
            return view.model(model) is not None and pods is not None and len(pods.value) == 600

    wait_for("full", full)
    redis.Redis.from_url(rig.redis_url).flushall()
    assert not full()
    wait_for("full again", full, 30)


def test_a_redis_that_writes_for_a_newer_owner_refuses_the_older_one(rig: Rig) -> None:
    tracker = rig.start()
    model = "fenced"
    rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    rig.report(everywhere(rig, model))
    tracker.wait_ready()
    wait_for("in the view", lambda: (s := rig.seen(model)) and s.consistent_version == 1)
    client = redis.Redis.from_url(rig.redis_url)
    newer = 10 * time.time_ns() // 1000
    client.hset(Keys(rig.registry_id).model(model), "f", newer)
    rig.report(serving(rig, "eu", model, 1, sequence=2, pods=3))
    wait_for("said on Kafka", lambda: (s := rig.said(model)) and [r.pods_serving for r in s.regions] == [2, 3, 2])
    wait_for("refused", lambda: tracker.metric('modelcast_view_writes_total{outcome="refused"}') > 0)
    seen = rig.seen(model)
    assert seen is not None
    assert [r.pods_serving for r in seen.regions] == [2, 2, 2]


def remembered(state: VersionState) -> VersionState:
    """A state without its durations."""
    regions = tuple(replace(r, lag_seconds=0, heard_at_us=0, silent=False) for r in state.regions)
    return replace(state, updated_at_us=0, lag_seconds_max=0, regions=regions)


def test_a_killed_tracker_says_the_same_again_from_its_table(rig: Rig) -> None:
    model = "killed"
    entry = update(1, 1, model=model, registry_id=rig.registry_id)
    rig.claim(entry)
    acks = everywhere(rig, model)
    first = rig.start()
    rig.report(acks)
    first.wait_ready()
    wait_for("consistent", lambda: agrees(rig.said(model), rig.log(entry), acks))
    before = rig.said(model)
    assert before is not None
    first.kill()
    second = rig.start()
    second.wait_ready(60)
    wait_for("said anew", lambda: (s := rig.said(model)) and s.updated_at_us > before.updated_at_us)
    after = rig.said(model)
    assert after is not None
    assert remembered(after) == remembered(before)
    assert after.consistent_since_us == before.consistent_since_us
    assert second.stop() == 0


@pytest.mark.timeout(360)
def test_two_workers_share_the_models_and_one_takes_over_what_the_other_left(rig: Rig) -> None:
    models = [f"shared-{n}" for n in range(8)]
    for model in models:
        rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    workers = [rig.start(), rig.start()]
    for model in models:
        rig.report(everywhere(rig, model))
    for worker in workers:
        worker.wait_ready(60)

    def owned(n: int) -> set[str]:
        page = workers[n].get("/metrics")[1]
        return {m for m in models if f'modelcast_consistent_version{{model="{m}"}} 1.0' in page}

    wait_for("each owns some, none both", lambda: owned(0) | owned(1) == set(models) and not owned(0) & owned(1), 120)
    assert owned(0)
    assert owned(1)
    workers[0].kill()
    began = time.monotonic()
    for model in models:
        rig.report([a for r in REGIONS for a in serving(rig, r, model, 1, sequence=2, pods=3)])
    wait_for(
        "the other says what is new of all",
        lambda: all((s := rig.said(m)) and [r.pods_serving for r in s.regions] == [3, 3, 3] for m in models),
        40,
    )
    print(f"takeover after kill -9: {time.monotonic() - began:.1f} s")
    assert owned(1) == set(models)


def test_tables_and_acks_lost_are_made_good_by_the_next_reports(
    kafka_of_its_own: KafkaServer, s3: S3ForTests, redis_url: str, tmp_path: Path
) -> None:
    """Kafka comes back empty but for what was said; regions repeat their snapshots."""
    rig = Rig(kafka_of_its_own.bootstrap_servers, s3, redis_url, tmp_path)
    try:
        model = "amnesia"
        entries: list[Entry] = [update(1, 1, model=model, registry_id=rig.registry_id)]
        rig.claim(*entries)
        tracker = rig.start()
        acks = everywhere(rig, model)
        rig.report(acks)
        wait_for("consistent", lambda: agrees(rig.said(model), rig.log(*entries), acks), 40)
        before = rig.said(model)
        assert before is not None
        assert tracker.stop() == 0
        forget(rig, [Topic.MODEL_ACKS, "modelcast-tracker-rows-changelog"])
        again = rig.start()
        again.wait_ready(60)
        rig.report(everywhere(rig, model, sequence=2))  # the regions' next repetition

        def equal() -> bool:
            state = rig.said(model)
            assert state is not None
            assert remembered(without_times(state)) == remembered(without_times(before))
            return True

        wait_for("equal to before", equal)
        assert again.stop() == 0
    finally:
        rig.stop_all()


def without_times(state: VersionState) -> VersionState:
    regions = tuple(replace(r, reported_at_us=0, pods=tuple(sorted(r.pods, key=by_name))) for r in state.regions)
    return replace(state, consistent_since_us=0, skew_since_us=0, regions=regions)


def by_name(report: PodReport) -> str:
    return report.pod


def forget(rig: Rig, topics: Sequence[str]) -> None:
    """Delete topics and their groups' offsets, as retention and lost disks would."""
    from modelcast.infra.kafka_admin import create_topics
    from modelcast.infra.kafka_client import make_admin

    admin = make_admin(rig.settings)
    for future in admin.delete_topics([str(t) for t in topics], operation_timeout=10).values():
        future.result(10)
    for future in admin.delete_consumer_groups(["modelcast-tracker"], request_timeout=10).values():
        future.result(10)
    wait_for("gone", lambda: not {str(t) for t in topics} & set(admin.list_topics(timeout=5).topics))

    def made() -> bool:
        try:
            create_topics(rig.settings)
        except KafkaUnavailable:
            return False  # no leader yet
        return True

    wait_for("made anew", made)
