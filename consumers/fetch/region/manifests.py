"""Reading manifests, which prove themselves by their digest."""

from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, Refused
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, Manifest
from modelcast.schemas.ports import ObjectStore


def find_manifest(store: ObjectStore, digest: str, key: str) -> Manifest | None:
    """The manifest at ``key``; None if it is not there.

    Raises:
        DamagedBytes: other bytes lie there.
        Refused: the store denies them, which says nothing about what they are.
        ContentError: they are the bytes meant, but no manifest that may be used (a path leaves the folder, …).
    """
    try:
        found = store.get(key, size_max=MANIFEST_SIZE_MAX)
    except Refused:
        raise
    except ContentError as error:
        raise DamagedBytes("", expected=digest, got=error.message, store=store.name) from error
    if found is None:
        return None
    got = sha256_of(found.body)
    if got != digest:
        raise DamagedBytes("", expected=digest, got=got, store=store.name)
    return Manifest.decode(found.body, expected_digest=digest)


def read_manifest(store: ObjectStore, digest: str, key: str) -> Manifest:
    """The manifest at ``key``.

    Raises:
        BlobMissing: it is not there.
        DamagedBytes, Refused, ContentError: as ``find_manifest``.
    """
    manifest = find_manifest(store, digest, key)
    if manifest is None:
        raise BlobMissing("the manifest is not in the store", subject=f"{store.name}/{key}")
    return manifest
