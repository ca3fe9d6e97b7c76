"""The rules of publishing, on a store in memory."""

import datetime
import pickle
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from modelcast.infra.settings import KafkaSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Addition, Commander, Publication, Publisher
from modelcast.schemas.errors import (
    ExitCode,
    KafkaUnavailable,
    Refused,
)
from modelcast.schemas.records import Activation, ModelUpdate
from tests.producers.fakes import SETTINGS, Heard, HookedStore
from tests.producers.published import exit_code, log_of, model


def test_versions_follow_each_other_and_carry_what_was_said(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    first = publisher.publish("fraud", model(tmp_path, "1"))
    second = publisher.publish(
        "fraud",
        model(tmp_path, "2"),
        placement=["eu"],
        activation="staged",
        metrics={"auc": 1},
        labels={"git": "abc"},
        publisher="ann",
    )
    assert [(p.version, p.generation, p.created, p.announced) for p in (first, second)] == [
        (1, 1, True, True),
        (2, 2, True, True),
    ]
    update = log_of(store).updates[2]
    assert (update.placement, update.activation) == (("eu",), Activation.STAGED)
    assert (update.metrics, update.labels, update.publisher) == ({"auc": 1.0}, {"git": "abc"}, "ann")
    assert update.artifact.manifest_digest == second.manifest_digest
    assert heard.records == [log_of(store).updates[1], update]
    assert [said[:2] for said in heard.said] == [("model-updates", "fraud")] * 2


def test_values_of_other_libraries_are_taken_as_they_are_meant(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    done = publisher.publish(
        "fraud",
        model(tmp_path, "1"),
        version=np.int64(7),  # type: ignore[arg-type]
        placement="eu",
        metrics={"auc": np.float32(0.5)},
        labels={"epochs": 3, "trained": datetime.date(2026, 11, 30)},
    )
    update = log_of(store).updates[7]
    assert (done.version, update.placement, update.metrics) == (7, ("eu",), {"auc": 0.5})
    assert update.labels == {"epochs": "3", "trained": "2026-11-30"}
    assert type(done.version) is int


def test_who_publishes_again_what_was_rolled_back_is_told_so(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    for content in ("1", "2"):
        publisher.publish("fraud", model(tmp_path, content))
    Commander(SETTINGS, store=store, announcer=heard).rollback("fraud")
    for dry_run in (True, False):
        again = publisher.publish("fraud", tmp_path / "model.onnx", dry_run=dry_run)
        assert again.created is False
        assert again.notes == ("is not what regions are headed for (all: version 1): modelcast activate fraud/2",)


def test_who_publishes_into_a_pin_is_told_that_it_is_not_served(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    Commander(SETTINGS, store=store, announcer=heard).pin("fraud", 1)
    for dry_run in (True, False):
        new = publisher.publish("fraud", model(tmp_path, "2"), dry_run=dry_run)
        assert new.created is True
        assert new.notes == ("is not what regions are headed for (all: version 1): modelcast unpin fraud",)


def test_the_latest_versions_own_bytes_mean_already_published_and_are_announced_again(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    first = publisher.publish("fraud", model(tmp_path, "1"))
    again = publisher.publish("fraud", tmp_path / "model.onnx", activation="staged")
    assert (again.version, again.event_id, again.created) == (1, first.event_id, False)
    assert again.notes == ("was published with activation immediate, which stays so",)
    assert heard.records == [log_of(store).updates[1]] * 2
    assert log_of(store).head == 1
    assert list(store.list("publications/")) == []


def test_already_published_puts_back_what_the_store_has_lost(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    before = {info.key for info in store.list("") if not info.key.startswith("audit/")}
    for info in [*store.list("blobs/"), *store.list("manifests/")]:
        store.delete(info.key)
    assert publisher.publish("fraud", tmp_path / "model.onnx").created is False
    assert {info.key for info in store.list("") if not info.key.startswith("audit/")} == before


def test_older_bytes_become_a_new_version(publisher: Publisher, store: MemoryStore, tmp_path: Path) -> None:
    one, two = model(tmp_path, "1"), tmp_path / "2"
    two.mkdir()
    publisher.publish("fraud", one)
    publisher.publish("fraud", model(two, "2"))
    again = publisher.publish("fraud", one)
    assert (again.version, again.created, again.uploaded_bytes) == (3, True, 0)


def test_only_what_the_store_lacks_is_uploaded(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    sent: list[str] = []
    hooked = HookedStore(store, before=lambda call, key: sent.append(key) if call == "upload" else None)
    (tmp_path / "weights").write_bytes(bytes(2_000_000))
    (tmp_path / "head").write_bytes(b"1")
    with Publisher(SETTINGS, store=hooked, announcer=heard) as publisher:
        first = publisher.publish("fraud", tmp_path)
        (tmp_path / "head").write_bytes(b"22")
        second = publisher.publish("fraud", tmp_path)
        elsewhere = publisher.publish("churn", tmp_path)
    assert (first.uploaded_bytes, second.uploaded_bytes, elsewhere.uploaded_bytes) == (2_000_001, 2, 0)
    assert sum(key.startswith("blobs/") for key in sent) == 1


def test_a_blob_of_the_wrong_length_is_put_right(publisher: Publisher, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(bytes(2_000_000))
    publisher.publish("fraud", tmp_path)
    blob = next(iter(store.list("blobs/"))).key
    store.put(blob, b"cut off")
    publisher.publish("fraud", tmp_path)
    info = store.head(blob)
    assert info is not None
    assert info.size_bytes == 2_000_000


def test_a_version_may_be_named_and_repeated_but_not_changed_or_undercut(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    assert publisher.publish("fraud", model(tmp_path, "7"), version=7).version == 7
    assert publisher.publish("fraud", tmp_path / "model.onnx", version=7).created is False
    blobs = [i.key for i in store.list("")]
    with pytest.raises(Refused, match="exists with other bytes") as caught:
        publisher.publish("fraud", model(tmp_path, "x"), version=7)
    assert exit_code(caught) == ExitCode.REFUSED
    assert "8" in caught.value.hint
    with pytest.raises(Refused, match="only go up"):
        publisher.publish("fraud", model(tmp_path, "y"), version=3)
    assert log_of(store).head == 1
    assert list(store.list("publications/")) == []
    assert set(blobs) <= {i.key for i in store.list("")}


def test_an_old_versions_own_number_and_bytes_are_already_published(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    publisher.publish("fraud", model(tmp_path, "2"))
    again = publisher.publish("fraud", model(tmp_path, "1"), version=1)
    assert (again.version, again.generation, again.created) == (1, 1, False)


def test_two_publishers_at_once_both_land_in_one_order(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    done: list[Publication] = []
    gate = threading.Barrier(4)

    def publish(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        with Publisher(SETTINGS, store=store, announcer=heard) as mine:
            gate.wait()
            done.extend(mine.publish("fraud", model(folder, f"{number}-{turn}")) for turn in range(5))

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = log_of(store)
    assert sorted(p.version for p in done) == list(range(1, 21)) == sorted(log.updates)
    assert all(log.updates[p.version].artifact.manifest_digest == p.manifest_digest for p in done)


def test_two_publishers_of_the_same_bytes_make_one_version(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    path = model(tmp_path, "same")
    for round_number in range(10):
        name, done, gate = f"fraud-{round_number}", [], threading.Barrier(2)

        def publish(name: str = name, done: list[Publication] = done, gate: threading.Barrier = gate) -> None:
            with Publisher(SETTINGS, store=store, announcer=heard) as mine:
                gate.wait()
                done.append(mine.publish(name, path))

        threads = [threading.Thread(target=publish) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [p.version for p in done] == [1, 1]
        assert log_of(store, name).head == 1


def test_who_is_overtaken_by_the_same_bytes_with_other_options_makes_no_second_version(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    path, raced = model(tmp_path, "same"), []

    def overtake(call: str, key: str) -> None:
        if call == "put" and "/log/" in key and not raced:
            raced.append(key)
            raced.append(publisher.publish("fraud", path, activation="staged"))

    with Publisher(SETTINGS, store=HookedStore(store, before=overtake), announcer=heard) as slow:
        late = slow.publish("fraud", path)
    assert (late.version, late.generation, late.created, late.announced) == (1, 1, False, True)
    assert late.event_id == raced[1].event_id
    assert late.notes == ("was published with activation staged, which stays so",)
    assert log_of(store).head == 1
    assert list(store.list("publications/")) == []


def test_who_is_overtaken_on_a_named_version_is_refused(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("other")
    path, raced = model(tmp_path, "mine"), []

    def overtake(call: str, key: str) -> None:
        if call == "put" and "/log/" in key and not raced:
            raced.append(key)
            publisher.publish("fraud", tmp_path / "other", version=5)

    slow = Publisher(SETTINGS, store=HookedStore(store, before=overtake), announcer=heard)
    with pytest.raises(Refused, match="exists with other bytes"):
        slow.publish("fraud", path, version=5)
    assert log_of(store).head == 1
    assert list(store.list("publications/")) == []


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    would = publisher.publish("fraud", model(tmp_path, "1"), dry_run=True)
    assert (would.version, would.generation, would.created, would.dry_run) == (1, 1, True, True)
    assert list(store.list("")) == []
    publisher.publish("fraud", tmp_path / "model.onnx")
    there = [i.key for i in store.list("")]
    assert publisher.publish("fraud", tmp_path / "model.onnx", dry_run=True).created is False
    assert publisher.publish("fraud", model(tmp_path, "2"), dry_run=True).version == 2
    with pytest.raises(Refused):
        publisher.publish("fraud", model(tmp_path, "2"), version=1, dry_run=True)
    assert [i.key for i in store.list("")] == there
    assert len(heard.said) == 1


def test_progress_adds_up_to_the_artifacts_size(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    without_deltas = SETTINGS.model_copy(update={"publish": PublishSettings(deltas=False, allow_unknown=("*",))})
    publisher = Publisher(without_deltas, store=store, announcer=heard)
    steps: list[tuple[str, int]] = []
    moved: Counter[str] = Counter()

    class Watcher:
        def step(self, name: str, total_bytes: int = 0) -> None:
            steps.append((name, total_bytes))

        def advance(self, done_bytes: int) -> None:
            moved[steps[-1][0]] += done_bytes

        def added(self, addition: Addition) -> None:
            raise AssertionError("nothing to make it of")

    for name, size in (("a", 10), ("same-as-a", 10), ("b", 3_000_000)):
        (tmp_path / name).write_bytes(bytes(size))
    done = publisher.publish("fraud", tmp_path, progress=Watcher())
    assert moved == {"scan": 3_000_020, "upload": 3_000_020}
    assert done.uploaded_bytes == 3_000_010
    assert [name for name, total in steps] == ["scan", "scan", "upload", "claim", "announce", "close"]
    assert steps[:3] == [("scan", 0), ("scan", 3_000_020), ("upload", 3_000_020)]


def test_publications_and_commands_share_one_log(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    Commander(SETTINGS, store=store, announcer=heard).pause("fraud")
    second = publisher.publish("fraud", model(tmp_path, "2"))
    assert (second.version, second.generation) == (2, 3)
    assert isinstance(heard.records[-1], ModelUpdate)


def test_a_publication_is_a_plain_value(publisher: Publisher, tmp_path: Path) -> None:
    done = publisher.publish("fraud", model(tmp_path, "1"))
    value = Publication(**asdict(done))
    assert str(value) == "fraud/1"
    assert asdict(pickle.loads(pickle.dumps(done))) == asdict(done) == asdict(value)


def test_waiting_asks_the_cluster_of_the_publishers_own_settings(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    away = KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=1)
    mine = SETTINGS.model_copy(update={"kafka": away})
    done = Publisher(mine, store=store, announcer=heard).publish("fraud", model(tmp_path, "1"))
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1"):
        done.wait("all", timeout=1)
