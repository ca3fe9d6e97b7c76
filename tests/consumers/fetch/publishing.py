"""Artifacts for tests: published into a store, and stores that misbehave on purpose."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random

from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest
from modelcast.schemas.ports import ByteStream, ObjectInfo, ObjectStore, Progress, Ready, StoredObject

MIB = BLOCK_SIZE_BYTES


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no two seeds share a block of."""
    return hashlib.shake_128(str(seed).encode()).digest(size_bytes)


def entry(path: str, body: bytes) -> FileEntry:
    """A manifest's line."""
    blocks = [body[i : i + MIB] for i in range(0, len(body), MIB)]
    return FileEntry(path, len(body), sha256_of(body), tuple(hashlib.sha256(b).hexdigest() for b in blocks))


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of an artifact."""
    return Manifest(tuple(entry(path, body) for path, body in sorted(files.items())))


def publish(store: ObjectStore, files: Mapping[str, bytes]) -> Manifest:
    """Put an artifact's blobs and manifest."""
    manifest = manifest_of(files)
    for file in manifest.files:
        store.put(keys.blob(file.digest), files[file.path])
    store.put(keys.manifest(manifest.digest), manifest.encode())
    return manifest


def step_from(old: bytes, seed: int = 1) -> bytes:
    """Every 4 KiB a byte changes: no block stays the same, and yet little is new."""
    new, random = bytearray(old), Random(seed)
    for at in range(0, len(new), 4096):
        new[at + random.randrange(min(4096, len(new) - at))] ^= 1 + random.randrange(255)
    return bytes(new)


OLD = noise(2 * MIB + 100_000, 1)
SMALL = noise(500, 8)
FILES = {"model.onnx": noise(3 * MIB + 17, 1), "tokenizer/vocab.txt": noise(900, 2), "empty": b""}
TOTAL = sum(map(len, FILES.values()))


def cached(cache: ArtifactCache, manifest: Manifest) -> dict[str, bytes]:
    """The files of an artifact that is in the cache, verified."""
    with cache.open(manifest.digest) as folder:
        return tree(folder)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Wrapped:
    """A store in front of another; tests override what shall go wrong. Counts what is read."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.blob_bytes_read = 0
        self.blobs_opened: list[str] = []
        self.uploads: list[str] = []
        self.lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.store.name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        return self.store.get(key, size_max=size_max)

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        with self.lock:
            self.blobs_opened.append(key)
        with self.store.open(key, start=start, length=length, etag=etag) as stream:
            yield _Counting(self, stream)

    def head(self, key: str) -> ObjectInfo | None:
        return self.store.head(key)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        return self.store.put(key, body, if_absent=if_absent, if_match=if_match)

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
        self.on_upload(path, ready)
        with self.lock:
            self.uploads.append(key)
        self.store.upload(key, path, size_bytes=size_bytes, digest=digest, progress=progress, ready=ready)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        return self.store.list(prefix, start_after=start_after)

    def folders(self, prefix: str) -> Iterator[str]:
        return self.store.folders(prefix)

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def on_upload(self, path: Path, ready: Ready | None) -> None:
        """Called before a file is uploaded; ``ready`` is there while it is still being put together."""

    def on_read(self, count: int) -> None:
        """Called after bytes of a blob were read."""
        with self.lock:
            self.blob_bytes_read += count


class _Counting:
    def __init__(self, owner: Wrapped, stream: ByteStream) -> None:
        self.info = stream.info
        self._owner = owner
        self._stream = stream

    def readinto(self, buffer: memoryview) -> int:
        count = self._stream.readinto(buffer)
        self._owner.on_read(count)
        return count


class Failing(Wrapped):
    """Raises what ``fault(key, how many times it was opened)`` returns, if anything, instead of opening."""

    def __init__(self, store: ObjectStore, fault: Callable[[str, int], Exception | None]) -> None:
        super().__init__(store)
        self._fault = fault

    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        with self.lock:
            times = self.blobs_opened.count(key)
        error = self._fault(key, times)
        if error is not None:
            with self.lock:
                self.blobs_opened.append(key)
            raise error
        return super().open(key, start=start, length=length, etag=etag)


def damage(store: MemoryStore, digest: str, offset: int = -1) -> None:
    """Change one byte of a blob."""
    found = store.get(keys.blob(digest), size_max=1 << 30)
    assert found is not None
    body = bytearray(found.body)
    body[offset] ^= 1
    store.put(keys.blob(digest), bytes(body))
