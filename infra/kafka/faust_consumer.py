"""Faust's consumer with positions that hold: no record is taken from a partition before its position was set.

Faust reads tables back first (recovery), then seeks the streams' partitions to their committed offsets and lets them
go. Its own consumer loses records around that seek; ADR 0016 tells how. Three rules close the gaps:

* A fetch takes records only of the partitions that were active when it began, whatever becomes active under way.
* Every partition of a stream is sought: to its committed offset, or to the earliest one where none was committed.
* What was taken of a partition before it was sought is dropped: it comes again from the position that was set.

aiokafka stops joining its group at an error that its user should see (no right to the group, a member of another
protocol in it) until somebody asks for errors. Faust never does; here they are taken, and the group is joined again.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import chain
from typing import Any, cast

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

COORDINATOR_LOOK_SECONDS = 1.0

Records = Mapping[TP, list[Any]]

log = structlog.get_logger(__name__)


class PositionedConsumer(driver.Consumer):
    """Seeks are numbered. They happen in the consumer's thread, where records are taken too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeks = 0
        self._sought: dict[TP, int] = {}  # the number of each partition's last seek
        self._group_error = ""

    @faust.Service.task
    async def _keep_joining(self) -> None:
        """Take the coordinator's errors, so that it goes on; it tries again at once, so this sets the pace."""
        while not self.should_stop:
            await self.sleep(COORDINATOR_LOOK_SECONDS)
            error = await self._thread.call_thread(self._take_group_error)
            if error and error != self._group_error:
                log.error("the consumer group can't be joined now", group=self.app.conf.id, error=error)
            if error or self.assignment():
                self._group_error = error

    @property
    def refusal(self) -> str:
        """Why the group can't be joined now; "": it was joined, or was not tried yet."""
        return self._group_error

    async def _take_group_error(self) -> str:
        """In the consumer's thread. Raises what ended the coordinator for good: the app is made anew then."""
        try:
            coordinator = self._thread._ensure_consumer()._coordinator
        except ConsumerNotStarted:
            return ""
        if coordinator._coordination_task.done():
            coordinator.check_errors()
        try:
            coordinator.check_errors()
        except KafkaError as error:
            return repr(error)
        return ""

    def _set_active_tps(self, tps: set[TP]) -> set[TP]:
        """An assignment begins with everything paused; Faust pauses it too, but only some turns of its loop later."""
        self._paused_partitions.update(tps)
        return super()._set_active_tps(tps)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once; hand out what is fetched unless the flow stops, or a partition is sought or paused meanwhile."""
        while not self.flow_active and not self.should_stop:
            await self._wait_one(self.can_resume_flow.wait())
        wanted = set(self._active_partitions)
        if not wanted:
            await self.sleep(1.0)
            return
        generation = self.app.consumer_generation_id
        number, records = await self._thread.call_thread(self._take, wanted, timeout)
        if self.flow_active:
            cast(PositionedApp, self.app).on_fetched(chain.from_iterable(records.values()))
        for tp, record in self.scheduler.iterate(records):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            live = tp in self._active_partitions or tp in self._buffered_partitions
            if live and self._sought.get(tp, 0) <= number:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._to_message(tp, record)

    async def _take(self, wanted: set[TP], timeout: float) -> tuple[int, Records]:
        """In the consumer's thread. No turn of its loop lies between taking the records and reading the number."""
        thread = self._thread
        consumer = thread._ensure_consumer()
        found = await thread._fetch_records(consumer, wanted, timeout=timeout, max_records=consumer._max_poll_records)
        return self._seeks, found

    def _number_seek(self, partitions: Iterable[TP]) -> None:
        self._seeks += 1
        self._sought.update(dict.fromkeys(partitions, self._seeks))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every partition of a stream; return where reading goes on."""
        found: Mapping[TP, int] = await self._thread.call_thread(self._seek_streams)
        return found

    async def _seek_streams(self) -> Mapping[TP, int]:
        consumer = self._thread._ensure_consumer()
        streams = [tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)]
        if not streams:
            return {}
        earliest = await consumer.beginning_offsets(streams)
        committed = {tp: await consumer.committed(tp) for tp in streams}
        positions = {tp: earliest[tp] if committed[tp] is None else committed[tp] for tp in streams}
        self._number_seek(positions)
        for tp, offset in positions.items():
            consumer.seek(tp, offset)
        return {TP(tp.topic, tp.partition): offset for tp, offset in positions.items()}

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek in changelogs, as a recovery does."""
        await self._thread.call_thread(self._seek_changelogs, partitions)

    async def _seek_changelogs(self, partitions: Mapping[TP, int]) -> None:
        self._number_seek(partitions)
        await self._thread._seek_wait(self._thread._ensure_consumer(), partitions)


class _Transport(driver.Transport):
    Consumer = PositionedConsumer


class PositionedApp(faust.App):
    """A Faust app that reads through ``PositionedConsumer``.

    ``on_fetched`` is shown what was fetched before any of it is handed out; what is not handed out after all is
    fetched again.
    """

    on_fetched: Callable[[Iterable[Any]], None] = staticmethod(lambda records: None)

    @property
    def refusal(self) -> str:
        """See ``PositionedConsumer.refusal``; "" before there is a consumer."""
        return self._consumer.refusal if isinstance(self._consumer, PositionedConsumer) else ""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)
