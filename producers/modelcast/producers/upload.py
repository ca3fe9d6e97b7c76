"""An artifact's way into the origin store: the manifest, and what the store lacks of the blobs."""

import threading
from collections.abc import Callable

from modelcast.producers.artifact import Artifact, LocalFile, changed
from modelcast.producers.origin import retried
from modelcast.producers.publication import PublishProgress
from modelcast.schemas import keys
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.ports import ObjectStore, PreconditionFailed


class Uploader:
    """Puts one artifact. Everything is content-addressed, so doing it twice or at once with others is harmless.

    Attributes:
        uploaded_bytes: of blobs that the store lacked.
    """

    def __init__(self, store: ObjectStore, artifact: Artifact, progress: PublishProgress | None = None) -> None:
        self._store = store
        self._artifact = artifact
        self._progress = progress
        self._lock = threading.Lock()
        self.uploaded_bytes = 0

    def calls(self) -> list[Callable[[], None]]:
        """What there is to do, one call an object, in any order or at once."""
        once = {file.entry.digest: file for file in self._artifact.files}
        for file in self._artifact.files:
            if once[file.entry.digest] is not file:  # the same bytes under another name
                self._advance(file.entry.size_bytes)
        # Large ones first, so that they don't begin when all others are done.
        files = sorted(once.values(), key=lambda f: -f.entry.size_bytes)
        return [self._put_manifest, *(self._blob_call(file) for file in files)]

    def _blob_call(self, file: LocalFile) -> Callable[[], None]:
        return lambda: self._put_blob(file)

    def _put_manifest(self) -> None:
        self._put_if_lacking(keys.manifest(self._artifact.digest), self._artifact.encoded)

    def _put_blob(self, file: LocalFile) -> None:
        key, size = keys.blob(file.entry.digest), file.entry.size_bytes
        if file.content is not None:
            self._count(size, lacking=self._put_if_lacking(key, file.content))
            return
        found = self._store.head(key)
        if found is not None and found.size_bytes == size:
            self._count(size, lacking=False)
            return
        try:
            self._store.upload(key, file.path, size_bytes=size, digest=file.entry.digest, progress=self._advance)
        except VerificationFailed as error:
            raise changed(file.path) from error
        with self._lock:
            self.uploaded_bytes += size

    def _put_if_lacking(self, key: str, body: bytes) -> bool:
        """One round trip, whether the store has it or not; True if it did not."""
        try:
            retried(lambda: self._store.put(key, body, if_absent=True))
        except PreconditionFailed:
            return False
        return True

    def _count(self, size: int, *, lacking: bool) -> None:
        if lacking:
            with self._lock:
                self.uploaded_bytes += size
        self._advance(size)

    def _advance(self, done_bytes: int) -> None:
        if self._progress:
            with self._lock:
                self._progress.advance(done_bytes)
