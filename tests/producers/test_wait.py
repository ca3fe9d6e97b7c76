"""Waiting on what a tracker says on a real Kafka."""

import asyncio
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.redis_view import Batch, RedisMirror, Write
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import KafkaSettings, Settings, StoreSettings
from modelcast.infra.stores import MemoryStore, configured
from modelcast.producers import Commander, Publisher, wait
from modelcast.producers.wait import states, wait_for
from modelcast.schemas import keys
from modelcast.schemas.avro.record_shapes import to_plain
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import fingerprint
from modelcast.schemas.codec import MARKER, encode
from modelcast.schemas.errors import ExitCode, KafkaUnavailable, NotConverged, Quarantined, UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import UNCHANGED_KEYS, StatesUnchanged, UnchangedState
from tests.producers.planning.test_convergence import FETCHING, LOADING, REFUSING, SERVING, UNSUPPORTED, state
from tests.schemas.avro.foreign_schemas import EXTRAS, with_every_kind_of_field, written

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=10))
    create_topics(settings)
    return settings


class Tracker:
    """Says version states of one model."""

    def __init__(self, settings: Settings) -> None:
        self.model = f"model-{uuid.uuid4().hex[:12]}"
        self.announcer = KafkaAnnouncer(settings)

    def say(self, registry_id: str = "r", head: int = 12, unread_seconds: int = 0, **rows: RegionState) -> VersionState:
        said = replace(state(**rows), model=self.model, registry_id=registry_id, head_generation=head)
        if unread_seconds:
            said = replace(said, updated_at_us=unread_seconds * 1_000_000 + 1, as_of_us=1)
        self.announcer.announce(Topic.VERSION_STATE, self.model, encode(said), timeout_seconds=10)
        return said


@pytest.fixture
def tracker(settings: Settings) -> Iterator[Tracker]:
    tracker = Tracker(settings)
    yield tracker
    tracker.announcer.close()


def test_what_was_said_before_is_enough(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=FETCHING)
    tracker.say(eu=SERVING)
    began = time.monotonic()
    assert wait_for(settings, tracker.model, 7, timeout_seconds=10).there == ("eu",)
    assert time.monotonic() - began < 5


def test_only_the_last_word_of_the_past_counts(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=SERVING)
    tracker.say(eu=FETCHING)
    with pytest.raises(NotConverged, match="eu: LAG, fetching") as caught:
        wait_for(settings, tracker.model, 7, timeout_seconds=1.5)
    assert caught.value.exit_code == ExitCode.NOT_CONVERGED


def test_a_newer_tracker_is_understood(settings: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = with_every_kind_of_field("VersionState")
    text, store = json.dumps(schema), MemoryStore("origin")
    mark = fingerprint(parse_schema(text))
    store.put(keys.schema(mark.hex()), text.encode())
    monkeypatch.setattr(configured, "origin_store", lambda _: store)
    said = tracker.say(eu=FETCHING)
    plain = to_plain(replace(said, regions=(replace(SERVING, region="eu"),))) | deepcopy(EXTRAS)
    newer = MARKER + mark + written(schema, plain)
    tracker.announcer.announce(Topic.VERSION_STATE, tracker.model, newer, timeout_seconds=10)
    elsewhere = settings.model_copy(update={"stores": {"origin": StoreSettings(url=f"s3://{uuid.uuid4().hex}")}})
    assert wait_for(elsewhere, tracker.model, 7, timeout_seconds=60).there == ("eu",)


def test_it_ends_when_the_news_comes(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=FETCHING)
    heard = states(settings, tracker.model, timeout_seconds=20)
    assert next(heard).regions[0].served_version == 6
    done: list[tuple[str, ...]] = []
    thread = threading.Thread(
        target=lambda: done.append(wait_for(settings, tracker.model, 7, timeout_seconds=20).there)
    )
    thread.start()
    tracker.say(eu=LOADING)
    said = tracker.say(eu=SERVING)
    thread.join(20)
    assert done == [("eu",)]
    assert said in heard


def test_a_quarantine_ends_it_at_once(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=SERVING, us=REFUSING)
    began = time.monotonic()
    with pytest.raises(Quarantined, match="us: blob x is damaged") as caught:
        wait_for(settings, tracker.model, 7, timeout_seconds=30)
    assert caught.value.exit_code == ExitCode.VERIFICATION_FAILED
    assert time.monotonic() - began < 10


def test_what_the_log_refuses_ends_it_though_no_region_was_told_to_have_it(
    settings: Settings, tracker: Tracker
) -> None:
    tracker.say(eu=SERVING)
    with pytest.raises(Quarantined, match="quarantined by ann") as caught:
        wait_for(settings, tracker.model, 6, timeout_seconds=120, refused=lambda: "quarantined by ann")
    assert caught.value.exit_code == ExitCode.VERIFICATION_FAILED
    served = wait_for(settings, tracker.model, 7, timeout_seconds=120, refused=lambda: "")
    assert served.there == ("eu",)


def test_what_the_log_refuses_is_not_there_though_the_tracker_says_so_still(
    settings: Settings, tracker: Tracker
) -> None:
    tracker.say(eu=replace(SERVING, reported_version=7))
    with pytest.raises(Quarantined, match=r"quarantined by ann; eu: serves a quarantined version"):
        wait_for(settings, tracker.model, 7, timeout_seconds=120, refused=lambda: "quarantined by ann")


def test_a_state_from_before_the_log_was_read_proves_nothing(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=SERVING)
    with pytest.raises(NotConverged, match="has not reported it yet"):
        wait_for(settings, tracker.model, 7, head=13, timeout_seconds=1.5)
    tracker.say(head=13, eu=SERVING)
    assert wait_for(settings, tracker.model, 7, head=13, timeout_seconds=60).reached


def test_a_tracker_that_is_behind_proves_nothing_and_is_said_to_be(settings: Settings, tracker: Tracker) -> None:
    tracker.say(unread_seconds=95, eu=SERVING)
    told: list[str] = []
    with pytest.raises(NotConverged, match=r"not in 1\.5 s: the tracker is 95 s behind") as caught:
        wait_for(settings, tracker.model, 7, timeout_seconds=1.5, note=told.append)
    assert caught.value.exit_code == ExitCode.NOT_CONVERGED
    tracker.say(unread_seconds=95, eu=REFUSING)
    with pytest.raises(NotConverged, match="95 s behind"):  # it may have been released since
        wait_for(settings, tracker.model, 7, timeout_seconds=1.5, note=told.append)
    assert len(told) == 2
    assert "95 s behind: acknowledgements that came since wait to be read" in told[0]
    tracker.say(unread_seconds=1, eu=SERVING)
    assert wait_for(settings, tracker.model, 7, timeout_seconds=60).there == ("eu",)


def test_the_log_is_asked_again_only_when_it_has_grown(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=SERVING)
    asked: list[int] = []

    def refused() -> str:
        asked.append(len(asked))
        for head in (12, 13):  # the second word has one entry more
            tracker.say(head=head, eu=SERVING)
        return "quarantined meanwhile" if len(asked) > 1 else ""

    with pytest.raises(Quarantined, match="quarantined meanwhile"):
        wait_for(settings, tracker.model, 6, timeout_seconds=120, refused=refused)
    assert asked == [0, 1]


def test_superseded_versions_are_not_waited_for(settings: Settings, tracker: Tracker) -> None:
    tracker.say(head=13, eu=replace(FETCHING, aspired_version=8, aspired_generation=13))
    with pytest.raises(NotConverged, match="superseded"):
        wait_for(settings, tracker.model, 7, generation=12, timeout_seconds=30)


def test_a_format_that_no_pod_can_load_is_told_at_once(settings: Settings, tracker: Tracker) -> None:
    tracker.say(eu=UNSUPPORTED, us=UNSUPPORTED)
    with pytest.raises(NotConverged, match=r"no pod there can load it: eu: unsupported: needs model\.onnx") as told:
        wait_for(settings, tracker.model, 7, timeout_seconds=600)
    assert told.value.exit_code is ExitCode.NOT_CONVERGED


def test_a_tracker_that_answered_is_not_asked_for(settings: Settings, tracker: Tracker) -> None:
    with pytest.raises(NotConverged, match="is the tracker running"):
        wait_for(settings, tracker.model, 7, timeout_seconds=0.5)
    tracker.say(eu=LOADING)
    with pytest.raises(NotConverged, match="eu: LAG, loading") as late:
        wait_for(settings, tracker.model, 7, timeout_seconds=1.5)
    assert late.value.hint == f"modelcast describe {tracker.model}"


def test_another_registrys_word_and_rubbish_do_not_count(settings: Settings, tracker: Tracker) -> None:
    tracker.say(registry_id="other", eu=SERVING)
    tracker.announcer.announce(Topic.VERSION_STATE, tracker.model, b"rubbish", timeout_seconds=10)
    with pytest.raises(NotConverged, match="tracker has not reported"):
        wait_for(settings, tracker.model, 7, registry_id="r", timeout_seconds=1.5)


def test_bad_levels_and_unreachable_clusters_are_told(settings: Settings) -> None:
    with pytest.raises(UsageError, match="all, quorum, one"):
        wait_for(settings, "fraud", 7, "most", timeout_seconds=1)  # type: ignore[arg-type]
    away = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=1))
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1"):
        wait_for(away, "fraud", 7, timeout_seconds=2)


class Registry:
    """A model of three versions in a store in memory, the first two of them served once."""

    def __init__(self, settings: Settings, folder: Path, model: str) -> None:
        self.store, self.model = MemoryStore("origin"), model
        with Publisher(settings, store=self.store) as publisher:
            for number in (1, 2, 3):
                (folder / "model").write_text(str(number))
                publisher.publish(model, folder / "model", activation="staged" if number == 3 else "immediate")
        self.commander = Commander(settings, store=self.store)

    @property
    def log(self) -> ModelLog:
        return RegistryReader(self.store).tail(self.model).log


@pytest.fixture
def registry(
    settings: Settings, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    made = Registry(settings, tmp_path, tracker.model)
    monkeypatch.setattr(configured, "origin_store", lambda _: made.store)
    yield made
    made.commander.close()


def test_a_version_that_was_staged_and_then_quarantined_is_not_there(
    settings: Settings, tracker: Tracker, registry: Registry
) -> None:
    staged = replace(SERVING, aspired_version=2, served_version=2, staged_version=3)
    tracker.say(head=3, eu=staged)
    assert wait_for(settings, tracker.model, 3, staged=True, timeout_seconds=60).reached
    registry.commander.quarantine(tracker.model, 3, reason="drift", requested_by="ann")
    with pytest.raises(Quarantined, match=r"quarantined by ann \(drift\)"):
        wait_for(settings, tracker.model, 3, staged=True, timeout_seconds=60)


def test_a_quarantined_version_is_told_as_such_and_not_as_superseded(
    settings: Settings, tracker: Tracker, registry: Registry
) -> None:
    for version in (2, 3):
        registry.commander.quarantine(tracker.model, version, reason="drift", requested_by="ann")
    tracker.say(
        head=5, eu=replace(SERVING, aspired_version=1, aspired_generation=5, served_version=1, refused_version=3)
    )
    with pytest.raises(Quarantined, match=r"quarantined by ann \(drift\)"):
        wait_for(settings, tracker.model, 2, generation=2, timeout_seconds=60)


def test_a_release_of_what_nobody_refuses_writes_nothing_and_says_so(
    settings: Settings, tracker: Tracker, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    commander, model = registry.commander, tracker.model
    tracker.say(eu=SERVING)
    head = registry.log.head
    assert commander.release(model, 2) is None
    assert registry.log.head == head
    assert f"{model}/2: nothing to release: it is not quarantined, and no region refuses it" in caplog.text
    tracker.say(eu=replace(SERVING, refused_version=2))
    assert commander.release(model, 2) is not None, "a region refuses it of its own accord"
    tracker.say(eu=SERVING)
    assert commander.release(model, 2) is None
    commander.quarantine(model, 2)
    assert commander.release(model, 2) is not None
    tracker.say(eu=SERVING, unread_seconds=95)
    assert commander.release(model, 2) is not None, "what regions refuse is not known now"


@pytest.mark.parametrize(
    "wrong", [{"timeout_seconds": "5m"}, {"timeout_seconds": None}, {"regions": 7}, {"version": 0}]
)
def test_arguments_that_are_none_are_named(settings: Settings, wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"version": 7, "timeout_seconds": 1.0} | wrong
    with pytest.raises(UsageError, match=next(iter(wrong)).removesuffix("s")):
        wait_for(settings, "fraud", **given)  # type: ignore[arg-type]


def test_while_nothing_comes_nothing_is_asked_and_news_end_it_at_once(
    settings: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.say(eu=FETCHING)
    asked: list[str] = []
    monkeypatch.setattr(wait, "convergence_of", counted(asked, "judged", wait.convergence_of))
    monkeypatch.setattr(wait, "make_consumer", counted(asked, "connected", wait.make_consumer))

    def refused() -> str:
        asked.append("log")
        return ""

    for seconds in (1.0, 2.5):
        asked.clear()
        with pytest.raises(NotConverged):
            wait_for(settings, tracker.model, 7, timeout_seconds=seconds, refused=refused)
        assert sorted(asked) == ["connected", "judged", "judged", "log"]  # before anything was heard, and once

    done: list[float] = []

    def follow() -> None:
        wait_for(settings, tracker.model, 7, timeout_seconds=30)
        done.append(time.monotonic())

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.5)
    tracker.say(eu=SERVING)
    told = time.monotonic()
    thread.join(30)
    assert done[0] - told < 5  # Kafka's own way there; no interval of ours is a part of it


def counted(calls: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return call(*args, **kwargs)

    return made


class Mirrored:
    """Redis as a tracker writes it, beside a Kafka that can't be reached."""

    def __init__(self, redis_url: str) -> None:
        self.registry_id, self.fence = uuid.uuid4().hex, 0
        self.model = f"model-{self.registry_id[:12]}"
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=0.5),
            redis={"url": redis_url},  # type: ignore[arg-type]
        )

    def say(self, age_seconds: float = 0.0, **rows: RegionState) -> None:
        async def write() -> None:
            mirror = RedisMirror(self.settings, self.registry_id)
            self.fence += 1
            said = encode(replace(state(**rows), model=self.model, registry_id=self.registry_id))
            age_us = round(age_seconds * 1_000_000)
            await mirror.write(Batch((Write(mirror.keys.model(self.model), {"v": said}, self.fence, age_us=age_us),)))
            await mirror.close()

        asyncio.run(write())


def test_where_kafka_is_away_redis_is_asked_and_that_and_its_age_are_said(redis_url: str) -> None:
    view, notes = Mirrored(redis_url), []
    view.say(age_seconds=7, eu=FETCHING)
    later = threading.Timer(1.0, lambda: view.say(eu=SERVING))
    later.start()
    found = wait_for(view.settings, view.model, 7, timeout_seconds=30, refused=str, note=notes.append)
    later.join()
    assert found.there == ("eu",)
    (note,) = notes
    assert re.fullmatch(r"note: Kafka: .+; asking Redis instead, its state is \d+ s old", note)


def test_where_kafka_is_away_an_old_or_unfinished_state_in_redis_ends_as_before(redis_url: str) -> None:
    view = Mirrored(redis_url)
    with pytest.raises(KafkaUnavailable):
        wait_for(view.settings, view.model, 7, timeout_seconds=30, refused=str)
    view.say(age_seconds=100, eu=SERVING)
    with pytest.raises(KafkaUnavailable):
        wait_for(view.settings, view.model, 7, timeout_seconds=30, refused=str)
    view.say(eu=FETCHING)
    began = time.monotonic()
    with pytest.raises(KafkaUnavailable):
        wait_for(view.settings, view.model, 7, timeout_seconds=2, refused=str)
    assert time.monotonic() - began < 10
    view.say(eu=REFUSING)
    with pytest.raises(Quarantined):
        wait_for(view.settings, view.model, 7, timeout_seconds=30, refused=str)


def test_a_state_that_was_said_long_before_and_is_told_to_hold_is_enough(
    settings: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.producers.wait.BACK_OFFSETS", 2)
    said = tracker.say(eu=SERVING)
    partition = partition_of(tracker.model)
    for second in (30, 60, 90):
        at_us = said.updated_at_us + second * 1_000_000
        row = UnchangedState(tracker.model, said.updated_at_us, at_us, 0)
        told = StatesUnchanged("r", partition, at_us, 0, (row,))
        tracker.announcer.announce(Topic.VERSION_STATE, UNCHANGED_KEYS[partition], encode(told), timeout_seconds=10)
    found = next(states(settings, tracker.model, timeout_seconds=20))
    assert found.updated_at_us == said.updated_at_us + 90_000_000
    assert wait_for(settings, tracker.model, 7, timeout_seconds=10).there == ("eu",)
