"""The status words of consumer groups: those of LinkedIn's Burrow."""

from enum import StrEnum


class GroupWord(StrEnum):
    """Worst first."""

    STOP = "STOP"
    STALL = "STALL"
    REWIND = "REWIND"
    ERR = "ERR"
    WARN = "WARN"
    NONE = "NONE"
    OK = "OK"


GROUP_WORDS: dict[GroupWord, str] = {
    GroupWord.STOP: "records wait, and the group has no member",
    GroupWord.STALL: "records wait, and the group has read none of them for a minute",
    GroupWord.REWIND: "the group went back to older records",
    GroupWord.ERR: "Kafka does not say how far the group has read",
    GroupWord.WARN: "the group reads, but falls further behind",
    GroupWord.NONE: "the group has never committed an offset",
    GroupWord.OK: "the group has read everything, or catches up",
}
_RANK = {word: place for place, word in enumerate(GroupWord)}


def group_rank(word: GroupWord) -> int:
    """0: the worst."""
    return _RANK[word]
