"""Sends a dead letter back to where it came from, or says what it would send."""

from dataclasses import dataclass

import orjson

from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.kafka.dead_letters import check_replayable, find, replay
from modelcast.infra.registry.audit_trail import audit_trail
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import MovedOn, UsageError

FIELDS = {"reason", "expected_replays", "dry_run"}
HINT = "a JSON object of " + ", ".join(sorted(FIELDS))


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A replay as it is asked for. ``expected_replays``: how often it was sent back before, as the asker saw it."""

    reason: str
    expected_replays: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ReplayEffect:
    """What a replay comes to. ``sent``: whether it was; False: it would be."""

    offset: int
    topic: str
    size_bytes: int
    replays: int
    sent: bool
    requested_by: str


class ReplayWriter:
    """Sends letters back. Thread-safe.

    Args:
        settings: where Kafka is; its user must be allowed to write to the topic that the letter came from.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def take(self, offset: int, body: bytes, *, requested_by: str, source: str) -> ReplayEffect:
        """Do what ``body`` asks. ``source``: for the audit, where that comes from.

        Raises:
            UsageError: the body is not the JSON that ``ReplayRequest`` names.
            NotFound: there is no such letter.
            Refused: the letter can't be sent back.
            MovedOn: somebody else has sent it back meanwhile.
            KafkaUnavailable: Kafka did not take it.
        """
        asked = replay_of(offset, body)
        stored = find(self._settings, offset)
        letter, before = stored.letter, len(stored.replays)
        check_replayable(letter)
        if before != asked.expected_replays:
            hint = "look again: somebody else has sent it back"
            raise MovedOn(
                f"it was sent back {before} times, not {asked.expected_replays}", subject=f"{offset}", hint=hint
            )
        if not asked.dry_run:
            trail = audit_trail(self._settings, source=source)
            replayed = trail.of(requested_by, "dead-letters replay", f"dead letter {offset}", reason=asked.reason)
            with replayed, KafkaAnnouncer(self._settings) as announcer:
                timeout = self._settings.kafka.timeout_seconds
                replay(stored, announcer, by=requested_by, reason=asked.reason, timeout_seconds=timeout)
        return ReplayEffect(offset, letter.source_topic, letter.raw_size_bytes, before, not asked.dry_run, requested_by)


def replay_of(offset: int, body: bytes) -> ReplayRequest:
    """What a body asks.

    Raises:
        UsageError: it is not the JSON that ``ReplayRequest`` names.
    """
    subject = f"dead letter {offset}"
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"this is no JSON: {error}", subject=subject, hint=HINT) from None
    if not isinstance(found, dict):
        raise UsageError("this is no JSON object", subject=subject, hint=HINT)
    if extra := sorted(found.keys() - FIELDS):
        raise UsageError(f"a replay has no {extra[0][:40]!r}", subject=subject, hint=HINT)
    reason, expected, dry_run = found.get("reason", ""), found.get("expected_replays"), found.get("dry_run", False)
    if type(expected) is not int or expected < 0:
        hint = "how often the list says that it was sent back"
        raise UsageError("expected_replays is no number", subject=subject, hint=hint)
    if not isinstance(reason, str) or type(dry_run) is not bool:
        raise UsageError("reason is text, and dry_run true or false", subject=subject, hint=HINT)
    return ReplayRequest(reason, expected, dry_run)
