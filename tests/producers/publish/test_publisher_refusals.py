"""What a publisher refuses, and that nothing of it stays in the store."""

import pickle
from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher
from modelcast.schemas import keys
from modelcast.schemas.errors import (
    ExitCode,
    ForeignRegistry,
    Refused,
    UsageError,
)
from tests.producers.fakes import SETTINGS, CarelessStore, Heard, HookedStore
from tests.producers.published import exit_code, log_of, model


@pytest.mark.parametrize("name", ["", "Fraud", "a/b", "-a", "x" * 64, "ü"])
def test_bad_names_are_usage_errors(publisher: Publisher, store: MemoryStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        publisher.publish(name, model(tmp_path, "1"))
    assert exit_code(caught) == ExitCode.USAGE
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    "options",
    [
        {"version": 0},
        {"version": -1},
        {"version": True},
        {"version": 1.5},
        {"version": 2.0},
        {"version": "7"},
        {"version": 2**31},
        {"placement": 7},
        {"placement": b"eu"},
        {"metrics": {"auc": "high"}},
        {"metrics": [0.93]},
        {"labels": {"git": None}},
        {"labels": "git"},
        {"publisher": object()},
        {"activation": None},
        {"placement": ["EU"]},
        {"placement": ["eu", "eu"]},
        {"metrics": {"auc": float("nan")}},
        {"labels": {"x": "y" * 5000}},
        {"labels": {str(n): "" for n in range(300)}},
        {"activation": "later"},
        {"allow_pickle": "no"},
        {"dry_run": 1},
        {"verify": None},
        {"accelerate": "off"},
        {"allow_version_jump": "no"},
        {"progress": 3},
        {"progress": print},
    ],
)
def test_values_that_make_no_sense_are_usage_errors(
    publisher: Publisher, store: MemoryStore, tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError) as caught:
        publisher.publish("fraud", tmp_path / "not read", **options)  # type: ignore[arg-type]
    assert "no such file" not in str(caught.value)
    assert caught.value.hint
    assert list(store.list("")) == []


@pytest.mark.parametrize("name", [None, 7, b"fraud", Path("fraud")])
def test_a_name_of_another_type_is_a_usage_error(publisher: Publisher, tmp_path: Path, name: object) -> None:
    with pytest.raises(UsageError, match="bad model name"):
        publisher.publish(name, model(tmp_path, "1"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no path"):
        publisher.publish("fraud", 7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="path is empty"):
        publisher.publish("fraud", "")


def test_a_slip_of_the_finger_does_not_use_up_all_versions(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    with pytest.raises(Refused, match="allow-version-jump") as caught:
        publisher.publish("fraud", model(tmp_path, "2"), version=2**31 - 1)
    assert exit_code(caught) == ExitCode.REFUSED
    assert log_of(store).head == 1
    meant = publisher.publish("fraud", model(tmp_path, "2"), version=20_261_130, allow_version_jump=True)
    assert meant.version == 20_261_130


@pytest.mark.parametrize("dry_run", [False, True])
def test_quarantined_bytes_are_refused_with_who_quarantined_them(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path, dry_run: bool
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    publisher.publish("fraud", model(tmp_path, "2"))
    with Commander(SETTINGS, store=store, announcer=heard) as commander:
        commander.quarantine("fraud", 1, reason="wrong labels", requested_by="ann")
    with pytest.raises(Refused, match=r"quarantined by ann \(wrong labels\)") as caught:
        publisher.publish("fraud", model(tmp_path, "1"), dry_run=dry_run)
    assert exit_code(caught) == ExitCode.REFUSED
    assert log_of(store).head == 3


def test_what_the_scan_refuses_leaves_nothing_in_the_store(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(1))
    with pytest.raises(Refused, match="pickle"):
        publisher.publish("fraud", tmp_path)
    assert list(store.list("")) == []
    assert publisher.publish("fraud", tmp_path, allow_pickle=True).version == 1


def test_a_large_file_that_changes_before_its_upload_is_refused(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(2_000_000))

    def change(call: str, _key: str) -> None:
        if call == "upload":
            path.write_bytes(b"x" * 2_000_000)

    hooked = HookedStore(store, before=change)
    with Publisher(SETTINGS, store=hooked, announcer=heard) as mine, pytest.raises(Refused, match="changes while"):
        mine.publish("fraud", path)
    assert list(store.list("registry/fraud/")) == []
    assert list(store.list("blobs/")) == []


@pytest.mark.parametrize("existing", [False, True])
def test_a_store_that_ignores_conditional_puts_is_refused(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path, existing: bool
) -> None:
    if existing:
        publisher.publish("fraud", model(tmp_path, "1"))
    before = log_of(store).head if existing else 0
    careless = Publisher(SETTINGS, store=CarelessStore(store), announcer=heard)
    with pytest.raises(Refused, match="If-None-Match"):
        careless.publish("fraud", model(tmp_path, "2"))
    assert len(list(store.list("registry/fraud/"))) == before
    assert (store.head(keys.REGISTRY_ID) is not None) == existing


def test_another_registry_than_the_configured_one_is_refused(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    told = SETTINGS.model_copy(update={"publish": SETTINGS.publish.model_copy(update={"registry_id": "other"})})
    with pytest.raises(ForeignRegistry) as caught:
        Publisher(told, store=store, announcer=heard).publish("fraud", model(tmp_path, "2"))
    assert exit_code(caught) == ExitCode.REFUSED
    assert log_of(store).head == 1
    with pytest.raises(ForeignRegistry):
        Publisher(told, store=MemoryStore(), announcer=heard).publish("fraud", model(tmp_path, "2"))


def test_a_store_that_was_swapped_under_a_running_publisher_is_refused(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    for info in list(store.list("")):
        store.delete(info.key)
    with pytest.raises(ForeignRegistry):
        publisher.publish("fraud", model(tmp_path, "2"))
    Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", model(tmp_path, "other"))
    with pytest.raises(ForeignRegistry):
        publisher.publish("fraud", model(tmp_path, "2"))
    assert log_of(store).head == 1


def test_a_store_that_was_restored_to_an_older_state_is_refused(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    publisher.publish("fraud", model(tmp_path, "2"))
    store.delete(keys.log_entry("fraud", 2))
    with pytest.raises(ForeignRegistry):
        publisher.publish("fraud", model(tmp_path, "3"))
    assert log_of(store).head == 1
