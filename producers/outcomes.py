"""Reporting what came of answers: clicks, sales, labels that are known weeks later."""

import math
import time
import uuid
from datetime import datetime
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message

from modelcast.infra.kafka.client import kafka_unavailable, make_producer
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.outcomes import ObservedOutcome

FULL_SECONDS = 0.05


class OutcomeReporter:
    """Hands outcomes to Kafka; a rollout of the model compares their means. A context manager: leaving it flushes.

    One value a user: who comes again counts each time as somebody else, which makes proofs look surer than they are.
    Sum up a user's values before they are reported.

    Args:
        settings: where the cluster is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = make_producer(settings)
        self._failure: KafkaError | None = None

    def report(
        self,
        model: str,
        name: str,
        value: float,
        *,
        version: int | None = None,
        key: str = "",
        at: datetime | None = None,
        region: str = "",
        outcome_id: str = "",
    ) -> ObservedOutcome:
        """Report one outcome. Returns at once; ``flush`` knows whether all have arrived.

        Args:
            model: its name.
            name: of the outcome, as in the gate ``outcome:ctr>=-1%``.
            value: the number; of a yes or no, 1 or 0.
            version: which version answered, as the answer's header ``modelcast-version`` says. The surest way.
            key: who asked, as in the header or field that the rollout draws by.
            at: when the answer was given; None: now. A time without a zone is local.
            region: where it was given, if that is known.
            outcome_id: names it once, so that it may be reported again; "": it gets one of its own.

        Raises:
            UsageError: a value is wrong, or there is neither version nor key.
            KafkaUnavailable: too much waits to be sent.
        """
        if version is None and not key:
            hint = "give the version that answered (the answer's header modelcast-version), or who asked"
            raise UsageError("an outcome without version and key belongs to no version", subject=model, hint=hint)
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"bad value {value!r}", subject=f"{model} {name}", hint="a number, as 1, 0 or 12.5")
        at_us = round((at.timestamp() if at is not None else time.time()) * 1_000_000)
        outcome = ObservedOutcome(
            model, name, float(value), at_us, outcome_id or uuid.uuid4().hex, version, key, region
        )
        try:
            body = encode(outcome)
        except ContentError as error:
            raise UsageError(error.message, subject=model, hint=error.hint) from None
        while True:
            try:
                self._producer.produce(Topic.OUTCOMES, key=model.encode(), value=body, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(FULL_SECONDS)
                self._raise_failure()
            except KafkaException as error:
                raise kafka_unavailable(error, self._settings, Topic.OUTCOMES) from error
        self._producer.poll(0)
        return outcome

    def flush(self) -> None:
        """Return once the cluster has all of them.

        Raises:
            KafkaUnavailable: it has not, within ``kafka.timeout_seconds``; under the same ids they may be
                reported again.
        """
        timeout_seconds = self._settings.kafka.timeout_seconds
        left = self._producer.flush(timeout_seconds)
        self._raise_failure()
        if left:
            why = f"{left} outcomes were not confirmed within {timeout_seconds:g} s"
            raise kafka_unavailable(why, self._settings, Topic.OUTCOMES)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise kafka_unavailable(failure, self._settings, Topic.OUTCOMES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, ContentError):  # what was reported before the wrong one has been reported
            self.flush()
        else:
            self._producer.purge()
            self._producer.flush(0.5)
