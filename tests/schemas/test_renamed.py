"""Which old file became which new one."""

from modelcast.schemas.renamed import renamed


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
