"""Replays of dead letters: who sent one back to where it came from, when and why.

A replay leaves two traces. The record that was sent carries it in its headers. And a note stands on the
``dead-letters`` topic itself, behind the letter that it is about, so that a list of the letters shows which were
replayed. A note is a record with the key ``replayed`` and a JSON value; software that knows of none skips it as it
skips whatever it can't read.
"""

from dataclasses import dataclass

import orjson

from modelcast.schemas.topics import Topic

NOTE_KEY = "replayed"
NOTE_SIZE_MAX = 8 * 1024
REASON_MAX = 1024


@dataclass(frozen=True, slots=True)
class Replay:
    """One time that a letter was sent again. ``at_us`` is the cluster's clock."""

    offset: int
    at_us: int
    by: str
    reason: str


def headers(offset: int, by: str, reason: str) -> dict[str, bytes]:
    """What the record that is sent again carries."""
    return {
        "modelcast-replayed-from": f"{Topic.DEAD_LETTERS}@{offset}".encode(),
        "modelcast-replayed-by": by.encode(),
        "modelcast-replay-reason": reason.encode(),
    }


def encode_note(offset: int, by: str, reason: str) -> bytes:
    """The value of the note about a replay."""
    return orjson.dumps({"replayed_offset": offset, "by": by, "reason": reason})


def read_note(key: bytes | None, value: bytes | None, at_us: int) -> Replay | None:
    """The replay that a record on ``dead-letters`` notes; None if it is no such note."""
    if key != NOTE_KEY.encode() or not value or len(value) > NOTE_SIZE_MAX:
        return None
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    match fields:
        case {"replayed_offset": int(offset), "by": str(by), "reason": str(reason)}:
            return Replay(offset, at_us, by, reason)
    return None
