"""What a publisher asks of an accelerator, and that it does without."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from modelcast.infra import accelerators
from modelcast.infra.settings import Settings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publication, Publisher, Unannounced
from modelcast.producers.accelerator import Additions
from modelcast.producers.artifact import Artifact
from modelcast.producers.step_timer import StepTimer
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import DeltaHint
from tests.producers.fakes import SETTINGS, Heard, HookedStore
from tests.producers.published import log_of, model


@dataclass(frozen=True)
class Shortcut:
    """What the accelerator of these tests adds."""

    files: int = 1
    size_bytes: int = 10


ADDED = Shortcut()


class Noting:
    """An accelerator, and what it does for a publication: notes which calls come, and what is there when they do."""

    made: ClassVar[list["Noting"]] = []

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self.store, self.calls = store, list[str]()
        self.wanted: bool | None = None
        self.made.append(self)

    def accelerate(self, model: str, artifact: Artifact, *, wanted: bool | None) -> "Noting":
        self.calls.append(f"accelerate {model}")
        self.wanted = wanted
        return self

    def beside(self, log: ModelLog, version: int) -> None:
        self.calls.append(f"beside {version} after {log.head}")

    def before(self, timer: StepTimer) -> tuple[DeltaHint, ...]:
        self.calls.append(f"before, with {len(list(self.store.list('registry/fraud/')))} entries")
        return (DeltaHint(1, 10),)

    def after(self, publication: Publication, timer: StepTimer) -> Additions:
        told = "announced" if publication.announced else "unannounced"
        self.calls.append(f"after {publication}, {told}, with {len(list(self.store.list('registry/fraud/')))} entries")
        return Additions((ADDED,), ("a remark",))

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> "list[Noting]":
    monkeypatch.setattr(Noting, "made", [])
    monkeypatch.setattr(accelerators, "load_accelerator", lambda name: Noting if name == "publish" else None)
    return Noting.made


def test_it_works_beside_the_upload_before_the_claim_and_after_the_announcement(
    noting: "list[Noting]", publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    done = publisher.publish("fraud", model(tmp_path, "1"), accelerate=True)
    (mine,) = noting
    assert mine.calls == [
        "accelerate fraud",
        "beside 1 after 0",
        "before, with 0 entries",
        "after fraud/1, announced, with 1 entries",
        "close",
    ]
    assert mine.wanted is True
    assert (done.additions, done.notes) == ((ADDED,), ("a remark",))
    assert log_of(store).updates[1].delta_hints == (DeltaHint(1, 10),)


def test_one_is_made_for_all_publications_of_a_publisher(
    noting: "list[Noting]", publisher: Publisher, tmp_path: Path
) -> None:
    for content in ("1", "2"):
        publisher.publish("fraud", model(tmp_path, content))
    assert len(noting) == 1
    assert noting[0].wanted is None


def test_what_is_published_already_is_claimed_by_nobody_and_may_still_gain(
    noting: "list[Noting]", publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("fraud", model(tmp_path, "1"))
    noting[0].calls.clear()
    assert publisher.publish("fraud", model(tmp_path, "1")).additions == (ADDED,)
    assert [call.split()[0] for call in noting[0].calls] == ["accelerate", "beside", "after", "close"]


def test_it_learns_that_an_announcement_failed_and_adds_nothing_to_the_error(
    noting: "list[Noting]", publisher: Publisher, heard: Heard, tmp_path: Path
) -> None:
    heard.away = True
    with pytest.raises(Unannounced) as caught:
        publisher.publish("fraud", model(tmp_path, "1"))
    assert noting[0].calls[-2:] == ["after fraud/1, unannounced, with 1 entries", "close"]
    assert caught.value.publication is not None
    assert caught.value.publication.additions == ()


def test_it_is_closed_when_the_publication_fails(
    noting: "list[Noting]", store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    def broken(call: str, key: str) -> None:
        if call == "put" and "/log/" in key:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        Publisher(SETTINGS, store=HookedStore(store, before=broken), announcer=heard).publish(
            "fraud", model(tmp_path, "1")
        )
    assert noting[0].calls[-1] == "close"


def test_a_dry_run_needs_none(noting: "list[Noting]", publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish("fraud", model(tmp_path, "1"), dry_run=True)
    assert noting == []


def test_without_one_everything_is_published_whole(
    publisher: Publisher, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerators, "load_accelerator", lambda name: None)
    (tmp_path / "large").write_bytes(bytes(2_000_000))
    done = publisher.publish("fraud", tmp_path, accelerate=True)
    assert (done.announced, done.additions, done.notes) == (True, (), ())
    assert list(store.list("deltas/")) == []
    assert log_of(store).updates[1].delta_hints == ()
