"""What is known of blocks that have begun survives whoever wrote it, and is never believed too far."""

from pathlib import Path

import pytest

from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from tests.consumers.fetch.publishing import MIB

SIZE = 3 * MIB + 5


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "aside" / "x.begun"


def test_what_was_noted_is_read_by_the_next(place: Path) -> None:
    journal = ResumeJournal(place, SIZE)
    journal.note('"etag"', 2, 4096)
    journal.note('"etag"', 0, MIB)
    journal.note('"etag"', 2, 8192)
    assert ResumeJournal(place, SIZE).read() == ('"etag"', {0: MIB, 2: 8192})
    later = ResumeJournal(place, SIZE)
    later.note('"etag"', 3, 5)
    assert later.read() == ('"etag"', {0: MIB, 2: 8192, 3: 5})


def test_another_object_begins_anew(place: Path) -> None:
    ResumeJournal(place, SIZE).note("one", 0, 17)
    other = ResumeJournal(place, SIZE)
    other.note("two", 1, 18)
    assert other.read() == ("two", {1: 18})
    assert ResumeJournal(place, SIZE + 1).read() == ("", {})


def test_nothing_is_known_of_what_nobody_began(place: Path) -> None:
    journal = ResumeJournal(place, SIZE)
    assert journal.read() == ("", {})
    assert not journal.is_there()
    journal.note("x", 0, 1)
    assert journal.is_there()
    journal.forget()
    assert not journal.is_there()
    assert journal.read() == ("", {})


def test_once_begun_anew_nothing_is_known(place: Path) -> None:
    journal = ResumeJournal(place, SIZE)
    journal.note("x", 0, 1)
    journal.begin()
    assert journal.is_there()
    assert journal.read() == ("", {})
    journal.note("x", 1, 2)
    assert journal.read() == ("x", {1: 2})


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: b"XXXX" + data[4:],
        lambda data: data + b"\x01",
        lambda data: data[:14] + b"\xff\xfe" + data[16:],
    ],
    ids=["empty", "short", "other magic", "torn", "no text"],
)
def test_a_damaged_one_says_nothing(place: Path, damage: object) -> None:
    ResumeJournal(place, SIZE).note("mark", 0, 1)
    place.write_bytes(damage(place.read_bytes()))  # type: ignore[operator]
    assert ResumeJournal(place, SIZE).read() == ("", {})


def test_more_than_a_block_holds_is_not_believed(place: Path) -> None:
    journal = ResumeJournal(place, SIZE)
    journal.note("x", 0, MIB + 1)
    journal.note("x", 1, MIB)
    journal.note("x", 3, 6)  # it has 5
    journal.note("x", 4, 1)  # there is none
    assert journal.read() == ("x", {1: MIB})


def test_where_it_cannot_be_noted_it_only_comes_again(tmp_path: Path) -> None:
    (tmp_path / "aside").write_text("a file where the folder should be")
    journal = ResumeJournal(tmp_path / "aside" / "x.begun", SIZE)
    journal.note("x", 0, 1)
    assert journal.read() == ("", {})
