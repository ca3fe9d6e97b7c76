"""Weights beside an ONNX model that lie elsewhere than before: they are found, and cost what the change costs."""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from modelcast.deltas import codec as delta
from modelcast.deltas.publish import layouts
from modelcast.deltas.publish.add import add_deltas
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publication, Publisher
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ByteStream
from modelcast.schemas.records import ModelUpdate
from tests.producers.fakes import Heard, HookedStore
from tests.support.records.pairs import weights

onnx = pytest.importorskip("onnx")

Weights = Mapping[str, NDArray[np.float32]]
Publish = Callable[[Path], Publication]

LAYERS = {f"layer{i}": weights(120_000, seed=i) for i in range(6)}
HEAD = {"head": weights(30_000, seed=99)}
INSERTED = {**HEAD, **LAYERS}
RENAMED = {f"onnx::MatMul_{i}": values for i, values in enumerate(LAYERS.values())}
OTHER = b"\x1a\x00"  # behind a model: another file of the same layout
REORDERED = {name: LAYERS[name] for name in ("layer4", "layer1", "layer5", "layer0", "layer3", "layer2")}


def trained(layers: Weights) -> Weights:
    """One value in a hundred moves a little."""
    found = {}
    for i, (name, values) in enumerate(layers.items()):
        moved = values.copy()
        moved[:: 100 + i] *= np.float32(1.001)
        found[name] = moved
    return found


def saved(folder: Path, layers: Weights, data: str = "model.data") -> Path:
    """An artifact: the graph, and its weights in a file beside it (in the graph, if that has no name)."""
    folder.mkdir(parents=True)
    nodes = [onnx.helper.make_node("Add", ["x", name], [f"{name}.out"]) for name in layers]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [onnx.numpy_helper.from_array(v, k) for k, v in layers.items()])
    model = onnx.helper.make_model(graph, producer_name="tests")
    outside = {"save_as_external_data": True, "size_threshold": 0, "location": data} if data else {}
    onnx.save_model(model, folder / "model.onnx", **outside)
    return folder


class ReadStore(HookedStore):
    """Remembers what was read from it, and refuses one object."""

    def __init__(self, inner: MemoryStore, refused: str = "") -> None:
        super().__init__(inner)
        self.read: list[str] = []
        self.refused = refused

    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        self.read.append(key)
        if key == self.refused:
            raise StoreUnavailable("the store does not answer", subject=key)
        return super().open(key, start=start, length=length, etag=etag)


def settings(folder: Path, **publish: object) -> Settings:
    section = PublishSettings.model_validate(
        {"base_cache_dir": folder / "bases", "allow_unknown": ("*",), "delta_bases": (1,), **publish}
    )
    return Settings(stores={"origin": StoreSettings(url="s3://unused")}, publish=section)


@pytest.fixture
def publish(tmp_path: Path, store: MemoryStore, heard: Heard) -> Publish:
    publisher = Publisher(settings(tmp_path), store=store, announcer=heard)
    return lambda folder: publisher.publish("fraud", folder)


def sizes_of(store: MemoryStore, done: Publication) -> dict[str, int]:
    """Of the deltas that have a base, by the path that they make."""
    body = store.get(keys.manifest(done.manifest_digest), size_max=10**6)
    assert body is not None
    paths = {f.digest: f.path for f in Manifest.decode(body.body, expected_digest=done.manifest_digest).files}
    found = {}
    for info in store.list(keys.delta_prefix(done.manifest_digest)):
        parsed = keys.parse_delta(info.key)
        assert parsed is not None
        if parsed[2] is not None:
            found[paths[parsed[1]]] = info.size_bytes
    return found


def check_rebuilds(store: MemoryStore, done: Publication, old: Path, new: Path, folder: Path) -> None:
    """Every delta makes the very file of what a region had."""
    had = {sha256_of(p.read_bytes()): p for p in old.iterdir()}
    for info in store.list(keys.delta_prefix(done.manifest_digest)):
        parsed = keys.parse_delta(info.key)
        body = store.get(info.key, size_max=10**8)
        assert parsed is not None
        assert body is not None
        (folder / "delta").write_bytes(body.body)
        base = had[parsed[2]] if parsed[2] else None
        delta.apply(base, folder / "delta", folder / "out", expected_digest=parsed[1])
        assert (folder / "out").read_bytes() in {p.read_bytes() for p in new.iterdir()}


@pytest.mark.parametrize(
    ("layers", "before", "after"),
    [
        pytest.param(INSERTED, "model.data", "model.data", id="inserted"),
        pytest.param(REORDERED, "model.data", "model.data", id="reordered", marks=pytest.mark.soak),
        pytest.param(INSERTED, "model.data", "weights.bin", id="renamed", marks=pytest.mark.soak),
        pytest.param(INSERTED, "old.data", "new.data", id="renamed-alike"),
        pytest.param(RENAMED, "model.data", "model.data", id="tensors-renamed"),
        pytest.param(LAYERS, "model.data", "", id="moved-in"),
        pytest.param(LAYERS, "", "model.data", id="moved-out", marks=pytest.mark.soak),
        pytest.param(INSERTED, "", "model.data", id="moved-out-inserted"),
    ],
)
def test_weights_that_moved_cost_a_region_what_a_delta_of_the_folders_costs(
    layers: Weights, before: str, after: str, publish: Publish, store: MemoryStore, tmp_path: Path
) -> None:
    old = saved(tmp_path / "old", LAYERS, before)
    new = saved(tmp_path / "new", trained(layers), after)
    publish(old)
    done = publish(new)
    where = after or "model.onnx"
    size = sizes_of(store, done)[where]
    folders = delta.make(old, new, tmp_path / "folders.delta")
    assert size < 0.2 * (new / where).stat().st_size
    assert size < folders.delta_size_bytes  # which has the graph and an index besides
    assert folders.delta_size_bytes - size < (new / "model.onnx").stat().st_size + 2000 if after else True
    check_rebuilds(store, done, old, new, tmp_path)


def test_what_is_new_in_a_file_is_estimated_as_whole(
    publish: Publish, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    grown = {"front": weights(500_000, seed=98), **LAYERS}
    publish(saved(tmp_path / "old", LAYERS))
    done = publish(saved(tmp_path / "new", trained(grown)))
    size = sizes_of(store, done)["model.data"]
    update = heard.records[-1]
    assert isinstance(update, ModelUpdate)
    hint = next(h for h in update.delta_hints if h.base_version == 1)
    assert 0.7 * size < hint.size_bytes < 1.4 * size


def test_a_base_that_is_read_from_the_origin_has_its_layout_too(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED))
    Publisher(settings(tmp_path / "a"), store=store, announcer=heard).publish("fraud", old)
    elsewhere = Publisher(settings(tmp_path / "b"), store=store, announcer=heard)
    sizes = sizes_of(store, elsewhere.publish("fraud", new))
    assert sizes["model.data"] < 0.2 * (new / "model.data").stat().st_size


def test_the_old_model_is_kept_beside_the_weights_and_not_read_again(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED))
    hooked = ReadStore(store)
    publisher = Publisher(settings(tmp_path, base_fetch_size_max_bytes=0), store=hooked, announcer=heard)
    publisher.publish("fraud", old)
    sizes = sizes_of(store, publisher.publish("fraud", new))
    assert sizes["model.data"] < 0.2 * (new / "model.data").stat().st_size
    assert hooked.read == []


@pytest.mark.parametrize("after", ["weights.bin", ""])
def test_deltas_that_are_added_later_find_weights_that_moved(
    after: str, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED), after)
    plain = Publisher(settings(tmp_path / "a", deltas=False), store=store, announcer=heard)
    plain.publish("fraud", old)
    done = plain.publish("fraud", new)
    later = partial(add_deltas, settings(tmp_path / "b", base_fetch_size_max_bytes=0), store=store)
    (made,) = later("fraud", 2, bases=(1,))
    assert sizes_of(store, done) == {after or "model.onnx": made.size_bytes}
    assert made.size_bytes < 0.2 * made.whole_bytes
    check_rebuilds(store, done, old, new, tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
def test_a_damaged_model_beside_the_base_is_brought_anew(
    damage: str, publish: Publish, store: MemoryStore, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED))
    publish(old)
    spoil(tmp_path / "bases" / "sha256" / sha256_of((old / "model.onnx").read_bytes())[7:], damage)
    sizes = sizes_of(store, publish(new))
    assert sizes["model.data"] < 0.2 * (new / "model.data").stat().st_size


@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
def test_where_the_old_model_can_t_be_had_the_new_one_s_layout_is_tried(
    damage: str, publish: Publish, store: MemoryStore, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(LAYERS))
    publish(old)
    digest = sha256_of((old / "model.onnx").read_bytes())
    (tmp_path / "bases" / "sha256" / digest[7:]).unlink()
    (new / "model.onnx").write_bytes((new / "model.onnx").read_bytes() + OTHER)
    body = store.get(keys.blob(digest), size_max=10**6)
    assert body is not None
    store.delete(keys.blob(digest))
    spoilt = {"flipped": body.body[:-1] + bytes([body.body[-1] ^ 1]), "cut off": body.body[:-9], "gone": b""}[damage]
    if spoilt:
        (tmp_path / "spoilt").write_bytes(spoilt)
        store.upload(keys.blob(digest), tmp_path / "spoilt", size_bytes=len(spoilt), digest=sha256_of(spoilt))
    done = publish(new)
    assert sizes_of(store, done)["model.data"] < 0.2 * (new / "model.data").stat().st_size
    check_rebuilds(store, done, old, new, tmp_path)


def test_a_huge_model_is_not_brought_for_its_layout(
    store: MemoryStore, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED))
    Publisher(settings(tmp_path / "a"), store=store, announcer=heard).publish("fraud", old)
    hooked = ReadStore(store)
    monkeypatch.setattr(layouts, "MODELS_BYTES_MAX", (old / "model.onnx").stat().st_size - 1)
    Publisher(settings(tmp_path / "b"), store=hooked, announcer=heard).publish("fraud", new)
    assert hooked.read == [keys.blob(sha256_of((old / "model.data").read_bytes()))]


def test_an_origin_that_will_not_give_the_old_model_costs_only_bytes(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(LAYERS))
    Publisher(settings(tmp_path), store=store, announcer=heard).publish("fraud", old)
    model = sha256_of((old / "model.onnx").read_bytes())
    (tmp_path / "bases" / "sha256" / model[7:]).unlink()
    (new / "model.onnx").write_bytes((new / "model.onnx").read_bytes() + OTHER)
    refusing = ReadStore(store, keys.blob(model))
    done = Publisher(settings(tmp_path), store=refusing, announcer=heard).publish("fraud", new)
    assert sizes_of(store, done)["model.data"] < 0.2 * (new / "model.data").stat().st_size
    assert done.notes == ()


@pytest.mark.parametrize(
    "lie",
    [
        "beyond the end",
        *(pytest.param(each, marks=pytest.mark.soak) for each in ("all at the start", "swapped", "outside")),
        "no protobuf",
    ],
)
def test_an_old_model_that_lies_costs_bytes_but_never_a_wrong_file(
    lie: str, publish: Publish, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Publishers refuse some of these; who wrote the old version may have looked less closely.
    monkeypatch.setattr(sys.modules["modelcast.producers.artifact.scan"], "check_external_data", lambda *_: None)
    old, new = saved(tmp_path / "old", LAYERS), saved(tmp_path / "new", trained(INSERTED))
    path = old / "model.onnx"
    model = onnx.load_model(path, load_external_data=False)
    entries = [{e.key: e for e in t.external_data} for t in model.graph.initializer]
    offsets = [e["offset"].value for e in entries]
    for entry, other in zip(entries, reversed(offsets), strict=True):
        if lie == "outside":
            entry["location"].value = "../../etc/model.data"
        else:
            entry["offset"].value = {"beyond the end": "9" * 15, "all at the start": "0"}.get(lie, other)
    path.write_bytes(b"\x08" + b"\xff" * 500_000 if lie == "no protobuf" else model.SerializeToString())
    publish(old)
    done = publish(new)
    assert done.notes == ()
    check_rebuilds(store, done, old, new, tmp_path)


def spoil(path: Path, damage: str) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(body) if damage == "flipped" else bytes(body[: len(body) // 2]))
