"""The newest dead letters, as far as they are a problem: what came lately and was not sent back. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.dashboard.view.problems import REASON_CHARS_MAX, Problem
from modelcast.schemas.quantities import plural
from modelcast.schemas.statuses import Status

KEPT_MAX = 200
PROBLEM_SECONDS = 3600.0
"""What lies there for longer is told by the number of letters alone."""


@dataclass(frozen=True, slots=True)
class SeenLetter:
    """A dead letter without its bytes. ``received_at_us``: when Kafka received it, UTC microseconds."""

    offset: int
    received_at_us: int
    topic: str
    reason: str
    detail: str


class LetterBoard:
    """The newest letters that nobody has sent back."""

    def __init__(self) -> None:
        self._letters: dict[int, SeenLetter] = {}

    def take(self, letters: Iterable[SeenLetter], replayed: Iterable[int]) -> None:
        """Take in new letters, in order, and the offsets of those that were sent back."""
        self._letters |= {letter.offset: letter for letter in letters}
        for offset in replayed:
            self._letters.pop(offset, None)
        while len(self._letters) > KEPT_MAX:
            self._letters.pop(next(iter(self._letters)))

    def problems(self, now_us: int) -> list[Problem]:
        """One line a topic and reason, of what came within the last hour."""
        since_us = now_us - round(PROBLEM_SECONDS * 1_000_000)
        grouped: dict[tuple[str, str], list[SeenLetter]] = defaultdict(list)
        for letter in self._letters.values():
            if letter.received_at_us >= since_us:
                grouped[letter.topic[:100], letter.reason[:100]].append(letter)
        return [
            Problem(
                id=f"dead-letters:{topic}/{reason}",
                status=Status.FAILED,
                cause="dead-letters",
                title=f"dead letters of {topic}",
                pairs=0,
                pairs_of=0,
                since_us=members[0].received_at_us,
                reason=f"{plural(len(members), 'record')} could not be used ({reason}): {members[-1].detail}"[
                    :REASON_CHARS_MAX
                ],
                command="modelcast dead-letters list",
            )
            for (topic, reason), members in grouped.items()
        ]

    def note(self) -> str:
        """How many letters wait for a person, whatever their age; "": none."""
        count = len(self._letters)
        if not count:
            return ""
        return f"{'at least ' if count >= KEPT_MAX else ''}{plural(count, 'dead letter')} not sent back"
