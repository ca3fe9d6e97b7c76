"""Artifacts small enough for thousands of worlds, with real manifests and real hashes."""

from dataclasses import dataclass, replace
from functools import lru_cache

from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact as it lies somewhere: the manifest's bytes and the one file's."""

    manifest: bytes
    data: bytes

    def damaged(self, byte: int) -> "Stored":
        """With one bit flipped."""
        at = byte % len(self.data)
        return replace(self, data=self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1 :])


@lru_cache(maxsize=4096)
def manifest_of(data: bytes) -> Manifest:
    """The manifest of an artifact of one file."""
    digest = sha256_of(data)
    return Manifest((FileEntry("model.bin", len(data), digest, (digest[7:],)),), "simulated")


@lru_cache(maxsize=4096)
def digest_of(data: bytes) -> str:
    """What an artifact's bytes really hash to."""
    return manifest_of(data).digest


def make(data: bytes) -> Stored:
    """An intact artifact."""
    return Stored(manifest_of(data).encode(), data)


def is_intact(stored: Stored, manifest_digest: str) -> bool:
    """What a region's fetch proves of what has arrived."""
    return digest_of(stored.data) == manifest_digest


def verify(stored: Stored, manifest_digest: str) -> None:
    """What a pod proves before it loads; as ``verify_folder`` does, without the folder.

    Raises:
        VerificationFailed: the bytes are others.
    """
    try:
        manifest = Manifest.decode(stored.manifest, expected_digest=manifest_digest)
    except ContentError as error:
        raise VerificationFailed(error.message, subject=manifest_digest) from None
    if sha256_of(stored.data) != manifest.files[0].digest:
        raise VerificationFailed("bytes differ from the manifest", subject=manifest_digest)
