"""Dead letters, together by topic and reason."""

from modelcast.dashboard.sources.letters import LINES_EACH, letter_groups
from modelcast.infra.kafka.dead_letters import StoredDeadLetter
from modelcast.infra.kafka.replays import Replay
from modelcast.schemas.records import DeadLetter
from tests.agents.tracker.makers import digest


def stored(offset: int, topic: str = "model-acks", reason: str = "unreadable", **more: object) -> StoredDeadLetter:
    letter = DeadLetter(topic, 3, 40 + offset, reason, "x" * 900, b"\x00", 1, digest(1), b"fraud", "tracker w", 1)
    return StoredDeadLetter(offset, 1_000 * offset, letter, **more)  # type: ignore[arg-type]


def test_letters_stand_together_by_topic_and_reason_and_the_newest_come_first() -> None:
    newest = stored(9, "model-updates", "forged")
    groups = letter_groups([stored(1), stored(2, reason="too large"), stored(5), newest])
    assert [(g.topic, g.reason, g.count, g.first_us, g.last_us) for g in groups] == [
        ("model-updates", "forged", 1, 9_000, 9_000),
        ("model-acks", "unreadable", 2, 1_000, 5_000),
        ("model-acks", "too large", 1, 2_000, 2_000),
    ]
    assert [line.offset for line in groups[1].letters] == [5, 1]


def test_a_flood_of_letters_names_the_newest_and_counts_all() -> None:
    (group,) = letter_groups(stored(n) for n in range(150))
    assert (group.count, len(group.letters), group.letters[0].offset) == (150, LINES_EACH, 149)
    assert len(group.letters[0].detail) == 500


def test_who_sent_a_letter_back_and_why_stands_with_it() -> None:
    (group,) = letter_groups([stored(1, replays=(Replay(1, 77, "anna", "mended"),))])
    (replay,) = group.letters[0].replays
    assert (replay.at_us, replay.by, replay.reason) == (77, "anna", "mended")
