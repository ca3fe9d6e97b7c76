"""A registry on a store in memory that counts requests and can be made to fail in S3's ways."""

from collections import Counter
from collections.abc import Iterator

from modelcast.infra.registry.claim import Claimed, claim
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectInfo, StoredObject
from modelcast.schemas.records import ArtifactRef, ModelUpdate


class CountingStore(MemoryStore):
    """Counts requests; the ``puts_lost`` next conditional puts happen, but their answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.logs_listed: list[str] = []
        self.puts_lost = 0
        self.puts_refused = 0

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.calls["get"] += 1
        return super().get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        self.calls["list"] += 1
        if prefix != keys.log_prefix("schemas"):  # is that a model?
            self.logs_listed.append(prefix)
        return super().list(prefix, start_after=start_after)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        self.calls["put"] += 1
        if "/log/" in key and self.puts_refused:
            self.puts_refused -= 1
            raise StoreUnavailable("409 ConditionalRequestConflict")
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        if "/log/" in key and self.puts_lost:
            self.puts_lost -= 1
            raise StoreUnavailable("timed out")
        return info


DIGEST = "sha256:" + "ab" * 32


def update(log: ModelLog, event_id: str, version: int | None = None) -> ModelUpdate:
    return ModelUpdate(
        registry_id=log.registry_id,
        event_id=event_id,
        model=log.model,
        version=version or log.next_version,
        generation=log.head + 1,
        artifact=ArtifactRef("origin", keys.manifest(DIGEST), DIGEST, 10, 1, "onnx"),
        published_at_us=1_700_000_000_000_000,
    )


def publish(reader: RegistryReader, log: ModelLog, event_id: str) -> Claimed:
    return claim(reader, log, event_id, lambda known: update(known, event_id))


def filled(reader: RegistryReader, count: int, model: str = "fraud") -> ModelLog:
    log = reader.open_log(model)
    for number in range(count):
        log = publish(reader, log, f"event-{log.head + 1}-{number}").log
    return log


def body_of(store: CountingStore, generation: int) -> bytes:
    found = store.get(keys.log_entry("fraud", generation), size_max=10**6)
    assert found is not None
    return found.body
