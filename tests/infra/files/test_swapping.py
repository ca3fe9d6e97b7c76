"""Two folders change names in one step."""

from pathlib import Path

import pytest

from modelcast.infra.files import exchange


def test_each_has_the_others_name(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (one / "a").touch()
    other.mkdir()
    assert exchange(one, other)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("a")] == ["other/a"]


def test_what_is_absent_is_an_error_and_not_a_system_that_can_not(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    with pytest.raises(FileNotFoundError, match="other"):
        exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one").exists()
