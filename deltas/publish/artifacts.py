"""Artifacts as the origin holds them: their manifests, and files that deltas need and this machine lacks."""

import threading
from collections import OrderedDict
from pathlib import Path

from modelcast.deltas.codec import CancelCheck, never_cancelled
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of, sha256_of_stream
from modelcast.schemas.errors import NotFound
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore

MANIFESTS_KEPT = 32


class OriginArtifacts:
    """Reads them, and remembers the last manifests. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, manifest_digest: str, manifest: Manifest) -> None:
        """Keep a manifest: it will be wanted again."""
        with self._lock:
            self._manifests[manifest_digest] = manifest
            self._manifests.move_to_end(manifest_digest)
            while len(self._manifests) > MANIFESTS_KEPT:
                self._manifests.popitem(last=False)

    def manifest(self, digest: str) -> Manifest:
        """An artifact's manifest.

        Raises:
            NotFound: the store has lost it.
            ContentError: it is not what its name says.
        """
        with self._lock:
            known = self._manifests.get(digest)
        if known is None:
            found = self._store.get(keys.manifest(digest), size_max=MANIFEST_SIZE_MAX)
            if found is None:
                raise NotFound("no such manifest", subject=keys.manifest(digest))
            known = Manifest.decode(found.body, expected_digest=digest)
            self.remember(digest, known)
        return known

    def fetch(self, file: FileEntry, folder: Path, check: CancelCheck = never_cancelled) -> Path | None:
        """A file from the origin, checked, in ``folder``; None if it is not there or not what its name says.

        Args:
            check: called often; what it raises ends it.

        Raises:
            TransportError: the store can't be reached.
        """
        path = folder / hex_of(file.digest)
        try:
            with self._store.open(keys.blob(file.digest)) as stream, path.open("wb") as out:

                def take(piece: memoryview) -> None:
                    check()
                    out.write(piece)

                found = sha256_of_stream(stream, file.size_bytes, take)
        except NotFound:
            return None
        return path if found == file.digest else None
