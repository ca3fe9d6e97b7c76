"""Text that a terminal shows and does not obey."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelcast.schemas.text.printable import escaped_json, is_printable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07gone", "[2J]0;ownedgone"),
        ("\x9b31mred", "31mred"),
        ("over\rwritten", "overwritten"),
        ("\u202etxt.exe", "txt.exe"),
        ("Grüße\tan\nalle 🎉", "Grüße\tan\nalle 🎉"),
    ],
)
def test_what_a_terminal_would_obey_goes_and_the_rest_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_what_is_printable_is_left_alone_and_all_becomes_printable(text: str) -> None:
    assert is_printable(printable(text))
    assert (printable(text) == text) == is_printable(text)


@given(st.dictionaries(st.text(), st.text()))
@example({"\x7f": "\x9b"})
def test_escaped_json_says_the_same_and_is_printable(data: dict[str, str]) -> None:
    text = escaped_json(json.dumps(data, ensure_ascii=False))
    assert is_printable(text)
    assert json.loads(text) == data
