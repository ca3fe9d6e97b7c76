"""Where a pod finds the bytes of a version: verified folders, kept while they are in use."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, NotFound, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest

CHUNK_SIZE_BYTES = 1024 * 1024


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
        verify_folder(folder / "files", manifest)
        yield folder / "files"


def verify_folder(folder: Path, manifest: Manifest) -> None:
    """Prove that ``folder`` holds the manifest's files and nothing else.

    A file that the manifest does not name is refused too: a model could read it.

    Raises:
        VerificationFailed: a file is missing, other than listed, or not listed; it is named.
        OSError: a file that is there can't be read: no fault of its bytes.
    """
    listed = {entry.path for entry in manifest.files}
    for parent, folders, names in os.walk(folder):
        for name in [*names, *(f for f in folders if (Path(parent) / f).is_symlink())]:
            path = (Path(parent) / name).relative_to(folder).as_posix()
            if path not in listed:
                raise VerificationFailed("a file that the manifest does not name", subject=path)
    for entry in manifest.files:
        _verify_file(folder / entry.path, entry)


def _verify_file(path: Path, entry: FileEntry) -> None:
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_SIZE_BYTES):
                size_bytes += len(chunk)
                if size_bytes > entry.size_bytes:
                    break
                digest.update(chunk)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise VerificationFailed(f"can't be read: {error.strerror}", subject=entry.path) from None
    if size_bytes != entry.size_bytes or "sha256:" + digest.hexdigest() != entry.digest:
        raise VerificationFailed("bytes differ from the manifest", subject=entry.path)
