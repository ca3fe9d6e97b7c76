"""Follows ``version-state``, what is shown beside it, and the end of ``model-updates``: no group, a thread."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from modelcast.dashboard.sources.extra_topics import ExtraTopics
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.view.probe import SeenProbe
from modelcast.infra.kafka.client import kafka_unavailable, make_consumer, passes
from modelcast.infra.registry.newer_records import newer_records
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import DEFAULT
from modelcast.schemas.errors import DecodeError, ModelcastError
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.probes import ProbeState
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged

BATCH_MESSAGES_MAX = 500
POLL_SECONDS = 0.1
ASK_SECONDS = 1.0
"""How often one partition is asked for its end, in turn: that tells whether the cluster is there."""
ASK_SECONDS_MAX = 2.0
RETRY_SECONDS = 2.0
ENTRIES_EACH = 20
"""The newest entries of each partition of ``model-updates`` that are read at the start."""
CLOCK_SAMPLES = 64

log = structlog.get_logger(__name__)


class KafkaFollower:
    """Reads from the start, then follows.

    Args:
        settings: where Kafka is.
        deliver: called from the thread with what changed, and whenever the cluster went away or came back.
    """

    def __init__(self, settings: Settings, deliver: Callable[[NewsBatch], None]) -> None:
        self._settings, self._deliver = settings, deliver
        self._records = newer_records(settings)
        self._extra = ExtraTopics(self._records)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="version-state", daemon=True)
        self._reach = Reach.STARTING
        self._ends: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._missing: dict[str, str] = {}
        self._delivered: tuple[Reach, tuple[str, ...]] = (Reach.STARTING, ())
        self._newest: dict[str, Message] = {}
        self._differences_us: deque[int] = deque(maxlen=CLOCK_SAMPLES)
        self._next_ask, self._turn = 0.0, 0
        self._probes_until = 0  # what lay there before came at no known time
        self._answered_us: dict[int, int] = {}

    def start(self) -> None:
        """Start the thread that reads."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Stop reading; wait for at most ``timeout_seconds``."""
        self._stop.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (ModelcastError, KafkaException) as error:
                self._away(str(error))
                self._stop.wait(RETRY_SECONDS)
            except Exception as error:
                log.exception("following version-state failed, and is started again", error=repr(error))
                self._away("reading failed")
                self._stop.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        consumer = make_consumer(self._settings)
        try:
            self._assign(consumer)
            while not self._stop.is_set():
                self._take(_come(consumer), time.time_ns() // 1000)
                self._ask(consumer)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> None:
        """Read all of ``version-state``; of ``model-updates`` the newest entries, if this user may.

        Raises:
            KafkaUnavailable: the cluster does not answer, or the topic is not there.
        """
        try:
            known = consumer.list_topics(Topic.VERSION_STATE, timeout=self._settings.kafka.timeout_seconds)
        except KafkaException as error:
            raise kafka_unavailable(error, self._settings, Topic.VERSION_STATE) from error
        topic = known.topics[Topic.VERSION_STATE]
        if topic.error is not None:
            raise kafka_unavailable(topic.error, self._settings, Topic.VERSION_STATE)
        self._ends, self._positions = {}, dict.fromkeys(topic.partitions, 0)
        places = [TopicPartition(Topic.VERSION_STATE, each, 0) for each in topic.partitions]
        for each in places:
            low, high = consumer.get_watermark_offsets(each, timeout=ASK_SECONDS_MAX)
            self._ends[each.partition], self._positions[each.partition], each.offset = high, low, low
        beside = [*self._newest_entries(consumer), *self._probes_from(consumer), *self._extra.places(consumer)]
        consumer.assign([*places, *beside])
        self._differences_us.clear()
        self._newest, self._reach = {}, Reach.CATCHING_UP

    def _newest_entries(self, consumer: Consumer) -> list[TopicPartition]:
        places = []
        try:
            for partition in range(MODEL_PARTITIONS):
                place = TopicPartition(Topic.MODEL_UPDATES, partition)
                low, high = consumer.get_watermark_offsets(place, timeout=ASK_SECONDS_MAX)
                places.append(TopicPartition(Topic.MODEL_UPDATES, partition, max(low, high - ENTRIES_EACH)))
        except KafkaException as error:
            self._missing["entries"] = f"{Topic.MODEL_UPDATES}: {error.args[0].str()}: the last entries are not shown"
            return []
        self._missing.pop("entries", None)
        return places

    def _probes_from(self, consumer: Consumer) -> list[TopicPartition]:
        place = TopicPartition(Topic.PROBE_STATE, 0)
        try:
            low, self._probes_until = consumer.get_watermark_offsets(place, timeout=ASK_SECONDS_MAX)
        except KafkaException as error:
            self._missing["probe"] = f"{Topic.PROBE_STATE}: {error.args[0].str()}: the probe is not shown"
            return []
        self._missing.pop("probe", None)
        return [TopicPartition(Topic.PROBE_STATE, 0, low)]

    def _take(self, messages: Iterable[Message], now_us: int) -> None:
        entries: list[tuple[StatedEntry, int]] = []
        probes: list[SeenProbe] = []
        for message in messages:
            error = message.error()
            if error is not None:
                self._failed(message, error)
                continue
            if message.topic() == Topic.MODEL_UPDATES:
                entries += self._entry(message)
                continue
            if message.topic() == Topic.PROBE_STATE:
                probes += self._probe(message, now_us)
                continue
            if message.topic() in self._extra:
                self._extra.take(message)
                continue
            partition, offset = message.partition() or 0, message.offset() or 0
            self._positions[partition] = offset + 1
            self._missing.pop(f"partition {partition}", None)
            self._newest[(message.key() or b"").decode(errors="replace")] = message
        live, complete = self._reach is Reach.LIVE, None
        if not live and self._read_to_the_end():  # what was written over meanwhile is never decoded
            complete = frozenset(key for key in self._newest if not is_unchanged(key.encode()))
        states: list[SeenState] = []
        unchanged: list[tuple[StatesUnchanged, int]] = []
        if live or complete is not None:
            newest, self._newest = self._newest, {}
            for key, each in newest.items():
                if is_unchanged(key.encode()):
                    unchanged += self._unchanged(key, each, now_us, live)
                else:
                    states += self._decoded(key, each, now_us, live)
        reach = Reach.LIVE if live or complete is not None else Reach.CATCHING_UP
        missing = (*self._missing.values(), *self._extra.missing.values())
        self._reach = reach
        rollouts, letters, replayed = self._extra.drain()
        news = states or unchanged or entries or probes or rollouts or letters or replayed
        if news or (reach, missing) != self._delivered:
            self._delivered = reach, missing
            batch = NewsBatch("kafka", reach, tuple(states), tuple(entries), missing=missing, complete=complete)
            batch = replace(batch, probes=tuple(probes), unchanged=tuple(unchanged))
            self._deliver(replace(batch, rollouts=rollouts, letters=letters, replayed=replayed))

    def _reported_us(self, message: Message, now_us: int, live: bool) -> int:
        """When the tracker wrote a record, by this machine's clock."""
        appended_us = message.timestamp()[1] * 1000
        if live:
            self._differences_us.append(now_us - appended_us)
        return int(min(now_us, appended_us + min(self._differences_us, default=0)))

    def _unchanged(self, key: str, message: Message, now_us: int, live: bool) -> list[tuple[StatesUnchanged, int]]:
        reported_us = self._reported_us(message, now_us, live)
        try:
            told = self._records.decode_as(StatesUnchanged, message.value())
        except DecodeError as error:
            self._missing[key] = f"{Topic.VERSION_STATE}: how old states are can't be read: {error.message}"
            return []
        self._missing.pop(key, None)
        return [(told, reported_us)]

    def _decoded(self, key: str, message: Message, now_us: int, live: bool) -> list[SeenState]:
        reported_us = self._reported_us(message, now_us, live)
        body = message.value()
        if not body:
            return [SeenState(key, None, reported_us)]
        try:
            state = self._records.decode_as(VersionState, body)
        except DecodeError as error:
            self._missing[f"model {key}"] = f"{key[:63]}: its state can't be read: {error.message}"
            return []
        self._missing.pop(f"model {key}", None)
        return [SeenState(state.model, state, reported_us)]

    def _entry(self, message: Message) -> list[tuple[StatedEntry, int]]:
        try:
            stated = read_stated(message.value(), book=DEFAULT)
        except DecodeError:
            return []  # a dead letter of the tracker's tells of it
        return [(stated, message.timestamp()[1] * 1000)]

    def _probe(self, message: Message, now_us: int) -> list[SeenProbe]:
        """What a tracker told; the hop to here is known of what came while we listened, and tells of new answers."""
        try:
            state = self._records.decode_as(ProbeState, message.value())
        except DecodeError as error:
            self._missing["probe"] = f"{Topic.PROBE_STATE} can't be read: {error.message}"
            return []
        self._missing.pop("probe", None)
        before = self._answered_us.get(state.partition, 0)
        self._answered_us[state.partition] = state.answered_at_us
        if (message.offset() or 0) < self._probes_until:
            return [SeenProbe(state)]
        self._differences_us.append(now_us - message.timestamp()[1] * 1000)
        if not state.answered_at_us or state.answered_at_us == before:
            return [SeenProbe(state)]
        waited_us = now_us - min(self._differences_us) - state.answered_at_us
        return [SeenProbe(state, max(0.0, waited_us / 1_000_000 - (state.tracker_seconds or 0.0)))]

    def _failed(self, message: Message, error: KafkaError) -> None:
        if passes(error):
            return
        if message.topic() == Topic.VERSION_STATE and (partition := message.partition()) is not None and partition >= 0:
            self._missing[f"partition {partition}"] = f"partition {partition} of {Topic.VERSION_STATE}: {error.str()}"
            return
        if message.topic() == Topic.MODEL_UPDATES:
            self._missing["entries"] = f"{Topic.MODEL_UPDATES}: {error.str()}: the last entries are not shown"
            return
        if message.topic() == Topic.PROBE_STATE:
            self._missing["probe"] = f"{Topic.PROBE_STATE}: {error.str()}: the probe is not shown"
            return
        if message.topic() in self._extra:
            self._extra.failed(message.topic() or "", error.str())
            return
        raise kafka_unavailable(error, self._settings, Topic.VERSION_STATE)

    def _ask(self, consumer: Consumer) -> None:
        """Ask one partition after the other for its end.

        Raises:
            KafkaUnavailable: no partition answers.
        """
        now = time.monotonic()
        if now < self._next_ask:
            return
        self._next_ask = now + ASK_SECONDS
        partitions = sorted(self._positions)
        self._turn = (self._turn + 1) % len(partitions)
        partition = partitions[self._turn]
        place = TopicPartition(Topic.VERSION_STATE, partition)
        try:
            _, self._ends[partition] = consumer.get_watermark_offsets(place, timeout=ASK_SECONDS_MAX)
        except KafkaException as error:
            code = error.args[0].code()
            if code in {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION}:
                self._missing[f"partition {partition}"] = (
                    f"partition {partition} of {Topic.VERSION_STATE} has no leader"
                )
                return
            raise kafka_unavailable(error, self._settings, Topic.VERSION_STATE) from error
        self._missing.pop(f"partition {partition}", None)
        reached = consumer.position([place])[0].offset  # a compacted topic's last offsets may hold nothing
        self._positions[partition] = max(self._positions[partition], reached)
        self._deliver(NewsBatch("kafka", self._reach, missing=self._delivered[1]))  # it is there

    def _read_to_the_end(self) -> bool:
        return all(self._positions[each] >= end for each, end in self._ends.items())

    def _away(self, why: str) -> None:
        if self._reach is not Reach.AWAY:
            log.warning("version-state can't be read", error=why)
        self._reach, self._delivered = Reach.AWAY, (Reach.AWAY, ())
        self._deliver(NewsBatch("kafka", Reach.AWAY, missing=(why if "Kafka" in why else f"Kafka: {why}",)))


def _come(consumer: Consumer) -> list[Message]:
    """What has come, as soon as anything has: to ask for many waits out the time unless as many come."""
    first = consumer.poll(POLL_SECONDS)
    return [] if first is None else [first, *consumer.consume(BATCH_MESSAGES_MAX - 1, timeout=0)]
