"""What lies beside an artifact once it is published, and what becomes of it when things go wrong."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import onnx
import pytest

from modelcast.infra import delta
from modelcast.infra.registry import RegistryReader
from modelcast.infra.settings import PublishSettings, Settings, StoreSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, Unannounced
from modelcast.producers import publisher as publisher_module
from modelcast.producers.deltas import base_cache, maker, regions, run
from modelcast.producers.deltas.copies import Copies
from modelcast.producers.deltas.making import Making
from modelcast.producers.deltas.offers import DeltaMade
from modelcast.producers.deltas.timing import Link
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, Refused
from modelcast.schemas.records import ModelUpdate
from tests.infra.delta.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.producers.fakes import Heard, HookedStore

VALUES = 300_000


def settings(folder: Path, **publish: object) -> Settings:
    section = PublishSettings.model_validate({"base_cache_dir": folder / "bases", **publish})
    return Settings(stores={"origin": StoreSettings(url="s3://unused")}, publish=section)


@pytest.fixture
def publisher(tmp_path: Path, store: MemoryStore, heard: Heard) -> Publisher:
    return Publisher(settings(tmp_path), store=store, announcer=heard)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """A training job: the folder's model after so many steps; the tokenizer never changes."""
    folder = tmp_path / "model"

    def write(steps: int, name: str = "model.safetensors") -> Path:
        folder.mkdir(exist_ok=True)
        values = weights(VALUES)
        for step in range(steps):
            values = adam_step(values, 1e-5, seed=step)
        (folder / name).write_bytes(safetensors_bytes({"w": ("BF16", bf16(values))}))
        (folder / "tokenizer.bin").write_bytes(np.random.default_rng(0).bytes(400_000))
        return folder

    return write


class Watcher:
    """Notes which steps begin, and which deltas it is told of."""

    def __init__(self, told: list[DeltaMade]) -> None:
        self.begun: list[str] = []
        self._told = told

    def step(self, name: str, total_bytes: int = 0) -> None:
        self.begun.append(name)

    def advance(self, done_bytes: int) -> None: ...

    def delta(self, made: DeltaMade) -> None:
        self._told.append(made)


def waits_for_one(monkeypatch: pytest.MonkeyPatch, patience_seconds: float = 120.0) -> None:
    """Announcements wait for the first delta."""
    monkeypatch.setattr(run, "wait_for", lambda whole, offers, links: 1)
    monkeypatch.setattr(run, "PATIENCE_SECONDS", patience_seconds)


def offers_in(store: MemoryStore, digest: str) -> dict[tuple[str, str | None], str]:
    """(new, old) digest to key of all that lies beside an artifact."""
    found = {}
    for info in store.list(keys.delta_prefix(digest)):
        parsed = keys.parse_delta(info.key)
        assert parsed is not None
        found[parsed[1], parsed[2]] = info.key
    return found


def updates(heard: Heard) -> list[ModelUpdate]:
    return [r for r in heard.records if isinstance(r, ModelUpdate)]


def test_a_step_of_training_lies_in_the_store_as_a_small_delta_that_makes_the_very_file(
    publisher: Publisher, store: MemoryStore, heard: Heard, train: Callable[..., Path], tmp_path: Path
) -> None:
    old = (train(0) / "model.safetensors").read_bytes()
    publisher.publish("fraud", train(0))
    new = (train(1) / "model.safetensors").read_bytes()
    done = publisher.publish("fraud", train(1))
    key = offers_in(store, done.manifest_digest)[sha256_of(new), sha256_of(old)]
    body = store.get(key, size_max=10**7)
    assert body is not None
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "delta").write_bytes(body.body)
    delta.apply(tmp_path / "old", tmp_path / "delta", tmp_path / "out", expected_digest=sha256_of(new))
    offer = next(d for d in done.deltas if d.base_version == 1)
    assert (offer.files, offer.size_bytes, offer.whole_bytes) == (1, len(body.body), len(new))
    assert offer.ratio > 5
    hint = next(h for h in updates(heard)[-1].delta_hints if h.base_version == 1)
    assert 0.3 * offer.size_bytes < hint.size_bytes < 3 * offer.size_bytes


def test_the_first_version_is_offered_compressed_where_that_pays(
    publisher: Publisher, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    folder = train(0)
    done = publisher.publish("fraud", folder)
    model = sha256_of((folder / "model.safetensors").read_bytes())
    assert set(offers_in(store, done.manifest_digest)) == {(model, None)}  # the tokenizer is noise
    assert [d.base_version for d in done.deltas] == [0]
    assert [h.base_version for h in updates(heard)[-1].delta_hints] == [0]


def test_a_file_that_did_not_change_is_neither_moved_nor_compressed_again(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(500_000))
    (tmp_path / "model" / "head").write_bytes(b"1")
    assert [d.base_version for d in publisher.publish("fraud", tmp_path / "model").deltas] == [0]
    (tmp_path / "model" / "head").write_bytes(b"2")
    second = publisher.publish("fraud", tmp_path / "model")
    assert (second.uploaded_bytes, second.deltas) == (1, ())
    assert offers_in(store, second.manifest_digest) == {}


def test_deltas_start_as_many_versions_back_as_set(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    with Publisher(settings(tmp_path, delta_bases=(1, 3)), store=store, announcer=heard) as publisher:
        for steps in range(4):
            done = publisher.publish("fraud", train(steps))
    assert [d.base_version for d in done.deltas] == [3, 1, 0]


def test_what_regions_hold_is_a_base_too(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions.Regions, "links", lambda *_: (Link("eu", 0.0, frozenset({1})),))
    for steps in range(3):
        done = publisher.publish("fraud", train(steps))
    assert [d.base_version for d in done.deltas] == [1, 2, 0]


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
    monkeypatch.setattr(publisher_module, "SMALL_SIZE_BYTES", 0)
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
    assert [d.base_version for d in done.deltas] == [1, 0]
    assert [(m.path, m.base_version) for m in told] == [("model.safetensors", 1), ("model.safetensors", 0)]


def test_a_delta_that_takes_much_longer_than_was_thought_holds_no_announcement_up(
    publisher: Publisher, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch, patience_seconds=0.0)
    monkeypatch.setattr(run, "PATIENCE", 0.0)
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
    assert [d.base_version for d in done.deltas] == [1, 0]
    assert [m.base_version for m in told] == [1, 0]
    assert watcher.begun == ["scan", "upload", "deltas", "claim", "announce", "close", "deltas", "deltas", "keep"]


def test_what_a_watcher_raises_is_told_and_no_delta_is_lost(
    publisher: Publisher, store: MemoryStore, train: Callable[..., Path]
) -> None:
    class Clumsy(Watcher):
        def delta(self, made: DeltaMade) -> None:
            super().delta(made)
            raise RuntimeError("a bug in what shows it")

    publisher.publish("fraud", train(0))
    told: list[DeltaMade] = []
    with pytest.raises(RuntimeError, match="a bug in what shows it"):
        publisher.publish("fraud", train(1), progress=Clumsy(told))
    assert len(told) == 2
    again = publisher.publish("fraud", train(1))
    assert (again.created, again.deltas) == (False, ())
    assert len(offers_in(store, again.manifest_digest)) == 2


def test_where_no_thread_can_be_had_deltas_are_made_after_the_announcement_or_not_at_all(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch)

    def none_left(_: Making) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Making, "begin", none_left)
    done = publisher.publish("fraud", train(1))
    assert done.announced
    assert [d.base_version for d in done.deltas] == [1, 0]


@pytest.mark.parametrize("bases", [{}, {"base_cache_size_max_bytes": 0}], ids=["bases are kept", "none are kept"])
def test_a_file_that_is_shortened_while_deltas_are_made_of_it_ends_no_training_job(
    tmp_path: Path,
    store: MemoryStore,
    heard: Heard,
    train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    bases: dict[str, int],
) -> None:
    """Whoever reads a mapped file that becomes shorter dies of SIGBUS: deltas are made of copies."""
    publisher = Publisher(settings(tmp_path, **bases), store=store, announcer=heard)
    publisher.publish("fraud", train(0))
    make, folder = delta.make, train(1)

    def shortened(*args: Any, **more: Any) -> Any:
        if not str(args[2]).endswith("sample.delta"):
            os.truncate(folder / "model.safetensors", 10)
            assert args[1] != folder / "model.safetensors"
        return make(*args, **more)

    monkeypatch.setattr(delta, "make", shortened)
    done = publisher.publish("fraud", folder)
    assert [d.base_version for d in done.deltas] == [1, 0]


def test_where_the_disk_has_no_room_for_a_copy_no_delta_is_made_and_the_version_is_published(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: full)
    done = publisher.publish("fraud", train(0))
    assert (done.announced, done.deltas) == (True, ())
    assert any("no room" in note for note in done.notes)


def test_no_base_goes_for_the_copy_that_its_delta_is_made_of(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    """There is room for one version of the two."""
    room = settings(tmp_path, base_cache_size_max_bytes=VALUES * 2 + 500_000, base_fetch_size_max_bytes=0)
    with Publisher(room, store=store, announcer=heard) as publisher:
        made = [[d.base_version for d in publisher.publish("fraud", train(n)).deltas] for n in range(4)]
    assert made == [[0], [1, 0], [2, 0], [3, 0]]
    assert list((tmp_path / "bases" / "scratch").iterdir()) == []


def test_as_many_copies_are_held_as_could_become_bases_and_the_others_one_at_a_time(tmp_path: Path) -> None:
    cache = base_cache.BaseCache(settings(tmp_path, base_cache_size_max_bytes=250).publish)
    copies = Copies(cache)
    files = []
    for number in range(4):
        path = tmp_path / f"file{number}"
        path.write_bytes(bytes([number]) * 100)
        files.append((path, sha256_of(path.read_bytes())))
    held = [copies.of(*file) for file in files]
    assert [path.exists() for path in held] == [False, False, True, True]
    assert copies.of(*files[1]).read_bytes() == files[1][0].read_bytes()
    assert [path.exists() for path in held] == [False, True, False, True]
    large = tmp_path / "large"
    large.write_bytes(bytes(1000))
    alone = copies.of(large, sha256_of(large.read_bytes()))
    assert alone.read_bytes() == large.read_bytes()
    assert list(alone.parent.iterdir()) == [alone]
    copies.close()
    assert not alone.parent.exists()


def test_a_copy_that_is_kept_outlives_bases_that_were_used_before(tmp_path: Path) -> None:
    cache = base_cache.BaseCache(settings(tmp_path, base_cache_size_max_bytes=250).publish)
    copies = Copies(cache)
    bodies = [bytes([number]) * 100 for number in range(3)]
    old, new, third = ((tmp_path / f"file{n}", sha256_of(body)) for n, body in enumerate(bodies))
    for (path, _), body in zip((old, new, third), bodies, strict=True):
        path.write_bytes(body)
    cache.keep(*old, 100)
    copies.of(*new)
    os.utime(copies.of(*new), (1, 1))
    assert cache.find(old[1], 100) is not None
    assert copies.keep(new[1], 100)
    assert cache.keep(*third, 100)
    assert [cache.find(digest, 100) is not None for _, digest in (old, new, third)] == [False, True, True]
    copies.of(*new)
    assert copies.keep(new[1], 100)  # a base already: nothing has to go for it
    assert [cache.find(digest, 100) is not None for _, digest in (old, new, third)] == [False, True, True]


def test_a_publication_that_fails_leaves_nobody_behind_who_reads_its_files(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Publisher(settings(tmp_path), store=store, announcer=heard) as publisher:
        publisher.publish("fraud", train(0))
    waits_for_one(monkeypatch)
    monkeypatch.setattr(publisher_module, "SMALL_SIZE_BYTES", 0)
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
    monkeypatch.setattr(maker.delta, "make", endless)
    monkeypatch.setattr(maker, "sampled_ratio", lambda *_: 0.1)
    before = {thread.name for thread in threading.enumerate()}
    with (
        Publisher(settings(tmp_path), store=HookedStore(store, before=deny), announcer=heard) as publisher,
        pytest.raises(Refused),
    ):
        publisher.publish("fraud", folder)
    assert ended.is_set()
    assert "deltas" not in {thread.name for thread in threading.enumerate()} - before
    assert len(updates(heard)) == 1


def test_a_rerun_makes_the_deltas_that_are_missing_and_no_others(
    publisher: Publisher, store: MemoryStore, train: Callable[..., Path]
) -> None:
    publisher.publish("fraud", train(0))
    first = publisher.publish("fraud", train(1))
    assert publisher.publish("fraud", train(1)).deltas == ()
    lost = next(key for (_, old), key in offers_in(store, first.manifest_digest).items() if old is not None)
    store.delete(lost)
    again = publisher.publish("fraud", train(1))
    assert (again.created, again.version) == (False, 2)
    assert [d.base_version for d in again.deltas] == [1]
    assert store.head(lost) is not None


def test_a_base_that_is_not_kept_here_is_read_from_the_origin_if_it_may(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    Publisher(settings(tmp_path / "a"), store=store, announcer=heard).publish("fraud", train(0))
    far = Publisher(settings(tmp_path / "b", base_fetch_size_max_bytes=0), store=store, announcer=heard)
    assert [d.base_version for d in far.publish("fraud", train(1)).deltas] == [0]
    near = Publisher(settings(tmp_path / "c", base_cache_size_max_bytes=0), store=store, announcer=heard)
    assert [d.base_version for d in near.publish("fraud", train(2)).deltas] == [2, 0]


def test_a_base_that_was_damaged_here_is_dropped_and_never_made_a_delta_of(
    publisher: Publisher, store: MemoryStore, train: Callable[..., Path], tmp_path: Path
) -> None:
    folder = train(0)
    old = sha256_of((folder / "model.safetensors").read_bytes())
    publisher.publish("fraud", folder)
    kept = tmp_path / "bases" / "sha256" / old[7:]
    kept.write_bytes(bytes(kept.stat().st_size))
    done = publisher.publish("fraud", train(1))
    assert old not in {key[1] for key in offers_in(store, done.manifest_digest)}
    assert not kept.exists()
    assert [d.base_version for d in publisher.publish("fraud", train(1)).deltas] == [1]  # from the origin's


def test_the_file_may_be_written_over_by_the_next_run_and_stays_a_base(
    publisher: Publisher, train: Callable[..., Path], store: MemoryStore
) -> None:
    publisher.publish("fraud", train(0))
    store.delete(keys.blob(sha256_of((train(0) / "model.safetensors").read_bytes())))  # so that it must be here
    assert [d.base_version for d in publisher.publish("fraud", train(1)).deltas] == [1, 0]


def test_a_renamed_file_has_a_delta_too(publisher: Publisher, train: Callable[..., Path]) -> None:
    publisher.publish("fraud", train(0))
    folder = train(1, "renamed.safetensors")
    (folder / "model.safetensors").unlink()
    assert [d.base_version for d in publisher.publish("fraud", folder).deltas] == [1, 0]


def test_new_bytes_that_share_nothing_with_the_old_have_no_delta(publisher: Publisher, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "noise.bin").write_bytes(rng.bytes(600_000))
    publisher.publish("fraud", tmp_path / "noise.bin")
    (tmp_path / "noise.bin").write_bytes(rng.bytes(600_000))
    assert publisher.publish("fraud", tmp_path / "noise.bin").deltas == ()


def test_a_store_that_takes_no_deltas_still_takes_the_version(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    def deny(call: str, key: str) -> None:
        if key.startswith("deltas/") and call != "list":
            raise Refused("the store denied access", subject=key)

    hooked = HookedStore(store, before=deny)
    done = Publisher(settings(tmp_path), store=hooked, announcer=heard).publish("fraud", train(0))
    assert (done.announced, done.deltas) == (True, ())
    assert any("publish again" in note for note in done.notes)


def test_what_breaks_inside_the_codec_breaks_no_publication(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(delta, "make", broken)
    done = publisher.publish("fraud", train(0))
    assert (done.announced, done.deltas) == (True, ())


def test_with_kafka_away_the_bases_are_kept_and_a_rerun_makes_the_deltas(
    publisher: Publisher, heard: Heard, train: Callable[..., Path]
) -> None:
    publisher.publish("fraud", train(0))
    heard.away = True
    with pytest.raises(Unannounced):
        publisher.publish("fraud", train(1))
    heard.away = False
    assert [d.base_version for d in publisher.publish("fraud", train(1)).deltas] == [1, 0]


def test_none_are_made_where_that_is_switched_off_or_files_are_small(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    off = Publisher(settings(tmp_path, deltas=False), store=store, announcer=heard)
    assert off.publish("fraud", train(0)).deltas == ()
    small = Publisher(settings(tmp_path, delta_size_min_bytes=10**8), store=store, announcer=heard)
    assert small.publish("fraud", train(1)).deltas == ()
    assert list(store.list("deltas/")) == []
    assert not (tmp_path / "bases").exists()
    assert all(u.delta_hints == () for u in updates(heard))
    assert off.publish("fraud", train(1), deltas=True).deltas != ()


def test_a_version_that_was_published_without_deltas_is_a_base_of_the_next(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    publisher = Publisher(settings(tmp_path, base_fetch_size_max_bytes=0), store=store, announcer=heard)
    assert publisher.publish("fraud", train(0), deltas=False).deltas == ()
    assert list(store.list("deltas/")) == []
    assert updates(heard)[-1].delta_hints == ()
    assert [d.base_version for d in publisher.publish("fraud", train(1)).deltas] == [1, 0]


def test_each_delta_is_told_while_it_is_made(publisher: Publisher, train: Callable[..., Path]) -> None:
    told: list[DeltaMade] = []
    publisher.publish("fraud", train(0))
    watcher = Watcher(told)
    publisher.publish("fraud", train(1), progress=watcher)
    assert [(m.path, m.base_version) for m in told] == [("model.safetensors", 1), ("model.safetensors", 0)]
    assert watcher.begun == ["scan", "upload", "claim", "announce", "close", "deltas", "keep"]


def test_hints_name_what_a_region_would_bring(publisher: Publisher, heard: Heard, train: Callable[..., Path]) -> None:
    publisher.publish("fraud", train(0))
    publisher.publish("fraud", train(1))
    hints = {h.base_version: h.size_bytes for h in updates(heard)[-1].delta_hints}
    assert set(hints) == {1, 0}
    assert (
        hints[1] < 2 * VALUES / 5 < 400_000 < hints[0] < 400_000 + 2 * VALUES
    )  # whoever has nothing brings both files


# --- deltas of what was published before ------------------------------------------------------------------------


def test_deltas_of_an_old_version_can_be_added_later_from_any_older_one(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    plain = Publisher(settings(tmp_path, deltas=False), store=store, announcer=heard)
    for steps in range(4):
        plain.publish("fraud", train(steps))
    log = RegistryReader(store).tail("fraud").log
    later = Publisher(settings(tmp_path, base_fetch_size_max_bytes=0), store=store, announcer=heard)
    assert [d.base_version for d in later.add_deltas("fraud", 3, bases=(1,))] == [1]
    assert [d.base_version for d in later.add_deltas("fraud", 3)] == [2, 0]
    assert later.add_deltas("fraud", 3) == ()
    assert RegistryReader(store).tail("fraud").log == log
    assert len(heard.said) == 4


def test_deltas_that_are_added_later_find_the_tensors_in_onnx_s_external_data(
    tmp_path: Path, store: MemoryStore, heard: Heard
) -> None:
    values, folder = weights(VALUES), tmp_path / "model"
    folder.mkdir()

    def save() -> Path:
        graph = onnx.helper.make_graph([], "g", [], [], [onnx.numpy_helper.from_array(values, "w")])
        path = folder / "model.onnx"
        onnx.save_model(onnx.helper.make_model(graph), path, save_as_external_data=True, location="w.bin")
        return folder

    plain = Publisher(settings(tmp_path, deltas=False), store=store, announcer=heard)
    plain.publish("fraud", save())
    (folder / "w.bin").unlink()
    values = adam_step(values, 1e-5, seed=1)
    plain.publish("fraud", save())
    later = Publisher(settings(tmp_path), store=store, announcer=heard)
    (made,) = later.add_deltas("fraud", 2, bases=(1,))
    assert made.size_bytes < 0.6 * values.nbytes  # as bytes like any others: nine tenths, and no delta


def test_versions_that_are_not_there_or_not_older_are_named(publisher: Publisher, train: Callable[..., Path]) -> None:
    publisher.publish("fraud", train(0))
    publisher.publish("fraud", train(1))
    with pytest.raises(NotFound, match="fraud/9"):
        publisher.add_deltas("fraud", 9)
    with pytest.raises(NotFound, match="fraud/7"):
        publisher.add_deltas("fraud", 2, bases=(7,))
    with pytest.raises(NotFound, match="fraud/2"):
        publisher.add_deltas("fraud", 1, bases=(2,))
