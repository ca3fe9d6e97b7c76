"""Who serves what, from wherever it can be read: Redis, else the ``version-state`` topic. Always with its age."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from modelcast.schemas.errors import DecodeError, ModelcastError, RedisUnavailable
from modelcast.schemas.records import PodReport, RegionHeartbeat, VersionState
from modelcast.schemas.statuses import Limits, state_as_known
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged, renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modelcast.infra.redis_view import Aged, RedisView
    from modelcast.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Sighting:
    """One model's state, how old it is, and where it was read.

    Attributes:
        state: what is known now: what the tracker wrote, without what was not read back since.
        age_seconds: since the oldest acknowledgement that is not in it; since it was written, if all were read then.
        source: redis or kafka.
        behind_seconds: how far the tracker's reading was behind when it wrote it.
    """

    state: VersionState
    age_seconds: float
    source: str
    behind_seconds: float = 0.0

    @classmethod
    def of(cls, state: VersionState, reported_seconds_ago: float, source: str) -> Self:
        """A state that the tracker wrote that many seconds ago."""
        behind_seconds = state.unread_seconds
        return cls(state, reported_seconds_ago + behind_seconds, source, behind_seconds)

    @property
    def reported_seconds_ago(self) -> float:
        """Seconds since it was written."""
        return self.age_seconds - self.behind_seconds

    @property
    def at_us(self) -> int:
        """Now, by the clock of the tracker that wrote it; UTC microseconds."""
        return self.state.updated_at_us + int(self.reported_seconds_ago * 1_000_000)

    def as_known(self) -> Self:
        """What is known of it now: a region that was not read back in time serves nothing, tracker or not."""
        return replace(self, state=state_as_known(self.state, self.at_us, Limits()))


class StateSource:
    """Reads states, from Kafka where Redis fails; ``remarks`` tells people what was missing."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self.remarks: list[str] = []

    def models(self) -> list[Sighting]:
        """Every model.

        Raises:
            KafkaUnavailable: neither Redis nor Kafka could be read.
        """
        found = self._from_redis(lambda view: view.models())
        return [each.as_known() for each in found or self._from_kafka(range(MODEL_PARTITIONS))]

    def model(self, name: str) -> Sighting | None:
        """One model, and nothing is read of others that need not be; None if the tracker has reported nothing of it.

        Raises:
            KafkaUnavailable: neither Redis nor Kafka could be read.
        """
        found = self._from_redis(lambda view: filter(None, [view.model(name)]))
        found = found or self._from_kafka([partition_of(name)])
        return next((s.as_known() for s in found if s.state.model == name), None)

    def heartbeats(self) -> list[tuple[RegionHeartbeat, float]]:
        """The last heartbeat of every worker, with its age in seconds; nothing if Redis is away."""
        from modelcast.infra.redis_view import RedisView

        try:
            with RedisView(self._settings) as view:
                return [(seen.value, seen.age_seconds) for seen in view.heartbeats()]
        except RedisUnavailable as error:
            self._remark(error)
            return []

    def pods(self, state: VersionState, region: str) -> tuple[PodReport, ...]:
        """All pods of a region, as it last reported them; those that the state itself carries if Redis is away."""
        from modelcast.infra.redis_view import RedisView

        row = next((r for r in state.regions if r.region == region), None)
        carried = row.pods if row else ()
        if row is None:
            return carried
        try:
            with RedisView(self._settings) as view:
                seen = view.pods(state.model, region)
                return seen.value if seen else carried
        except RedisUnavailable as error:
            self._remark(error)
            if row.pods_omitted:
                self.remarks.append(f"{region}: {row.pods_omitted} pods are not shown")
            return carried

    def _from_redis(self, read: "Callable[[RedisView], Iterable[Aged[VersionState]]]") -> list[Sighting]:
        """What the view holds; nothing if Redis is away."""
        from modelcast.infra.redis_view import RedisView

        try:
            with RedisView(self._settings) as view:
                return [Sighting.of(s.value, s.age_seconds, "redis") for s in read(view)]
        except RedisUnavailable as error:
            self._remark(error)
            return []

    def _from_kafka(self, partitions: "Iterable[int]") -> list[Sighting]:
        from modelcast.infra.kafka.client import make_consumer, read_partition
        from modelcast.infra.registry.newer_records import newer_records

        settings = self._settings
        newest: dict[str, Sighting] = {}
        told: list[tuple[StatesUnchanged, float]] = []
        records = newer_records(settings)
        consumer = make_consumer(settings)
        try:
            for partition in partitions:
                for message in read_partition(
                    consumer, settings, Topic.VERSION_STATE, partition, timeout_seconds=settings.kafka.timeout_seconds
                ):
                    age = max(0.0, time.time() - message.timestamp()[1] / 1000)
                    try:
                        if is_unchanged(message.key()):
                            told.append((records.decode_as(StatesUnchanged, message.value() or b""), age))
                            continue
                        state = records.decode_as(VersionState, message.value() or b"")
                    except DecodeError:
                        continue  # a tombstone, or unreadable
                    newest[state.model] = Sighting.of(state, age, "kafka")
        finally:
            consumer.close()
        said = dict(newest)
        for unchanged, age in told:
            for row in unchanged.models:
                known = said.get(row.model)
                newer = renewed(known.state, unchanged, row) if known is not None else None
                if newer is not None:
                    newest[row.model] = Sighting.of(newer, age, "kafka")
        return list(newest.values())

    def _remark(self, error: ModelcastError) -> None:
        text = f"{error.message}: reading Kafka instead"
        if text not in self.remarks:
            self.remarks.append(text)
