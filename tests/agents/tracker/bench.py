"""An intake and the few parts that it speaks to: what a test reports comes in, what becomes of it is looked at."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.intake import Intake
from modelcast.agents.tracker.log_watch import LogWatch
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import encode, writer_schema
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.ports import ObjectInfo, StoredObject
from modelcast.schemas.topics import Topic, partition_of
from tests.agents.tracker.makers import MODEL, REGISTRY, SECOND, pages, pod
from tests.agents.tracker.ports import ports_of, unreadable
from tests.support.waiting import until_async

NOW_US = 10_000 * SECOND
FORGED = 2**62


class Store(MemoryStore):
    """Counts what is asked for: schemas, and all else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.requests: list[str] = []

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.requests.append(key)
        if key.startswith("registry/schemas/"):
            self.asked.append(key)
        return super().get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        self.requests.append(prefix)
        return super().list(prefix, start_after=start_after)

    def folders(self, prefix: str) -> Iterator[str]:
        self.requests.append(prefix)
        return super().folders(prefix)


class Bench:
    """An intake whose reader knows no schema at all, and the few parts that it speaks to.

    ``epochs``: what regions' state objects say; a region that is not there has no bucket. Reading them ends when
    ``may_look`` is set.
    """

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.looks: list[str] = []
        self.may_look = threading.Event()
        self.may_look.set()
        self.at_us = NOW_US
        self.store = Store()
        self.store.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
        self.reader = RegistryReader(self.store, book=SchemaBook(own=()))
        self.rows, self.heartbeats = Rows(), Heartbeats()
        self.rows.owned = frozenset(range(12))
        self.rows.row(MODEL)  # known; of others the registry is asked
        self.heard = Epochs()
        self.reading = ReadProgress(self.heard)
        self.buried: list[str] = []
        self.changes: list[str] = []
        self.refused: list[str] = []
        anything: Any = SimpleNamespace(open=lambda *_: None, heartbeat=lambda *_: None)
        sender = SimpleNamespace(dead_letter=lambda raw, *, reason, **_: self.buried.append(reason))
        ports = ports_of(sender=sender, epoch_of=self.epoch_of)
        findings: Any = SimpleNamespace(
            refuse=lambda _, reason, __: self.refused.append(reason),
            announce=lambda *_: None,
            log_changed=self.changes.append,
            met=lambda model: self.intake.reports.met(model),
            unknown=lambda model: self.intake.reports.unknown(model),
        )
        self.watch = LogWatch(self.reader, self.rows, findings, announce_seconds=3600.0, ports=ports)
        self.intake = Intake(
            self.reader,
            self.rows,
            self.heartbeats,
            self.heard,
            self.watch,
            ports,
            anything,
            SimpleNamespace(
                changed=self.changes.append,
                repeated=lambda model, _: self.changes.append(model),
                leave_out=lambda _: None,
            ),
            ("ap", "eu", "us"),
        )
        self.table: dict[bytes, bytes] = {}

    def epoch_of(self, region: str, model: str) -> int:
        self.looks.append(region)
        known = self.epochs.get(region)
        assert self.may_look.wait(30)
        return unreadable(region, model) if known is None else known

    def order(self, region: str = "eu", model: str = MODEL) -> tuple[int, int] | None:
        row = self.rows.models.get(model)
        rows = row.regions.get(region) if row is not None else None
        return rows.complete.order[:2] if rows is not None and rows.complete is not None else None

    async def report(self, **snapshot: Any) -> None:
        region = snapshot.pop("region", "eu")
        for ack in pages(region, [pod("a", 1, 1)], **snapshot):
            await self.ack(encode(ack), ack.model)

    def knows(self, kind: type[Any]) -> None:
        fingerprint, text = writer_schema(kind)
        self.store.put(keys.schema(fingerprint), text.encode())

    def beat(self, raw: bytes) -> None:
        self.intake.heartbeat(raw, b"eu/w", 0, NOW_US, NOW_US)

    async def ack(self, raw: bytes, model: str = MODEL) -> None:
        message: Any = SimpleNamespace(
            key=None, value=raw, partition=partition_of(model), offset=0, headers=None, topic="model-acks",
            timestamp=self.at_us / SECOND,
        )  # fmt: skip
        await self.intake.ack(message, self.table)

    async def announce(self, body: bytes, model: str = MODEL) -> None:
        message: Any = SimpleNamespace(
            key=model.encode(), value=body, partition=partition_of(model), offset=0, headers=None,
            topic=str(Topic.MODEL_UPDATES), timestamp=self.at_us / SECOND,
        )  # fmt: skip
        await self.intake.update(message, self.table)

    async def until(self, condition: Callable[[], object]) -> None:
        await until_async(condition)

    def close(self) -> None:
        self.may_look.set()
        self.intake.close()
        self.reader.close()
