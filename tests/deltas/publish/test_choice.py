"""Which versions deltas start from, and which file predicts which."""

from dataclasses import replace

import pytest

from modelcast.deltas.publish.planning.choice import BASES_MAX, bases_of, file_pairs
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.records import ArtifactRef, ModelUpdate

MIB = 1024 * 1024


def log_of(versions: dict[int, str], quarantined: tuple[int, ...] = ()) -> ModelLog:
    log = ModelLog("fraud", "r")
    for generation, (version, content) in enumerate(versions.items(), 1):
        digest = sha256_of(content.encode())
        artifact = ArtifactRef("origin", f"manifests/{digest}", digest, 10, 1, "")
        log = log.apply(ModelUpdate("r", f"e{generation}", "fraud", version, generation, artifact, 1))
    return replace(log, quarantined=dict.fromkeys(quarantined, 99))


def entry(path: str, content: str, size: int = MIB) -> FileEntry:
    return FileEntry(path, size, sha256_of(content.encode()), ())


def pairs(new: list[FileEntry], old: list[FileEntry], size_min: int = 0) -> dict[str, str | None]:
    found = file_pairs(Manifest(tuple(new)), Manifest(tuple(old)), size_min_bytes=size_min)
    return {p.new.path: p.old.path if p.old else None for p in found}


TWENTY = {v: f"bytes {v}" for v in range(1, 21)}
NEW = sha256_of(b"new")


def test_bases_are_one_four_and_sixteen_versions_back() -> None:
    assert bases_of(log_of(TWENTY), 21, NEW, (1, 4, 16)) == (20, 17, 5)


def test_versions_that_were_left_out_do_not_count_as_steps_back() -> None:
    assert bases_of(log_of({1: "a", 5: "b", 30: "c"}), 31, NEW, (1, 2, 3, 4)) == (30, 5, 1)


def test_what_regions_hold_comes_first_and_once() -> None:
    assert bases_of(log_of(TWENTY), 21, NEW, (1, 4), (9, 20, 77)) == (9, 20, 17)


def test_a_quarantined_version_is_a_base_only_where_a_region_holds_it() -> None:
    log = log_of(TWENTY, quarantined=(20,))
    assert bases_of(log, 21, NEW, (1,)) == (19,)
    assert bases_of(log, 21, NEW, (1,), (20,)) == (20, 19)


def test_only_older_versions_with_other_bytes_are_bases() -> None:
    log = log_of({1: "a", 2: "b", 3: "a", 4: "d"})
    assert bases_of(log, 3, sha256_of(b"a"), (1, 2)) == (2,)
    assert bases_of(log, 5, NEW, (1, 2, 3, 4)) == (4, 3, 2)


def test_there_are_never_too_many() -> None:
    assert len(bases_of(log_of(TWENTY), 21, NEW, tuple(range(1, 20)))) == BASES_MAX


def test_files_are_matched_by_path_and_unchanged_ones_need_nothing() -> None:
    old = [entry("a", "a1"), entry("b", "b1"), entry("moved", "same")]
    new = [entry("a", "a2"), entry("b", "b1"), entry("elsewhere", "same")]
    assert pairs(new, old) == {"a": "a"}


def test_a_renamed_shard_is_matched_by_its_kind_and_size() -> None:
    old = [entry("m-1-of-2.safetensors", "x", 100), entry("m-2-of-2.safetensors", "y", 60), entry("t.json", "j", 100)]
    new = [
        entry("m-1-of-3.safetensors", "x2", 98),
        entry("m-2-of-3.safetensors", "y2", 61),
        entry("m-3-of-3.safetensors", "z", 4),
    ]
    assert pairs(new, old) == {
        "m-1-of-3.safetensors": "m-1-of-2.safetensors",
        "m-2-of-3.safetensors": "m-2-of-2.safetensors",
        "m-3-of-3.safetensors": None,
    }


def test_small_and_empty_files_travel_whole() -> None:
    new = [entry("a", "a2", 10), entry("e", "", 0), entry("b", "b2", 100)]
    assert pairs(new, [entry("b", "b1", 0)], size_min=11) == {"b": None}
    assert pairs(new, []) == {"a": None, "b": None}


@pytest.mark.parametrize("size", [49, 201])
def test_a_file_of_quite_another_size_is_not_taken_for_a_renamed_one(size: int) -> None:
    assert pairs([entry("new.bin", "n", size)], [entry("old.bin", "o", 100)]) == {"new.bin": None}
