"""Text from elsewhere, made harmless for a terminal: models, pods and people may say anything about themselves."""

import re

# C0 (without tab and newline), DEL, C1, and what turns the direction of writing or begins a line unseen.
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"[\t\n]")  # the others are commands


def is_printable(text: str) -> bool:
    """Whether a terminal would show ``text`` and obey none of it."""
    return text.isprintable() or not _COMMANDS.search(text)


def printable(text: str) -> str:
    """``text`` without the characters that a terminal obeys instead of showing; tabs and newlines stay."""
    return text if text.isprintable() else _COMMANDS.sub("", text)


def escaped_json(text: str) -> str:
    """JSON with those characters as ``\\u…`` escapes, which say the same to a program."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """``text`` without line breaks and tabs: a space stands for each."""
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def bounded(text: str, chars_max: int) -> str:
    """``text`` as a record can hold it: printable, at most so many characters, all of which UTF-8 can write."""
    return printable(text[:chars_max]).encode("utf-8", "replace").decode()
