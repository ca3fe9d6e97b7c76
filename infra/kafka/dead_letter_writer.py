"""Records that a daemon can't use, on their way to the dead letters."""

from collections.abc import Callable

import structlog

from modelcast.infra.kafka.dead_letters import dead_letter, encode_dead_letter
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.topics import Topic

log = structlog.get_logger(__name__)


class DeadLetterWriter:
    """What a daemon does with records that it can't use: counted, logged, and put where people find them.

    Args:
        produce: hands (topic, key, value) to a producer, without waiting.
        reported_by: who writes it there.
    """

    def __init__(self, produce: Callable[[Topic, str, bytes], object], reported_by: str) -> None:
        self._produce, self._reported_by = produce, reported_by

    def __call__(
        self, raw: bytes, *, reason: str, detail: str, topic: str, partition: int, offset: int, key: bytes | None
    ) -> None:
        """Write ``raw`` to the dead letters; the rest is as in ``dead_letter``. Never raises."""
        metrics.DEAD_LETTERS.labels(topic, reason).inc()
        metrics.DEAD_LETTER_TIMESTAMP.labels(topic).set_to_current_time()
        log.warning("dead letter", topic=topic, partition=partition, offset=offset, reason=reason, detail=detail[:200])
        letter = dead_letter(
            raw,
            reason=reason,
            detail=detail,
            reported_by=self._reported_by,
            topic=topic,
            partition=partition,
            offset=offset,
            key=key,
        )
        try:
            letter_key, value = encode_dead_letter(letter)
        except ModelcastError as error:
            log.error("a dead letter could not be written", error=str(error))
            return
        self._produce(Topic.DEAD_LETTERS, letter_key.decode(), value)
