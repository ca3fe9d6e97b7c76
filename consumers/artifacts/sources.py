"""Where a pod finds the bytes of a version: folders, verified before they are given out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from modelcast.consumers.artifacts.verified import verify_once
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, NotFound, VerificationFailed
from modelcast.schemas.manifest import Manifest


class ArtifactMissing(NotFound):
    """The artifact is not on this machine."""

    retryable = True


class ArtifactSource(Protocol):
    """Gives out artifacts as folders whose every file has been hashed against the manifest digest."""

    def open(self, manifest_digest: str) -> AbstractContextManager[Path]:
        """A verified folder holding the artifact's files, kept from eviction while the context is open.

        Files are regular files, not links that leave the folder: ONNX Runtime refuses external data that does.

        Raises:
            ArtifactMissing: it is not here.
            VerificationFailed: bytes differ from what the manifest says.
        """
        ...


ArtifactSourceFactory = Callable[[], ArtifactSource]
"""Makes a source. It is pickled and called in the worker process, so that hashing never competes with serving
for one interpreter's lock, and what keeps the folder from eviction lives and dies with the process that reads it.
A class, a module-level function or a ``functools.partial`` of one will do."""


class FolderArtifacts:
    """Artifacts in ``root/<hex of manifest digest>/``: ``manifest.json`` beside ``files/``. Nothing is evicted."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def open(self, manifest_digest: str) -> Iterator[Path]:
        """See ``ArtifactSource.open``."""
        folder = self._root / hex_of(manifest_digest)
        try:
            encoded = (folder / "manifest.json").read_bytes()
        except FileNotFoundError:
            raise ArtifactMissing("no such artifact in the folder", subject=manifest_digest) from None
        try:
            manifest = Manifest.decode(encoded, expected_digest=manifest_digest)
        except ContentError as error:
            raise VerificationFailed(error.message, subject=manifest_digest) from None
        verify_once(folder / "files", manifest, folder / "verified.json")
        yield folder / "files"
