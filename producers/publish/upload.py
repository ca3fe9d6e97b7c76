"""An artifact's way into the origin store: the manifest, and what the store lacks of the blobs."""

import threading
from collections.abc import Callable

from modelcast.infra.stores.s3.etags import etag_fits
from modelcast.producers.artifact import Artifact, LocalFile, changed
from modelcast.producers.origin import retried_put
from modelcast.producers.progress import PublishProgress
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of_stream
from modelcast.schemas.errors import NotFound, VerificationFailed
from modelcast.schemas.ports import ObjectStore, PreconditionFailed, Progress


class Uploader:
    """Puts one artifact. Everything is content-addressed, so doing it twice or at once with others is harmless.

    Attributes:
        uploaded_bytes: of blobs that the store lacked, or held damaged.
        mended: paths of files whose blobs were damaged.
    """

    def __init__(self, store: ObjectStore, artifact: Artifact, progress: PublishProgress | None = None) -> None:
        self._store = store
        self._artifact = artifact
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._there: list[LocalFile] = []
        self.uploaded_bytes = 0
        self.mended: list[str] = []

    def calls(self) -> list[Callable[[], None]]:
        """What there is to do, one call an object, in any order or at once."""
        once = {file.entry.digest: file for file in self._artifact.files}
        for file in self._artifact.files:
            if once[file.entry.digest] is not file:  # the same bytes under another name
                self._advance(file.entry.size_bytes)
        # Large ones first, so that they don't begin when all others are done.
        files = sorted(once.values(), key=lambda f: -f.entry.size_bytes)
        return [self._put_manifest, *(self._blob_call(file) for file in files)]

    def checks(self, *, read_back: bool) -> list[Callable[[], None]]:
        """Once ``calls`` are done: what there is to do to put right what the store had, but had damaged.

        Args:
            read_back: read all of it; else only that whose ETag is not that of the bytes here.
        """
        return [self._check_manifest, *(lambda file=file: self._check(file, read_back) for file in self._there)]

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of it."""
        return (f"damaged in the store, put right: {', '.join(sorted(self.mended))}",) if self.mended else ()

    def stop(self) -> None:
        """Have uploads that are under way end with the part that they are at; a rerun goes on from there."""
        self._stopped.set()

    def _blob_call(self, file: LocalFile) -> Callable[[], None]:
        return lambda: self._put_blob(file)

    def _put_manifest(self) -> None:
        self._put_if_lacking(keys.manifest(self._artifact.digest), self._artifact.encoded)

    def _put_blob(self, file: LocalFile) -> None:
        key, size = keys.blob(file.entry.digest), file.entry.size_bytes
        if file.content is not None:
            lacking = self._put_if_lacking(key, file.content)
            if not lacking:
                self._there.append(file)
            self._count(size, lacking=lacking)
            return
        found = self._store.head(key)
        if found is not None and found.size_bytes == size:
            self._there.append(file)
            self._count(size, lacking=False)
            return
        self._upload(file, self._advance)

    def _upload(self, file: LocalFile, progress: Progress) -> None:
        key, size = keys.blob(file.entry.digest), file.entry.size_bytes
        try:
            self._store.upload(key, file.path, size_bytes=size, digest=file.entry.digest, progress=progress)
        except VerificationFailed as error:
            raise changed(file.path) from error
        with self._lock:
            self.uploaded_bytes += size

    def _check_manifest(self) -> None:
        key, body = keys.manifest(self._artifact.digest), self._artifact.encoded
        found = self._store.head(key)
        if found is None or not _is_so(self._store, key, self._artifact.digest, len(body)):
            self._store.put(key, body)

    def _check(self, file: LocalFile, read_back: bool) -> None:
        key, size = keys.blob(file.entry.digest), file.entry.size_bytes
        found = self._store.head(key)
        looks_right = found is not None and found.size_bytes == size and etag_fits(found.etag, file.path, size)
        if looks_right and not read_back:
            return
        if found is not None and _is_so(self._store, key, file.entry.digest, size):
            return
        self._upload(file, self._go_on)
        with self._lock:
            self.mended.append(file.entry.path)

    def _put_if_lacking(self, key: str, body: bytes) -> bool:
        """One round trip, whether the store has it or not; True if it did not."""
        try:
            retried_put(lambda: self._store.put(key, body, if_absent=True))
        except PreconditionFailed:
            return False
        return True

    def _count(self, size: int, *, lacking: bool) -> None:
        if lacking:
            with self._lock:
                self.uploaded_bytes += size
        self._advance(size)

    def _go_on(self, _done_bytes: int) -> None:
        if self._stopped.is_set():
            raise InterruptedError("the publication has ended")

    def _advance(self, done_bytes: int) -> None:
        self._go_on(done_bytes)
        if self._progress:
            with self._lock:
                self._progress.advance(done_bytes)


def _is_so(store: ObjectStore, key: str, digest: str, size_bytes: int) -> bool:
    """Whether the store gives back the bytes that ``digest`` names."""
    try:
        with store.open(key) as stream:
            return stream.info.size_bytes == size_bytes and sha256_of_stream(stream, size_bytes) == digest
    except NotFound:
        return False
