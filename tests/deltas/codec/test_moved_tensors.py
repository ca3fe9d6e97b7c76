"""Experts of one shape that change their order, their names or their places: found by what they hold."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from modelcast.deltas import codec as delta
from modelcast.deltas.codec.folders import renames
from modelcast.deltas.codec.layouts.safetensors import safetensors_layout
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, write

EXPERTS, VALUES = 200, 4096
Values = NDArray[np.float32]


def experts(count: int = EXPERTS, values: int = VALUES, seed: int = 0) -> list[Values]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(values) * 0.02).astype(np.float32) for _ in range(count)]


def stepped(before: list[Values]) -> list[Values]:
    return [adam_step(expert, 1e-5, seed) for seed, expert in enumerate(before)]


def file_of(values: list[Values], name: str = "layers.0.experts.{}.w", order: list[int] | None = None) -> bytes:
    places = order or list(range(len(values)))
    return safetensors_bytes({name.format(i): ("BF16", bf16(values[place])) for i, place in enumerate(places)})


def size_of(old: bytes, new: bytes, tmp_path: Path) -> int:
    before, after = write(tmp_path / "old", old), write(tmp_path / "new", new)
    info = delta.make(before, after, tmp_path / "delta")
    delta.apply(before, tmp_path / "delta", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == new
    return info.delta_size_bytes


def shuffled(count: int = EXPERTS, seed: int = 7) -> list[int]:
    return np.random.default_rng(seed).permutation(count).tolist()


@pytest.mark.parametrize("name", ["model.moe.{}.weight", "layers.0.experts.{}.w"], ids=["renamed", "places-changed"])
def test_experts_in_another_order_cost_what_they_cost_in_the_same(tmp_path: Path, name: str) -> None:
    before = experts()
    after = stepped(before)
    straight = size_of(file_of(before), file_of(after), tmp_path)
    moved = size_of(file_of(before), file_of(after, name, shuffled()), tmp_path)
    assert moved < 1.1 * straight


def test_experts_that_only_changed_places_cost_next_to_nothing(tmp_path: Path) -> None:
    before = experts()
    assert size_of(file_of(before), file_of(before, order=shuffled()), tmp_path) < 0.02 * len(file_of(before))


def test_experts_that_began_as_copies_of_one_layer_are_made_of_it(tmp_path: Path) -> None:
    dense = experts(1)
    copies = [adam_step(dense[0], 1e-5, seed) for seed in range(8)]
    whole = 8 * 2 * VALUES
    assert size_of(file_of(dense, "mlp.{}.w"), file_of(copies), tmp_path) < 0.4 * whole


def test_what_was_trained_anew_under_its_name_stays_its_name_s(tmp_path: Path) -> None:
    before, after = experts(), experts(seed=1)
    layouts = [safetensors_layout(memoryview(file_of(values))) for values in (before, after)]
    assert layouts[0] is not None
    assert layouts[1] is not None
    pairs = list(zip(layouts[0].tensors, layouts[1].tensors, strict=True))
    found = renames.matched_by_content(memoryview(file_of(before)), memoryview(file_of(after)), [], [], pairs)
    assert found == {}


def test_the_work_grows_with_the_experts_and_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    candidates = renames._Bands.candidates

    def counted(self: renames._Bands, row: renames.Samples) -> NDArray[np.int64]:
        found = candidates(self, row)
        compared.append(len(found))
        return found

    monkeypatch.setattr(renames._Bands, "candidates", counted)
    before = experts(1000, 256)
    order = shuffled(1000)
    old, new = file_of(before, "a.{}"), file_of(stepped(before), "b.{}", order)
    layouts = [safetensors_layout(memoryview(each)) for each in (old, new)]
    assert layouts[0] is not None
    assert layouts[1] is not None
    found = renames.matched_by_content(memoryview(old), memoryview(new), layouts[0].tensors, layouts[1].tensors)
    assert {new: old.name for new, old in found.items()} == {f"b.{i}": f"a.{place}" for i, place in enumerate(order)}
    assert sum(compared) <= 1000 * renames.COMPARED_MAX


def test_a_small_disk_for_temporary_files_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    before = experts(3)
    old, new = write(tmp_path / "old", file_of(before)), write(tmp_path / "new", file_of(stepped(before)))
    delta.make(old, new, tmp_path / "delta")
    for name, path in (("olds", old), ("news", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w").write_bytes(path.read_bytes())
    delta.make(tmp_path / "olds", tmp_path / "news", tmp_path / "deltas")
    delta.apply(tmp_path / "olds", tmp_path / "deltas", tmp_path / "out")
    assert (tmp_path / "out/w").read_bytes() == new.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"old", "new", "delta", "olds", "news", "deltas", "out"}
