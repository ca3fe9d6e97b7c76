"""Looks at the consumer groups on Kafka: offsets from the admin API, times from the first records that wait."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # it exports it without saying so

from modelcast.dashboard.groups.decider.looks import GroupLook, PartitionLook
from modelcast.infra.kafka.client import make_admin, make_consumer, passes, unreachable
from modelcast.infra.settings import Settings

OURS = "modelcast-"
NO_GROUPS = frozenset({"modelcast-reader"})
"""Names that readers bear which join no group."""
FIRST_RECORDS_SECONDS = 4.0
"""How long a look waits for the first unread records; those that come later are not known."""
LITTLE = {"queued.min.messages": 1, "fetch.message.max.bytes": 16 * 1024, "queued.max.messages.kbytes": 1024}
"""Bytes of a read: one record of each partition is enough."""

_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]

Place = tuple[str, int]


class GroupReader:
    """Looks again and again with the same connections. For one thread.

    Args:
        settings: where Kafka is. The user needs Describe on the groups, and Read on the topics that they read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._timeout = settings, settings.kafka.timeout_seconds
        self._admin = make_admin(settings)
        self._consumer: Consumer | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def look(self) -> tuple[GroupLook, ...]:
        """All groups of Modelcast, by name.

        Raises:
            KafkaUnavailable: the cluster can't be reached, or does not let this user list groups.
        """
        try:
            listed = self._admin.list_consumer_groups(request_timeout=self._timeout).result(self._timeout)
            names = sorted(g.group_id for g in listed.valid if _is_ours(g.group_id))
            if not names:
                return ()
            described = self._admin.describe_consumer_groups(names, request_timeout=self._timeout)
            committed = {
                name: self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(name)], request_timeout=self._timeout
                )[name]
                for name in names
            }
            found = [self._group(name, described[name], committed[name]) for name in names]
            ranges, faults = self._ranges({place for _, _, offsets, _ in found for place in offsets})
        except (KafkaException, TimeoutError) as error:
            what = error if isinstance(error, KafkaException) else "no answer in time"
            raise unreachable(what, self._settings) from error
        groups = [
            GroupLook(
                name,
                members,
                tuple(_look(place, at, ranges, faults) for place, at in sorted(offsets.items())),
                error,
            )
            for name, members, offsets, error in found
        ]
        return self._with_times(groups)

    def _group(
        self, name: str, described: Future[Any], committed: Future[Any]
    ) -> tuple[str, int | None, dict[Place, int | None], str]:
        """(name, members, committed offset of each partition that it reads, why something is not known)."""
        members: int | None = None
        offsets: dict[Place, int | None] = {}
        faults = []
        try:
            description = described.result(self._timeout)
            members = len(description.members)
            for member in description.members:
                offsets |= dict.fromkeys(((t.topic, t.partition) for t in member.assignment.topic_partitions), None)
        except KafkaException as error:
            faults.append(f"its members: {error.args[0].str()}")
        try:
            for each in committed.result(self._timeout).topic_partitions:
                offsets[each.topic, each.partition] = each.offset if each.offset >= 0 else None
        except KafkaException as error:
            faults.append(f"its offsets: {error.args[0].str()}")
        offsets = {place: at for place, at in offsets.items() if not is_table(place[0])}
        return name, members, offsets, "; ".join(faults)

    def _ranges(self, places: Iterable[Place]) -> tuple[dict[Place, tuple[int, int]], dict[Place, str]]:
        """(first offset, offset after the last), and what is wrong with the others: a partition without a leader."""
        found: dict[Place, list[int]] = {place: [] for place in places}
        faults: dict[Place, str] = {}
        for spec in (_EARLIEST, _LATEST) if found else ():
            asked = {TopicPartition(topic, number): spec for topic, number in found}
            for where, future in self._admin.list_offsets(asked, request_timeout=self._timeout).items():
                place = where.topic, where.partition
                try:
                    found[place].append(future.result(self._timeout).offset)
                except KafkaException as error:
                    faults[place] = error.args[0].str()
        return {place: (r[0], r[1]) for place, r in found.items() if place not in faults}, faults

    def _with_times(self, groups: list[GroupLook]) -> tuple[GroupLook, ...]:
        """The groups, with the times of the first unread records: one read for all that wait at the same offset."""
        wanted = {(p.topic, p.partition, p.position) for g in groups for p in g.partitions if p.unread and not p.error}
        times: dict[tuple[str, int, int], int] = {}
        deadline = time.monotonic() + FIRST_RECORDS_SECONDS
        while wanted and time.monotonic() < deadline:
            at_once: dict[Place, int] = {}
            for topic, number, offset in sorted(wanted):
                at_once.setdefault((topic, number), offset)
            times |= self._first_records(at_once, deadline)
            wanted -= {(*place, offset) for place, offset in at_once.items()}
        return tuple(_timed(group, times) for group in groups)

    def _first_records(self, places: Mapping[Place, int], deadline: float) -> dict[tuple[str, int, int], int]:
        consumer = self._consumer = self._consumer or make_consumer(self._settings, limits=LITTLE)
        left, found = dict(places), dict[tuple[str, int, int], int]()
        try:
            consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in places.items()])
            while left and time.monotonic() < deadline:
                message = consumer.poll(min(0.1, max(0.0, deadline - time.monotonic())))
                if message is None:
                    continue
                place = message.topic() or "", message.partition() or 0
                if (error := message.error()) is not None:
                    if not passes(error):
                        left.pop(place, None)
                    continue
                if place in left and (message.offset() or 0) >= left[place]:
                    found[*place, left.pop(place)] = message.timestamp()[1] * 1000
                    consumer.pause([TopicPartition(*place)])
            consumer.resume([TopicPartition(*place) for place in places])  # else it stays paused when assigned anew
            consumer.unassign()
        except KafkaException as error:
            raise unreachable(error, self._settings) from error
        return found


def is_table(topic: str) -> bool:
    """Whether a topic is the copy of a worker's table: it is read at a takeover, and never followed."""
    return topic.endswith("-changelog")


def _is_ours(group: str) -> bool:
    return group.startswith(OURS) and group not in NO_GROUPS


def _look(
    place: Place, committed: int | None, ranges: Mapping[Place, tuple[int, int]], faults: Mapping[Place, str]
) -> PartitionLook:
    topic, number = place
    if place not in ranges:
        return PartitionLook(topic, number, committed, error=f"{topic}/{number}: {faults[place]}")
    start, end = ranges[place]
    return PartitionLook(topic, number, committed, start, end)


def _timed(group: GroupLook, times: Mapping[tuple[str, int, int], int]) -> GroupLook:
    partitions = tuple(
        PartitionLook(
            p.topic, p.partition, p.committed, p.start, p.end, times.get((p.topic, p.partition, p.position)), p.error
        )
        for p in group.partitions
    )
    return GroupLook(group.group, group.members, partitions, group.error)
