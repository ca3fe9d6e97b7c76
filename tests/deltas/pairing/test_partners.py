"""What each new file is made of."""

from collections.abc import Mapping

from modelcast.deltas.pairing.partners import HOLDERS_MAX, FileTensors, partners


def held(digest: str, size: int = 1000, tensors: Mapping[str, int] | None = None) -> FileTensors:
    return FileTensors(size, digest, tensors)


A, B = {"a": 600, "b": 300}, {"c": 500, "d": 400}


def test_the_same_bytes_come_first_and_those_of_its_path_before_others() -> None:
    old = {"x": held("1"), "y": held("1"), "z": held("2")}
    assert partners({"y": held("1"), "z": held("1"), "new": held("2")}, old) == {"y": "y", "z": "x", "new": "z"}


def test_a_file_comes_from_its_path_if_that_may_hold_any_of_its_tensors() -> None:
    new = {"m": held("9", tensors=A)}
    elsewhere = held("2", tensors=A)
    assert partners(new, {"m": held("1", tensors={"b": 300}), "n": elsewhere}) == {"m": "m"}
    assert partners(new, {"m": held("1", tensors=None), "n": elsewhere}) == {"m": "m"}
    assert partners(new, {"m": held("1", tensors={}), "n": elsewhere}) == {"m": "n"}
    assert partners(new, {"m": held("1", tensors=B), "n": elsewhere}) == {"m": "n"}
    assert partners(new, {"m": held("1", tensors=B), "n": held("2", tensors={})}) == {"m": "m"}


def test_weights_that_are_spread_over_files_all_come_from_the_one_that_held_them() -> None:
    new = {"m": held("7", tensors={}), "1": held("8", tensors={"a": 600}), "2": held("9", tensors={"b": 300})}
    assert partners(new, {"m": held("1", tensors=A)}) == {"m": "m", "1": "m", "2": "m"}


def test_a_file_that_was_renamed_comes_from_the_one_that_holds_most_of_its_tensors() -> None:
    old = {"p.x": held("1", tensors=A), "q.x": held("2", tensors=B)}
    assert partners({"n.y": held("9", 10, B | {"new": 100})}, old) == {"n.y": "q.x"}
    assert partners({"n.y": held("9", 10, {"a": 600, "new": 700})}, old) == {}


def test_where_tensors_do_not_tell_files_apart_kind_size_and_name_do() -> None:
    old = {"enc/m.bin": held("1", tensors=A), "dec/m.bin": held("2", tensors=A)}
    new = {"decoder/m.bin": held("8", tensors=A), "encoder/m.bin": held("9", tensors=A)}
    assert partners(new, old) == {"encoder/m.bin": "enc/m.bin", "decoder/m.bin": "dec/m.bin"}
    many = {f"{i}.x": held(str(i), tensors={"w": 10}) for i in range(HOLDERS_MAX + 1)}
    assert partners({"n.y": held("new", tensors={"w": 10})}, many) == {}


def test_a_file_that_tensors_matched_is_not_given_away_again() -> None:
    old = {"a.bin": held("1", tensors=A)}
    assert partners({"n.x": held("8", tensors=A), "n.bin": held("9")}, old) == {"n.x": "a.bin"}


def test_empty_files_are_the_origin_of_none_but_empty_ones() -> None:
    old = {"e": held("0", 0), "f": held("0", 0)}
    assert partners({"e": held("9"), "g": held("0", 0)}, old) == {"g": "e"}
