"""A tracker that loses its Redis, its tables, its life or its place says the same again."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.redis_view import Keys, RedisView
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.records import Entry, PodReport, VersionState
from modelcast.schemas.topics import Topic
from tests.agents.tracker.makers import pages, pod, update
from tests.agents.tracker.reported import agrees, everywhere, serving
from tests.agents.tracker.rig import REGIONS, Rig
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

pytestmark = pytest.mark.integration


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

    until(full, "full")
    with redis.Redis.from_url(rig.redis_url) as client:
        client.delete(*client.scan_iter(f"modelcast:{rig.registry_id}:*", count=1000))
    assert not full()
    until(full, "full again", 30)


def test_a_redis_that_writes_for_a_newer_owner_refuses_the_older_one(rig: Rig) -> None:
    tracker = rig.start()
    model = "fenced"
    rig.claim(update(1, 1, model=model, registry_id=rig.registry_id))
    rig.report(everywhere(rig, model))
    tracker.wait_ready()
    until(lambda: (s := rig.seen(model)) and s.consistent_version == 1, "in the view")
    client = redis.Redis.from_url(rig.redis_url)
    newer = 10 * time.time_ns() // 1000
    client.hset(Keys(rig.registry_id).model(model), "f", newer)
    rig.report(serving(rig, "eu", model, 1, sequence=2, pods=3))
    until(lambda: (s := rig.said(model)) and [r.pods_serving for r in s.regions] == [2, 3, 2], "said on Kafka")
    until(lambda: tracker.metric('modelcast_view_writes_total{outcome="refused"}') > 0, "refused")
    seen = rig.seen(model)
    assert seen is not None
    assert [r.pods_serving for r in seen.regions] == [2, 2, 2]


def remembered(state: VersionState) -> VersionState:
    """A state without its durations."""
    regions = tuple(replace(r, behind_since_us=0, heard_at_us=0, read_at_us=0, silent=False) for r in state.regions)
    return replace(state, updated_at_us=0, as_of_us=0, behind_since_us=0, regions=regions)


def test_a_killed_tracker_says_the_same_again_from_its_table(rig: Rig) -> None:
    model = "killed"
    entry = update(1, 1, model=model, registry_id=rig.registry_id)
    rig.claim(entry)
    acks = everywhere(rig, model)
    first = rig.start()
    rig.report(acks)
    first.wait_ready()
    until(lambda: agrees(rig.said(model), rig.log(entry), acks), "consistent")
    before = rig.said(model)
    assert before is not None
    first.kill()
    second = rig.start()
    second.wait_ready(60)
    until(lambda: (s := rig.said(model)) and s.updated_at_us > before.updated_at_us, "said anew")
    after = rig.said(model)
    assert after is not None
    assert remembered(after) == remembered(before)
    assert after.consistent_since_us == before.consistent_since_us
    assert second.terminate() == 0


@pytest.mark.soak
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

    until(lambda: owned(0) | owned(1) == set(models) and not owned(0) & owned(1), "each owns some, none both", 120)
    assert owned(0)
    assert owned(1)
    workers[0].kill()
    began = time.monotonic()
    for model in models:
        rig.report([a for r in REGIONS for a in serving(rig, r, model, 1, sequence=2, pods=3)])
    until(
        lambda: all((s := rig.said(m)) and [r.pods_serving for r in s.regions] == [3, 3, 3] for m in models),
        "the other says what is new of all",
        40,
    )
    print(f"takeover after kill -9: {time.monotonic() - began:.1f} s")
    assert owned(1) == set(models)


@pytest.mark.soak
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
        until(lambda: agrees(rig.said(model), rig.log(*entries), acks), "consistent", 40)
        before = rig.said(model)
        assert before is not None
        assert tracker.terminate() == 0
        forget(rig, [Topic.MODEL_ACKS, "modelcast-tracker-rows-changelog"])
        again = rig.start()
        again.wait_ready(60)
        rig.report(everywhere(rig, model, sequence=2))  # the regions' next repetition

        def equal() -> bool:
            state = rig.said(model)
            assert state is not None
            assert remembered(without_times(state)) == remembered(without_times(before))
            return True

        until(equal, "equal to before")
        assert again.terminate() == 0
    finally:
        rig.stop_all()


def without_times(state: VersionState) -> VersionState:
    regions = tuple(
        replace(r, reported_at_us=0, read_at_us=0, moved_at_us=0, pods=pods_without_times(r.pods))
        for r in state.regions
    )
    return replace(state, consistent_since_us=0, skew_since_us=0, regions=regions)


def pods_without_times(reports: tuple[PodReport, ...]) -> tuple[PodReport, ...]:
    return tuple(replace(report, read_at_us=0) for report in sorted(reports, key=by_name))


def by_name(report: PodReport) -> str:
    return report.pod


def forget(rig: Rig, topics: Sequence[str]) -> None:
    """Delete topics and their groups' offsets, as retention and lost disks would."""
    from modelcast.infra.kafka.admin import create_topics
    from modelcast.infra.kafka.client import make_admin

    admin = make_admin(rig.settings)
    for future in admin.delete_topics([str(t) for t in topics], operation_timeout=10).values():
        future.result(10)
    for future in admin.delete_consumer_groups(["modelcast-tracker"], request_timeout=10).values():
        future.result(10)
    until(lambda: not {str(t) for t in topics} & set(admin.list_topics(timeout=5).topics), "gone")

    def made() -> bool:
        try:
            create_topics(rig.settings)
        except KafkaUnavailable:
            return False  # no leader yet
        return True

    until(made, "made anew")
