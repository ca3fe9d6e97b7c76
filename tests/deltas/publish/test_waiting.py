"""Deltas that an announcement waits for are made beside the upload, and whoever watches is told of each."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.publish import builder, planner, publication
from modelcast.deltas.publish.job import DeltaJob
from modelcast.deltas.publish.reports import DeltaMade
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from modelcast.producers.publish import publishing
from modelcast.schemas.errors import Refused
from tests.deltas.publish.training import Watcher, offers_in, settings, updates, waits_for_one
from tests.producers.fakes import Heard, HookedStore


def test_a_delta_that_a_slow_region_needs_is_up_when_it_is_announced(
    publisher: Publisher, store: MemoryStore, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish("fraud", train(0))
    seen: list[int] = []

    def announce(topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        heard.said.append((topic, key, value))
        digest = updates(heard)[-1].artifact.manifest_digest
        seen.append(sum(old is not None for _, old in offers_in(store, digest)))

    monkeypatch.setattr(heard, "announce", announce)
    publisher.publish("fraud", train(1))
    waits_for_one(monkeypatch)
    publisher.publish("fraud", train(2))
    assert seen == [0, 1]


def test_what_the_announcement_waits_for_is_made_beside_the_upload(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_for_one(monkeypatch)
    monkeypatch.setattr(publishing, "SMALL_SIZE_BYTES", 0)
    delta_is_up = Event()

    def held_up(call: str, key: str) -> None:
        if call == "upload" and key.startswith("blobs/") and updates(heard):
            assert delta_is_up.wait(120)

    def noticed(call: str, key: str) -> None:
        if call == "upload" and key.startswith("deltas/"):
            delta_is_up.set()

    hooked = HookedStore(store, before=held_up, after=noticed)
    told: list[DeltaMade] = []
    with Publisher(settings(tmp_path), store=hooked, announcer=heard) as publisher:
        publisher.publish("fraud", train(0))
        delta_is_up.clear()
        done = publisher.publish("fraud", train(1), progress=Watcher(told))
    assert [d.base_version for d in done.additions] == [1, 0]
    assert [(m.path, m.base_version) for m in told] == [("model.safetensors", 1), ("model.safetensors", 0)]


def test_a_delta_that_takes_much_longer_than_was_thought_holds_no_announcement_up(
    publisher: Publisher, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch, patience_seconds=0.0)
    monkeypatch.setattr(publication, "PATIENCE", 0.0)
    make, announced = delta.make, Event()

    def slow(*args: Any, **more: Any) -> Any:
        if not str(args[2]).endswith("sample.delta"):
            assert announced.wait(120)
        return make(*args, **more)

    def announce(topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        heard.said.append((topic, key, value))
        announced.set()

    monkeypatch.setattr(delta, "make", slow)
    monkeypatch.setattr(heard, "announce", announce)
    told: list[DeltaMade] = []
    watcher = Watcher(told)
    done = publisher.publish("fraud", train(1), progress=watcher)
    assert [d.base_version for d in done.additions] == [1, 0]
    assert [m.base_version for m in told] == [1, 0]
    assert watcher.begun == [
        "scan",
        "scan",
        "upload",
        "deltas",
        "claim",
        "announce",
        "close",
        "deltas",
        "deltas",
        "keep",
    ]


def test_what_a_watcher_raises_is_told_and_no_delta_is_lost(
    publisher: Publisher, store: MemoryStore, train: Callable[..., Path]
) -> None:
    class Clumsy(Watcher):
        def added(self, made: DeltaMade) -> None:
            super().added(made)
            raise RuntimeError("a bug in what shows it")

    publisher.publish("fraud", train(0))
    told: list[DeltaMade] = []
    with pytest.raises(RuntimeError, match="a bug in what shows it"):
        publisher.publish("fraud", train(1), progress=Clumsy(told))
    assert len(told) == 2
    again = publisher.publish("fraud", train(1))
    assert (again.created, again.additions) == (False, ())
    assert len(offers_in(store, again.manifest_digest)) == 2


def test_where_no_thread_can_be_had_deltas_are_made_after_the_announcement_or_not_at_all(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch)

    def none_left(_: DeltaJob) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(DeltaJob, "begin", none_left)
    done = publisher.publish("fraud", train(1))
    assert done.announced
    assert [d.base_version for d in done.additions] == [1, 0]


def test_a_publication_that_fails_leaves_nobody_behind_who_reads_its_files(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Publisher(settings(tmp_path), store=store, announcer=heard) as publisher:
        publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch)
    monkeypatch.setattr(publishing, "SMALL_SIZE_BYTES", 0)
    encoding, ended = Event(), Event()

    def endless(*_: object, check: Callable[[], None], **__: object) -> None:
        encoding.set()
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                check()
        finally:
            ended.set()

    def deny(call: str, key: str) -> None:
        if call == "upload" and key.startswith("blobs/"):
            assert encoding.wait(60)
            raise Refused("the store denied access", subject=key)

    folder = train(1)
    monkeypatch.setattr(builder.delta, "make", endless)
    monkeypatch.setattr(planner, "sampled_ratio", lambda *_: 0.1)
    before = {thread.name for thread in threading.enumerate()}
    with (
        Publisher(settings(tmp_path), store=HookedStore(store, before=deny), announcer=heard) as publisher,
        pytest.raises(Refused),
    ):
        publisher.publish("fraud", folder)
    assert ended.is_set()
    assert "deltas" not in {thread.name for thread in threading.enumerate()} - before
    assert len(updates(heard)) == 1


def test_each_delta_is_told_while_it_is_made(publisher: Publisher, train: Callable[..., Path]) -> None:
    told: list[DeltaMade] = []
    publisher.publish("fraud", train(0))
    watcher = Watcher(told)
    publisher.publish("fraud", train(1), progress=watcher)
    assert [(m.path, m.base_version) for m in told] == [("model.safetensors", 1), ("model.safetensors", 0)]
    assert watcher.begun == ["scan", "scan", "upload", "claim", "announce", "close", "deltas", "keep"]
