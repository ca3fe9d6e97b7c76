"""Waiting for a version to arrive, by what the tracker says on ``version-state``."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from modelcast.infra.kafka.client import kafka_unavailable, make_consumer, passes
from modelcast.infra.redis_view import RedisView
from modelcast.infra.registry.newer_records import NewerRecords, newer_records
from modelcast.infra.settings import Settings
from modelcast.producers.log_refusal import LogRefusal
from modelcast.producers.planning.arguments import number_of_seconds, region_names_of
from modelcast.producers.planning.convergence import Convergence, Level, convergence_of, lateness, level_of
from modelcast.producers.planning.refusals import refused_versions
from modelcast.schemas.errors import DecodeError, KafkaUnavailable, NotConverged, Quarantined, RedisUnavailable
from modelcast.schemas.names import check_model, check_version
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged, renewed

BACK_OFFSETS = 2_000
"""Offsets back in which the last state of a model is looked for, before all of its partition is read."""
ASK_SECONDS = 3.0
_POLL_SECONDS = 0.5
"""How soon an interrupt is heeded. News are handed over at once; nothing is asked for while none comes."""
_LAST_SECONDS = 0.1
"""How long a record that lay there before waits for one that follows it: the last offsets may have been compacted."""
REDIS_SECONDS = 2.0
"""Between two questions to Redis, where Kafka can't be reached: Redis does not tell of news by itself."""


@dataclass(frozen=True, slots=True)
class StateReport:
    """What the tracker said of a model.

    Attributes:
        state: the words.
        reported_seconds_ago: how old it was when it was found there; 0: it came while we listened.
    """

    state: VersionState
    reported_seconds_ago: float = 0.0


def wait_for(
    settings: Settings,
    model: str,
    version: int,
    level: Level = "all",
    *,
    timeout_seconds: float,
    generation: int = 0,
    head: int = 0,
    registry_id: str = "",
    staged: bool = False,
    regions: str | Iterable[str] = (),
    refused: Callable[[], str] | None = None,
    note: Callable[[str], None] | None = None,
) -> Convergence:
    """Return once enough regions (of ``regions``, if any are named) have the version (see ``convergence_of``).

    The reports are followed as a stream (``reports``). Where Kafka can't be reached from here, Redis is asked instead;
    ``note`` is told so, with how old what Redis holds is.

    Old data decides nothing: what a tracker said long ago, or says while it is behind with its reading, is only waited
    out (see ``lateness``). ``note`` is told so once.

    ``refused`` tells why the log refuses the version, or "": regions only report on what they were told to have. It
    is asked once for each length of the log that is reported; without it the log is read.

    Raises:
        Quarantined: a region refused it, or the log does.
        NotConverged: not in time, or superseded, or no pod can load what was published.
        KafkaUnavailable: the cluster can't be reached, and Redis does not tell that it has arrived.
        UsageError: an argument is none; it is named.
    """
    level, timeout_seconds = level_of(level), number_of_seconds("timeout_seconds", timeout_seconds)
    model, version, regions = check_model(model), check_version(version), region_names_of(regions)
    log = LogRefusal(settings, model, version)
    judged = partial(
        convergence_of, version=version, level=level, generation=generation, head=head, staged=staged, regions=regions
    )
    try:
        return _reached(
            _from_anywhere(settings, model, timeout_seconds, note or (lambda _: None)),
            f"{model}/{version}",
            judged,
            timeout_seconds,
            registry_id,
            log if refused is None else refused,
            note or (lambda _: None),
        )
    finally:
        log.close()


def _reached(
    heard: Iterable[StateReport],
    subject: str,
    judged: Callable[[VersionState | None], Convergence],
    timeout_seconds: float,
    registry_id: str,
    refused: Callable[[], str],
    note: Callable[[str], None],
) -> Convergence:
    """See ``wait_for``; ``judged`` tells how far regions have come."""
    model, found, asked_at, late, noted = subject.partition("/")[0], judged(None), -1, "", False
    answered = False
    for report in heard:
        state = report.state
        if registry_id and state.registry_id != registry_id:
            continue
        answered = True
        found = judged(state)
        late = lateness(state, report.reported_seconds_ago)
        hint = f"modelcast describe {model}; after mending it, modelcast release {subject}"
        if state.head_generation != asked_at:
            asked_at = state.head_generation
            if why := refused():
                serving = [f"{region}: serves a quarantined version" for region in found.still_serving]
                raise Quarantined("; ".join([why, *serving]), subject=subject, hint=hint)
        if found.quarantined and not late:
            raise Quarantined("refused by " + "; ".join(found.quarantined), subject=subject, hint=hint)
        if late:
            if not noted:
                noted = True
                note(f"note: {late}; waiting until it has caught up")
            continue
        if found.reached:
            return found
        if found.superseded:
            raise NotConverged(
                "superseded: " + "; ".join(found.laggards), subject=subject, hint=f"modelcast history {model}"
            )
        if found.unsupported:
            raise NotConverged(
                "no pod there can load it: " + "; ".join(found.unsupported),
                subject=subject,
                hint="publish it in a format that they serve, or start pods that can load it",
            )
    raise NotConverged(
        f"not in {timeout_seconds:g} s: " + "; ".join((late, *found.laggards) if late else found.laggards),
        subject=subject,
        hint=f"modelcast describe {model}" if answered and not late else "is the tracker running? modelcast doctor",
    )


def versions_refused(settings: Settings, model: str, *, timeout_seconds: float = ASK_SECONDS) -> frozenset[int] | None:
    """The versions that regions refuse, by the tracker's last report; None: there is none that is of now."""
    try:
        report = next(reports(settings, model, timeout_seconds=timeout_seconds), None)
    except KafkaUnavailable:
        return None
    if report is None or lateness(report.state, report.reported_seconds_ago):
        return None
    return refused_versions(report.state)


def states(settings: Settings, model: str, *, timeout_seconds: float) -> Iterator[VersionState]:
    """The tracker's last state of ``model`` and all later ones, until the time is over.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    return (report.state for report in reports(settings, model, timeout_seconds=timeout_seconds))


def reports(settings: Settings, model: str, *, timeout_seconds: float) -> Iterator[StateReport]:
    """Yield the states of a model, each with its age. See ``states``, also for what it raises."""
    deadline = time.monotonic() + timeout_seconds
    where = TopicPartition(Topic.VERSION_STATE, partition_of(model))
    consumer = make_consumer(settings)
    try:
        low, high = consumer.get_watermark_offsets(
            where, timeout=max(0.1, min(timeout_seconds, settings.kafka.timeout_seconds))
        )
        where.offset = max(low, high - BACK_OFFSETS)
        consumer.assign([where])
        yield from _of_model(consumer, settings, model, deadline, range(low, high))
    except KafkaException as error:
        raise kafka_unavailable(error, settings, Topic.VERSION_STATE) from error
    finally:
        consumer.close()


def _from_anywhere(
    settings: Settings, model: str, timeout_seconds: float, note: Callable[[str], None]
) -> Iterator[StateReport]:
    """As ``reports``; where Kafka can't be reached, what Redis holds, as long as that is of now.

    Raises:
        KafkaUnavailable: Redis can't be read, either, or what it holds is old, or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        yield from reports(settings, model, timeout_seconds=timeout_seconds)
        return
    except KafkaUnavailable as error:
        away = error
    noted = False
    while True:
        try:
            with RedisView(settings) as view:
                seen = view.model(model)
        except RedisUnavailable:
            raise away from None
        if seen is None or lateness(seen.value, seen.age_seconds):
            raise away  # a tracker that does not reach Redis will not tell there of anything
        if not noted:
            noted = True
            note(f"note: {away.message}; asking Redis instead, its state is {seen.age_seconds:.0f} s old")
        yield StateReport(seen.value, seen.age_seconds)
        left = deadline - time.monotonic()
        if left <= 0:
            raise away
        time.sleep(min(left, REDIS_SECONDS))


def _of_model(consumer: Consumer, settings: Settings, model: str, deadline: float, old: range) -> Iterator[StateReport]:
    """Yield what is told of a model; of what lay there before (``old``: its offsets) only the last."""
    heard = _Heard(newer_records(settings), model)
    newest: StateReport | None = None
    whole = False
    while (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(min(left, _POLL_SECONDS if newest is None else _LAST_SECONDS))
        if message is None:
            if newest is not None:
                yield newest
                newest = None
            continue
        if (error := message.error()) is not None:
            if passes(error):
                continue
            raise kafka_unavailable(error, settings, Topic.VERSION_STATE)
        offset, state = message.offset() or 0, heard.take(message)
        if heard.unknown and not whole:  # its last state lies further back
            whole = True
            consumer.assign([TopicPartition(Topic.VERSION_STATE, partition_of(model), old.start)])
            continue
        if state is not None:
            newest = StateReport(state, _seconds_since(message) if offset < old.stop else 0.0)
        if newest is not None and offset + 1 >= old.stop:
            yield newest
            newest = None


class _Heard:
    """What was read of a model: the last state that was said whole, and what was told of it since."""

    def __init__(self, records: NewerRecords, model: str) -> None:
        self._records, self._model = records, model
        self._said: VersionState | None = None
        self.unknown = False
        """A state was told of that was not read: it lies further back."""

    def take(self, message: Message) -> VersionState | None:
        """Take a record; return the model's state as of then, if it is about that."""
        key, value = message.key(), message.value()
        if not value or not (key == self._model.encode() or is_unchanged(key)):
            return None
        try:
            if not is_unchanged(key):
                self._said = self._records.decode_as(VersionState, value)
                self.unknown = False
                return self._said
            told = self._records.decode_as(StatesUnchanged, value)
        except DecodeError:
            return None
        row = told.of(self._model)
        self.unknown = row is not None and self._said is None
        return renewed(self._said, told, row) if self._said is not None else None


def _seconds_since(message: Message) -> float:
    return max(0.0, time.time() - message.timestamp()[1] / 1000)
