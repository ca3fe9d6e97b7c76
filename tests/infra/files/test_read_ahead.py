"""A file read in pieces, one ahead."""

from pathlib import Path
from random import Random

import pytest

from modelcast.infra.files.read_ahead import AHEAD_PIECES, PIECE_BYTES, pieces, wanted_soon


@pytest.mark.parametrize("size_bytes", [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 17, (AHEAD_PIECES + 3) * PIECE_BYTES])
def test_all_of_it_comes_in_order(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(Random(1).randbytes(size_bytes))
    with path.open("rb") as file:
        assert b"".join(bytes(piece) for piece in pieces(file.fileno())) == path.read_bytes()


def test_a_piece_stays_what_it_is_while_it_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(Random(2).randbytes(20 * PIECE_BYTES))
    with path.open("rb") as file:
        for number, piece in enumerate(pieces(file.fileno())):
            before = bytes(piece)
            assert before == path.read_bytes()[number * PIECE_BYTES :][:PIECE_BYTES]
            assert bytes(piece) == before


def test_who_stops_early_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(5 * PIECE_BYTES))
    with path.open("rb") as file:
        reading = pieces(file.fileno())
        next(reading)
        reading.close()  # type: ignore[attr-defined]


def test_a_disk_that_fails_is_heard_of(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as only_written, pytest.raises(OSError, match="Bad file descriptor"):
        next(pieces(only_written.fileno()))


def test_asking_in_advance_never_fails(tmp_path: Path) -> None:
    wanted_soon(-1, 0, 10)
