"""What every record is judged by: can it be read, is it ours, is its region listed; and the way to the dead letters."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from modelcast.agents.tracker.decider.announcements import FOREIGN
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import ChangeListener, Message, TrackerPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.registry.schema_lookup import SchemaLookup
from modelcast.schemas.errors import DecodeError, ModelcastError, NotFound, StoreUnavailable
from modelcast.schemas.topics import Topic, partition_of

WRONG_PARTITION, EMPTY = "wrong-partition", "empty"
UNKNOWN_SCHEMA, UNKNOWN_REGION = "unknown-schema", "unknown-region"
REPORT_AGAIN_SECONDS = 600.0
"""Seconds between two dead letters about the same kind of record, which a writer could send in any number."""
NO_REGISTRY_SECONDS = 1.0
"""How long it is believed that the store holds no registry: each record would cost a request otherwise."""
RETRY_SECONDS = 1.0
"""Between two questions for a registry's id that can't be read."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Unusable(Exception):
    """A message can't be used: it goes to the dead letters with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Judging:
    """Judges records. It belongs to the event loop."""

    def __init__(
        self,
        reader: RegistryReader,
        rows: Rows,
        ports: TrackerPorts,
        mirror: Mirror,
        changes: ChangeListener,
        listed: Iterable[str],
    ) -> None:
        self._reader, self._rows, self._ports, self._mirror, self._changes = reader, rows, ports, mirror, changes
        self._listed = frozenset(listed)
        self.forgotten: set[str] = set()
        """Regions that a person had forgotten."""
        self.registry_id: str | None = None
        self.schemas = SchemaLookup(reader.learn_schema, ports.clock.monotonic, threads=ports.schemas)
        self._reported_at: dict[str, float] = {}
        self._partitions: dict[str, int] = {}  # of models that have a row: hashing costs more than looking up
        self._no_registry_until = float("-inf")

    def dead_letter(
        self, topic: Topic, raw: bytes, refused: Unusable, partition: int, offset: int, key: bytes | None
    ) -> None:
        """Write a dead letter for a record that can't be used."""
        self._ports.sender.dead_letter(
            raw,
            reason=refused.reason,
            detail=refused.detail,
            topic=str(topic),
            partition=partition,
            offset=offset,
            key=key,
        )

    def may_report(self, reason: str) -> bool:
        """Whether a dead letter may report this kind of record now; others like it are only counted."""
        now = self._ports.clock.monotonic()
        if now - self._reported_at.get(reason, float("-inf")) < REPORT_AGAIN_SECONDS:
            return False
        self._reported_at[reason] = now
        return True

    def lists(self, region: str) -> bool:
        """Whether the settings list the region."""
        return region in self._listed

    def counts(self, region: str, raw: bytes, message: Message) -> bool:
        """Whether the region's reports count. Of a region that is not listed, a dead letter is written now and then."""
        if region in self._listed:
            return region not in self.forgotten
        if self.may_report(UNKNOWN_REGION):
            detail = (
                f"the settings list no region {region[:80]!r}: add [regions.{region[:40]}]; others are only counted"
            )
            refused = Unusable(UNKNOWN_REGION, detail)
            self.dead_letter(Topic(message.topic), raw, refused, message.partition, message.offset, message.key)
        return False

    async def decoded(self, raw: bytes, read: Callable[..., T]) -> T:
        """Decode a record.

        Raises:
            Unusable: it can't be read.
        """
        if not raw:
            raise Unusable(EMPTY, "a record without a value")
        try:
            return await self.schemas.decoding(lambda: read(raw, book=self._reader.book))
        except DecodeError as error:
            raise Unusable(error.reason, error.message) from None
        except StoreUnavailable as error:
            raise Unusable(UNKNOWN_SCHEMA, f"its schema can't be fetched now: {error}") from None

    async def check_origin(self, registry_id: str, model: str, source: str, partition: int) -> None:
        """Check that a record is of our registry, and where its model belongs.

        Raises:
            Unusable: it is not.
        """
        row = self._rows.models.get(model)
        if self._partitions.get(model) != partition:
            if partition_of(model) != partition:
                raise Unusable(WRONG_PARTITION, f"{model} belongs into partition {partition_of(model)}: murmur2_random")
            if row is not None:
                self._partitions[model] = partition
        ours = self.registry_id or await self._read_registry_id()
        if registry_id != ours:
            if row is not None and row.hear_stranger(source, registry_id, self._ports.clock.monotonic()):
                self._changes.changed(model)
            raise Unusable(FOREIGN, f"registry {registry_id}, ours is {ours}")
        if row is not None and row.strangers.pop(source, None) is not None:
            self._changes.changed(model)

    async def _read_registry_id(self) -> str | None:
        """Our registry's id; None if there is none yet.

        Waits while it can't be read, be it that a person must mend it: nothing can be judged without it, and what
        is not taken stays in Kafka and counts as unread.
        """
        reported = False
        while self._ports.clock.monotonic() >= self._no_registry_until:
            try:
                self.registry_id = await asyncio.get_running_loop().run_in_executor(
                    self._ports.stores, self._reader.registry_id
                )
            except NotFound:
                self._no_registry_until = self._ports.clock.monotonic() + NO_REGISTRY_SECONDS
            except ModelcastError as error:
                if not reported:
                    log.error("records wait: the registry's id can't be read", error=error)
                reported = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._mirror.open(self.registry_id)
                return self.registry_id
        return None
