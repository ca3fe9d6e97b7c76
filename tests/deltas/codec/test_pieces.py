"""Files of others are read in pieces: one that becomes shorter is an error, where a mapped one would be the end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.deltas.codec.pieces import WINDOW_BYTES, in_pieces
from modelcast.schemas.errors import ContentError, NotFound

BODY = bytes(range(256)) * (WINDOW_BYTES // 64)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pieces") / "file"
    path.write_bytes(BODY)
    return path


places = st.integers(-len(BODY) - 5, len(BODY) + 5)


@given(places, places, st.lists(st.integers(0, len(BODY) - 1), max_size=20))
def test_it_gives_what_a_view_of_the_bytes_gives(file: Path, start: int, stop: int, at: list[int]) -> None:
    view = memoryview(BODY)
    with in_pieces(file) as data:
        assert len(data) == len(view)
        assert data[start:stop] == view[start:stop]
        assert [data[n] for n in at] == [view[n] for n in at]
        for outside in (len(view), len(view) + 7):
            with pytest.raises(IndexError):
                data[outside]


def test_one_that_becomes_shorter_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(BODY)
    with in_pieces(path) as data:
        assert data[0] == 0
        path.write_bytes(b"short")
        for read in (lambda: data[len(BODY) - 1], lambda: data[:]):
            with pytest.raises(ContentError, match="became shorter") as told:
                read()
            assert told.value.subject == str(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotFound), in_pieces(path):
            pass
