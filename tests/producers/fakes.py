"""What the publisher's tests put around a store: failures at chosen calls, and an announcer that remembers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from modelcast.infra.settings import Settings, StoreSettings
from modelcast.schemas.codec import DEFAULT
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.ports import Announcer, ByteStream, ObjectInfo, ObjectStore, Progress, Ready, StoredObject
from modelcast.schemas.records import Entry

SETTINGS = Settings(stores={"origin": StoreSettings(url="s3://unused")})

Hook = Callable[[str, str], None]
"""Called with the call's name and key, e.g. ("put", "registry/id.json"); may raise."""


def nothing(_call: str, _key: str) -> None:
    """The hook that does nothing."""


class HookedStore:
    """An ``ObjectStore`` around another, with a hook before and after each call."""

    def __init__(self, inner: ObjectStore, *, before: Hook = nothing, after: Hook = nothing) -> None:
        self.inner, self.before, self.after = inner, before, after

    @property
    def name(self) -> str:
        return self.inner.name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.before("get", key)
        found = self.inner.get(key, size_max=size_max)
        self.after("get", key)
        return found

    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        return self.inner.open(key, start=start, length=length, etag=etag)

    def head(self, key: str) -> ObjectInfo | None:
        self.before("head", key)
        found = self.inner.head(key)
        self.after("head", key)
        return found

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        self.before("put", key)
        info = self.inner.put(key, body, if_absent=if_absent, if_match=if_match)
        self.after("put", key)
        return info

    def upload(
        self,
        key: str,
        path: Path,
        *,
        size_bytes: int,
        digest: str,
        progress: Progress | None = None,
        ready: Ready | None = None,
    ) -> None:
        self.before("upload", key)
        self.inner.upload(key, path, size_bytes=size_bytes, digest=digest, progress=progress, ready=ready)
        self.after("upload", key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        self.before("list", prefix)
        return self.inner.list(prefix, start_after=start_after)

    def folders(self, prefix: str) -> Iterator[str]:
        return self.inner.folders(prefix)

    def delete(self, key: str) -> None:
        self.before("delete", key)
        self.inner.delete(key)
        self.after("delete", key)


class CarelessStore(HookedStore):
    """A store that ignores the conditions of puts, as some do."""

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        return super().put(key, body)


class Heard(Announcer):
    """An announcer that remembers; ``away``: as if Kafka were."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, bytes]] = []
        self.away = False

    def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        if self.away:
            raise KafkaUnavailable("Kafka: no confirmation", hint="is Kafka up?")
        self.said.append((topic, key, value))

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def records(self) -> list[Entry]:
        return [read_stated(value, book=DEFAULT).entry for _, _, value in self.said]
