"""The region's own bucket during one fetch: what it has, what enters it, and what it must not give out any more."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.region.manifests import find_manifest
from modelcast.consumers.fetch.transfer.readers import at_once
from modelcast.consumers.fetch.transfer.retry import retried
from modelcast.infra.files import sha256_of_file
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore, Ready

LOOKERS = 8
LOOK_FROM_BYTES = 64 * 1024
"""Smaller files are not looked for one by one: asking takes as long as bringing them."""
UPLOADERS = 4


class RegionalBucket:
    """One artifact's objects in the regional bucket.

    The manifest is put there last, so it vouches for the blobs.

    Attributes:
        vouched: the manifest is there.
    """

    def __init__(self, store: ObjectStore, manifest_digest: str, context: Context) -> None:
        self.store = store
        self.vouched = False
        self._digest = manifest_digest
        self._key = keys.manifest(manifest_digest)
        self._context = context

    def find(self) -> Manifest | None:
        """The manifest, if it is there; a damaged one is removed."""
        try:
            found = retried(lambda: find_manifest(self.store, self._digest, self._key), self._context)
        except DamagedBytes:
            self.store.delete(self._key)
            return None
        self.vouched = found is not None
        return found

    def has_all(self) -> bool:
        """Whether the artifact is there, whole."""
        self.vouched = retried(lambda: self.store.head(self._key), self._context) is not None
        return self.vouched

    def digests(self, manifest: Manifest) -> frozenset[str]:
        """The digests of the artifact's files whose bytes are known to be there."""
        if self.vouched:
            return frozenset(file.digest for file in manifest.files)
        sizes = {file.digest: file.size_bytes for file in manifest.files if file.size_bytes >= LOOK_FROM_BYTES}

        there: set[str] = set()

        def look(digest: str) -> None:
            info = retried(lambda: self.store.head(keys.blob(digest)), self._context)
            if info is not None and info.size_bytes == sizes[digest]:
                there.add(digest)

        at_once(look, list(sizes), LOOKERS, Event())
        return frozenset(there)

    def distrust(self, digest: str) -> None:
        """A blob is damaged: it must not be read, nor the manifest believed that names it."""
        self.vouched = False
        with suppress(ModelcastError):  # the origin is tried whatever comes of this, and what it gives overwrites
            self.store.delete(self._key)
            self.store.delete(keys.blob(digest))

    def admit(self, manifest: Manifest, files: Mapping[str, tuple[FileEntry, Path]]) -> None:
        """Put ``files`` (by digest), then the manifest.

        Raises:
            DamagedBytes: a file is not what its digest says, though its blocks were: the manifest lies.
        """
        self._context.meter.files_begin("entering the region", len(files))

        def enter(digest: str) -> None:
            self.upload(*files[digest])
            self._context.meter.file_done()

        at_once(enter, list(files), UPLOADERS, Event())
        if not self.vouched:
            retried(lambda: self.store.put(self._key, manifest.encode()), self._context)
            self.vouched = True

    def upload(self, file: FileEntry, path: Path, *, ready: Ready | None = None) -> None:
        """Put one file; ``ready`` is waited for before bytes of it are read.

        Raises:
            DamagedBytes: it is not what its digest says.
        """
        key = keys.blob(file.digest)
        try:
            retried(
                lambda: self.store.upload(key, path, size_bytes=file.size_bytes, digest=file.digest, ready=ready),
                self._context,
            )
        except VerificationFailed as error:
            raise DamagedBytes(file.path, expected=file.digest, got=sha256_of_file(path), store=str(path)) from error
