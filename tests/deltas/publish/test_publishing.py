"""What lies beside an artifact once it is published, and what becomes of it when things go wrong."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.publish import regions
from modelcast.deltas.publish.add import add_deltas
from modelcast.deltas.publish.planning.timing import RegionLink
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, Unannounced
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, Refused
from tests.deltas.publish.training import VALUES, offers_in, settings, updates
from tests.producers.fakes import Heard, HookedStore
from tests.support.records.pairs import adam_step, weights


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
    offer = next(d for d in done.additions if d.base_version == 1)
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
    assert [d.base_version for d in done.additions] == [0]
    assert [h.base_version for h in updates(heard)[-1].delta_hints] == [0]


def test_a_file_that_did_not_change_is_neither_moved_nor_compressed_again(
    publisher: Publisher, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(500_000))
    (tmp_path / "model" / "head").write_bytes(b"1")
    assert [d.base_version for d in publisher.publish("fraud", tmp_path / "model").additions] == [0]
    (tmp_path / "model" / "head").write_bytes(b"2")
    second = publisher.publish("fraud", tmp_path / "model")
    assert (second.uploaded_bytes, second.additions) == (1, ())
    assert offers_in(store, second.manifest_digest) == {}


def test_deltas_start_as_many_versions_back_as_set(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    with Publisher(settings(tmp_path, delta_bases=(1, 3)), store=store, announcer=heard) as publisher:
        for steps in range(4):
            done = publisher.publish("fraud", train(steps))
    assert [d.base_version for d in done.additions] == [3, 1, 0]


def test_what_regions_hold_is_a_base_too(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions.KnownRegions, "links", lambda *_: (RegionLink("eu", 0.0, frozenset({1})),))
    for steps in range(3):
        done = publisher.publish("fraud", train(steps))
    assert [d.base_version for d in done.additions] == [1, 2, 0]


def test_a_rerun_makes_the_deltas_that_are_missing_and_no_others(
    publisher: Publisher, store: MemoryStore, train: Callable[..., Path]
) -> None:
    publisher.publish("fraud", train(0))
    first = publisher.publish("fraud", train(1))
    assert publisher.publish("fraud", train(1)).additions == ()
    lost = next(key for (_, old), key in offers_in(store, first.manifest_digest).items() if old is not None)
    store.delete(lost)
    again = publisher.publish("fraud", train(1))
    assert (again.created, again.version) == (False, 2)
    assert [d.base_version for d in again.additions] == [1]
    assert store.head(lost) is not None


def test_a_base_that_is_not_kept_here_is_read_from_the_origin_if_it_may(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    Publisher(settings(tmp_path / "a"), store=store, announcer=heard).publish("fraud", train(0))
    far = Publisher(settings(tmp_path / "b", base_fetch_size_max_bytes=0), store=store, announcer=heard)
    assert [d.base_version for d in far.publish("fraud", train(1)).additions] == [0]
    near = Publisher(settings(tmp_path / "c", base_cache_size_max_bytes=0), store=store, announcer=heard)
    assert [d.base_version for d in near.publish("fraud", train(2)).additions] == [2, 0]


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
    assert [d.base_version for d in publisher.publish("fraud", train(1)).additions] == [1]  # from the origin's


def test_the_file_may_be_written_over_by_the_next_run_and_stays_a_base(
    publisher: Publisher, train: Callable[..., Path], store: MemoryStore
) -> None:
    publisher.publish("fraud", train(0))
    store.delete(keys.blob(sha256_of((train(0) / "model.safetensors").read_bytes())))  # so that it must be here
    assert [d.base_version for d in publisher.publish("fraud", train(1)).additions] == [1, 0]


def test_a_renamed_file_has_a_delta_too(publisher: Publisher, train: Callable[..., Path]) -> None:
    publisher.publish("fraud", train(0))
    folder = train(1, "renamed.safetensors")
    (folder / "model.safetensors").unlink()
    assert [d.base_version for d in publisher.publish("fraud", folder).additions] == [1, 0]


def test_new_bytes_that_share_nothing_with_the_old_have_no_delta(publisher: Publisher, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "noise.bin").write_bytes(rng.bytes(600_000))
    publisher.publish("fraud", tmp_path / "noise.bin")
    (tmp_path / "noise.bin").write_bytes(rng.bytes(600_000))
    assert publisher.publish("fraud", tmp_path / "noise.bin").additions == ()


def test_a_store_that_takes_no_deltas_still_takes_the_version(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    def deny(call: str, key: str) -> None:
        if key.startswith("deltas/") and call != "list":
            raise Refused("the store denied access", subject=key)

    hooked = HookedStore(store, before=deny)
    done = Publisher(settings(tmp_path), store=hooked, announcer=heard).publish("fraud", train(0))
    assert (done.announced, done.additions) == (True, ())
    assert any("publish again" in note for note in done.notes)


def test_what_breaks_inside_the_codec_breaks_no_publication(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(delta, "make", broken)
    done = publisher.publish("fraud", train(0))
    assert (done.announced, done.additions) == (True, ())


def test_with_kafka_away_the_bases_are_kept_and_a_rerun_makes_the_deltas(
    publisher: Publisher, heard: Heard, train: Callable[..., Path]
) -> None:
    publisher.publish("fraud", train(0))
    heard.away = True
    with pytest.raises(Unannounced):
        publisher.publish("fraud", train(1))
    heard.away = False
    assert [d.base_version for d in publisher.publish("fraud", train(1)).additions] == [1, 0]


def test_none_are_made_where_that_is_switched_off_or_files_are_small(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    off = Publisher(settings(tmp_path, deltas=False), store=store, announcer=heard)
    assert off.publish("fraud", train(0)).additions == ()
    small = Publisher(settings(tmp_path, delta_size_min_bytes=10**8), store=store, announcer=heard)
    assert small.publish("fraud", train(1)).additions == ()
    assert list(store.list("deltas/")) == []
    assert not (tmp_path / "bases").exists()
    assert all(u.delta_hints == () for u in updates(heard))
    assert off.publish("fraud", train(1), accelerate=True).additions != ()


def test_a_version_that_was_published_without_deltas_is_a_base_of_the_next(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    publisher = Publisher(settings(tmp_path, base_fetch_size_max_bytes=0), store=store, announcer=heard)
    assert publisher.publish("fraud", train(0), accelerate=False).additions == ()
    assert list(store.list("deltas/")) == []
    assert updates(heard)[-1].delta_hints == ()
    assert [d.base_version for d in publisher.publish("fraud", train(1)).additions] == [1, 0]


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
    later = partial(add_deltas, settings(tmp_path, base_fetch_size_max_bytes=0), store=store)
    assert [d.base_version for d in later("fraud", 3, bases=(1,))] == [1]
    assert [d.base_version for d in later("fraud", 3)] == [2, 0]
    assert later("fraud", 3) == ()
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
    later = partial(add_deltas, settings(tmp_path), store=store)
    (made,) = later("fraud", 2, bases=(1,))
    assert made.size_bytes < 0.6 * values.nbytes  # as bytes like any others: nine tenths, and no delta


def test_versions_that_are_not_there_or_not_older_are_named(
    publisher: Publisher, train: Callable[..., Path], tmp_path: Path, store: MemoryStore
) -> None:
    later = partial(add_deltas, settings(tmp_path), store=store)
    publisher.publish("fraud", train(0))
    publisher.publish("fraud", train(1))
    with pytest.raises(NotFound, match="fraud/9"):
        later("fraud", 9)
    with pytest.raises(NotFound, match="fraud/7"):
        later("fraud", 2, bases=(7,))
    with pytest.raises(NotFound, match="fraud/2"):
        later("fraud", 1, bases=(2,))
