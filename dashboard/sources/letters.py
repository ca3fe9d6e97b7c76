"""Dead letters as they are shown: together by topic and reason, the newest first."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.infra.kafka.dead_letters import StoredDeadLetter

LINES_EACH = 20
DETAIL_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class LetterReplay:
    """One time that a letter was sent back."""

    at_us: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class LetterLine:
    """One dead letter, without its bytes.

    Attributes:
        offset: its place.
        received_at_us: when Kafka received it, UTC microseconds.
        partition: where the record stood.
        source_offset: where in that partition.
        detail: what was wrong, for people; may come from strangers.
        reported_by: who could not use it.
        size_bytes: of the record.
        replays: when it was sent back, by whom.
    """

    offset: int
    received_at_us: int
    partition: int
    source_offset: int
    detail: str
    reported_by: str
    size_bytes: int
    replays: tuple[LetterReplay, ...]


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Letters from one topic for one reason; times are when Kafka received the first and the last of them."""

    topic: str
    reason: str
    count: int
    first_us: int
    last_us: int
    letters: tuple[LetterLine, ...]


def letter_groups(stored: Iterable[StoredDeadLetter]) -> tuple[LetterGroup, ...]:
    """The groups, the one with the newest letter first, each with its newest letters."""
    found: dict[tuple[str, str], list[StoredDeadLetter]] = defaultdict(list)
    for each in stored:
        found[each.letter.source_topic, each.letter.reason].append(each)
    groups = (
        LetterGroup(
            topic[:100],
            reason[:100],
            len(members),
            min(m.received_at_us for m in members),
            max(m.received_at_us for m in members),
            tuple(_line(m) for m in sorted(members, key=_offset, reverse=True)[:LINES_EACH]),
        )
        for (topic, reason), members in found.items()
    )
    return tuple(sorted(groups, key=lambda group: (-group.last_us, group.topic, group.reason)))


def _offset(stored: StoredDeadLetter) -> int:
    return stored.offset


def _line(stored: StoredDeadLetter) -> LetterLine:
    letter = stored.letter
    return LetterLine(
        stored.offset,
        stored.received_at_us,
        letter.source_partition,
        letter.source_offset,
        letter.detail[:DETAIL_CHARS_MAX],
        letter.reported_by[:100],
        letter.raw_size_bytes,
        tuple(LetterReplay(replay.at_us, replay.by[:200], replay.reason[:300]) for replay in stored.replays),
    )
