"""A partition of changes, and a store that dies between any two calls, or in the middle of one."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from modelcast.agents.history.archive import PartitionArchive
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from modelcast.schemas.topics import partition_of

SECOND = 1_000_000
UNREAD_US = 600 * SECOND
"""Who is not heard or read back for longer is silent."""
BEGIN_US = 1_800_000_000 * SECOND
REGISTRY = "a-registry"
MODELS = [name for n in range(200) if partition_of(name := f"model-{n}") == 3][:4]
REGIONS = ("ap", "eu", "us")
WORDS = ("OK", "OK", "OK", "LAG", "LAG", "SILENT", "REFUSED", "FAILED")


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


def some_changes(rng: random.Random, count: int) -> list[VersionChange]:
    """Changes of four models in three regions over some days; a few say nothing new, some regions fall silent."""
    at_us, found = BEGIN_US, []
    last: dict[tuple[str, str], VersionChange] = {}
    while len(found) < count:
        earlier_us = at_us
        at_us += rng.choice((1, 40, 900, 20_000)) * rng.randint(1, 1000) * 1000
        if rng.random() < 0.02:  # no tracker ran: it is recorded of every model
            found += [VersionChange(REGISTRY, m, ALL_OF_THEM, "NONE", at_us, earlier_us) for m in MODELS]
            continue
        model, region = rng.choice(MODELS), rng.choice(REGIONS)
        before = last.get((model, region))
        since_us = max(before.changed_at_us, at_us - UNREAD_US) if before else 0
        version = rng.randint(1, 6)
        change = VersionChange(
            REGISTRY,
            model,
            region,
            rng.choice(WORDS),
            at_us,
            rng.randrange(since_us, at_us) // 1000 * 1000 if before else 0,
            version,
            digest(version),
            version + 3,
            3,
            3,
            at_us - rng.randint(-5, 400) * 1000,
        )
        last[model, region] = change
        found.append(change)
        if rng.random() < 0.1:
            found.append(change)  # its sender was killed before it knew that it had arrived
    return found


class Died(Exception):
    """The process was killed here."""


@dataclass
class MortalStore(MemoryStore):
    """Dies at random before a call takes effect, or after it has."""

    rng: random.Random = field(default_factory=random.Random)
    risk: float = 0.0
    deaths: int = 0
    reads: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def _mortal(self, call: Callable[[], Any]) -> Any:
        self._may_die()
        found = call()
        self._may_die()
        return found

    def _may_die(self) -> None:
        if self.rng.random() < self.risk:
            self.deaths += 1
            raise Died

    def get(self, key: str, *, size_max: int) -> Any:
        self.reads += 1
        return self._mortal(lambda: super(MortalStore, self).get(key, size_max=size_max))

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Any:
        return self._mortal(lambda: super(MortalStore, self).put(key, body, if_absent=if_absent, if_match=if_match))

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[Any]:
        self.reads += 1
        found: Iterator[Any] = self._mortal(lambda: super(MortalStore, self).list(prefix, start_after=start_after))
        return found

    def delete(self, key: str) -> None:
        self._mortal(lambda: super(MortalStore, self).delete(key))


@dataclass
class ArchivingWorld:
    """Archivers that come and go over one partition, two at once now and then."""

    store: MortalStore
    rng: random.Random
    log: list[VersionChange] = field(default_factory=list)  # on Kafka, by offset
    archivers: list[PartitionArchive] = field(default_factory=list)
    topic_id: str = "topic-1"

    def archiver(self) -> PartitionArchive:
        archive = PartitionArchive(self.store, 3, REGISTRY, self.topic_id)
        archive.begin(0, len(self.log))
        return archive

    def step(self, now_us: int) -> None:
        """Every archiver reads on and writes what is due; one that dies is replaced, one may be born beside it."""
        for archive in list(self.archivers):
            try:
                self._work(archive, now_us)
            except Died:
                self.archivers.remove(archive)
        if not self.archivers or (len(self.archivers) == 1 and self.rng.random() < 0.02):
            try:
                self.archivers.append(self.archiver())
            except Died:
                return

    def _work(self, archive: PartitionArchive, now_us: int) -> None:
        there = len(self.log)
        upto = there if self.rng.random() < 0.7 else self.rng.randint(archive.end, max(archive.end, there))
        for offset in range(archive.end, upto):
            archive.take(offset, self.log[offset])
        if archive.is_due(now_us):
            if not archive.seal(now_us):
                archive.begin(0, len(self.log))
        elif archive.end == len(self.log) and archive.wants_mark(now_us):
            archive.mark(now_us)
