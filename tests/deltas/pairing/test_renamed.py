"""Which old file became which new one."""

from posixpath import commonprefix

import pytest

from modelcast.deltas.pairing import renamed as renamed_files
from modelcast.deltas.pairing.renamed import renamed


def test_the_nearest_in_size_of_its_kind_is_meant() -> None:
    old = {"a.bin": 100, "b.bin": 90, "c.json": 95}
    new = {"x.bin": 98, "y.bin": 91, "z.JSON": 60, "w.json": 47}
    assert renamed(new, old) == {"x.bin": "a.bin", "y.bin": "b.bin", "z.JSON": "c.json"}
    assert renamed({"w.json": 47}, old) == {}


def test_among_equal_sizes_the_name_decides() -> None:
    old = {f"m-{i}-of-3.bin": 100 for i in (1, 2, 3)}
    new = {f"step-2/n-{i}-of-3.bin": 100 for i in (3, 2, 1)}
    assert renamed(new, old) == {f"step-2/n-{i}-of-3.bin": f"m-{i}-of-3.bin" for i in (1, 2, 3)}


def test_one_old_file_is_named_once_and_empty_ones_never() -> None:
    assert renamed({"x": 10, "y": 10, "empty": 0}, {"a": 10, "nothing": 0}) == {"x": "a"}


def test_a_thousand_files_of_one_size_are_told_apart_by_their_names_with_little_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(renamed_files, "commonprefix", lambda names: asked.append(names) or commonprefix(names))
    old = {f"experts.{i}.weight.bin": 100 for i in range(1000)}
    new = {f"moe/experts.{i}.weight.bin": 100 for i in reversed(range(1000))}
    assert renamed(new, old) == {f"moe/experts.{i}.weight.bin": f"experts.{i}.weight.bin" for i in range(1000)}
    assert len(asked) < 40_000


def test_who_finds_the_nearest_taken_gets_another() -> None:
    old = {f"{i:03}.bin": 100 for i in range(200)}
    new = {f"zzz-{i}.bin": 100 for i in range(200)}
    found = renamed(new, old)
    assert found.keys() == new.keys()
    assert set(found.values()) == old.keys()


def test_sizes_further_off_count_if_they_are_alike() -> None:
    assert renamed({"x.bin": 100}, {"near.bin": 45, "alike.bin": 190}) == {"x.bin": "alike.bin"}
