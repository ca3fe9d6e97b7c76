"""``rollout-state`` and ``dead-letters``: what is followed beside the states, as far as this user may read it."""

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.dead_letters import KEPT_MAX, SeenLetter
from modelcast.infra.kafka.replays import read_note
from modelcast.infra.registry.newer_records import NewerRecords
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic
from modelcast.schemas.traffic.reports import RolloutState

ASK_SECONDS_MAX = 2.0
DETAIL_CHARS_MAX = 500
NOT_SHOWN = {
    Topic.ROLLOUT_STATE: "how rollouts stand is not shown",
    Topic.DEAD_LETTERS: "whether records were refused is not shown",
}


class ExtraTopics:
    """What was read of them since it was last drained. For one thread.

    Args:
        records: decodes, also what a newer release wrote.
    """

    def __init__(self, records: NewerRecords) -> None:
        self._records = records
        self._rollouts: list[SeenRollout] = []
        self._letters: list[SeenLetter] = []
        self._replayed: list[int] = []
        self.missing: dict[str, str] = {}
        """What can't be read, by topic, for people."""

    def places(self, consumer: Consumer) -> list[TopicPartition]:
        """Where to read on: rollouts from the start, of dead letters the newest."""
        return [*self._from(consumer, Topic.ROLLOUT_STATE, MODEL_PARTITIONS), *self._from(consumer, Topic.DEAD_LETTERS)]

    def _from(self, consumer: Consumer, topic: Topic, partitions: int = 1) -> list[TopicPartition]:
        places = []
        try:
            for number in range(partitions):
                place = TopicPartition(topic, number)
                low, high = consumer.get_watermark_offsets(place, timeout=ASK_SECONDS_MAX)
                place.offset = max(low, high - KEPT_MAX) if topic is Topic.DEAD_LETTERS else low
                places.append(place)
        except KafkaException as error:
            self.failed(topic, error.args[0].str())
            return []
        self.missing.pop(topic, None)
        return places

    def failed(self, topic: str, why: str) -> None:
        """A topic can't be read."""
        self.missing[topic] = f"{topic}: {why}: {NOT_SHOWN[Topic(topic)]}"

    def take(self, message: Message) -> None:
        """Take in a record. What can't be decoded is not ours, and there is no place to report it to."""
        at_us, body = message.timestamp()[1] * 1000, message.value() or b""
        try:
            if message.topic() == Topic.ROLLOUT_STATE:
                if body:
                    self._rollouts.append(SeenRollout(self._records.decode_as(RolloutState, body), at_us))
                return
            if (note := read_note(message.key(), body, at_us)) is not None:
                self._replayed.append(note.offset)
                return
            letter = self._records.decode_as(DeadLetter, body)
        except DecodeError:
            return
        detail = letter.detail[:DETAIL_CHARS_MAX]
        self._letters.append(SeenLetter(message.offset() or 0, at_us, letter.source_topic, letter.reason, detail))

    def drain(self) -> tuple[tuple[SeenRollout, ...], tuple[SeenLetter, ...], tuple[int, ...]]:
        """Rollouts, dead letters and the offsets of those that were sent back, in the order in which they came."""
        found = tuple(self._rollouts), tuple(self._letters), tuple(self._replayed)
        self._rollouts, self._letters, self._replayed = [], [], []
        return found

    def __contains__(self, topic: str | None) -> bool:
        return topic in NOT_SHOWN
