"""The policy's files as whoever changes them needs them: verified from the pinned root, also when they have expired.

Readers use python-tuf's updater (``policy_reader.py``), which refuses what has expired; renewing that is what this is
for. A holder of keys signs nothing that the pinned root does not bear out: a file that somebody else put into the store
must not become the policy with the next `keys renew`.
"""

from dataclasses import dataclass
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from modelcast.infra.trust.policy_files import FILE_SIZE_MAX, LEFT_BEHIND_MAX, ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, NotFound, VerificationFailed
from modelcast.schemas.ports import ObjectStore, StoredObject

ROOTS_MAX = 1_024
_T = TypeVar("_T", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class VerifiedFiles:
    """The newest of each file that the pinned root bears out."""

    root: Root
    targets: Targets
    snapshot: Snapshot
    timestamp: Timestamp
    timestamp_etag: str


def verified_files(store: ObjectStore, root_digest: str) -> VerifiedFiles:
    """The files in force; whether they have expired is not looked at.

    A snapshot above the one that the timestamp names is one, too, if the online keys have signed it: a change was cut
    off before its end, or somebody has put an older timestamp back. Either way what it says holds.

    Raises:
        NotFound: the store holds no policy.
        VerificationFailed: a file is not signed as the pinned root and those after it say, or the root is another one.
        ContentError: a file can't be read.
    """
    root = newest_root(store, root_digest)
    timestamp, etag = _delegated(store, "timestamp.json", Timestamp, TIMESTAMP, root)
    snapshot, _ = _delegated(store, f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot, SNAPSHOT, root)
    snapshot = _above(store, snapshot, root)
    targets, _ = _delegated(store, f"{snapshot.meta['targets.json'].version}.targets.json", Targets, TARGETS, root)
    return VerifiedFiles(root, targets, snapshot, timestamp, etag)


def _above(store: ObjectStore, snapshot: Snapshot, root: Root) -> Snapshot:
    for version in range(snapshot.version + 1, snapshot.version + 1 + LEFT_BEHIND_MAX):
        try:
            snapshot, _ = _delegated(store, f"{version}.snapshot.json", Snapshot, SNAPSHOT, root)
        except NotFound:
            break
        except (VerificationFailed, ContentError):
            continue  # anybody can write one that nobody has signed
    return snapshot


def newest_root(store: ObjectStore, root_digest: str) -> Root:
    """The last root of the chain that begins at the pinned one; raises as ``verified_files``."""
    key = keys.trust_file("1.root.json")
    body = _found(store, key).body
    if sha256_of(body) != root_digest:
        raise VerificationFailed(
            f"it is {sha256_of(body)}, pinned is {root_digest}",
            subject=f"{store.name}/{key}",
            hint="the store was swapped, or trust.root is wrong: compare it with who keeps the keys",
        )
    root = _parsed(body, key, Root).signed
    while root.version < ROOTS_MAX:
        key = keys.trust_file(f"{root.version + 1}.root.json")
        found = store.get(key, size_max=FILE_SIZE_MAX)
        if found is None:
            break
        above = _parsed(found.body, key, Root)
        try:
            root.verify_delegate(ROOT, above.signed_bytes, above.signatures)
            above.signed.verify_delegate(ROOT, above.signed_bytes, above.signatures)
        except (RepositoryError, ValueError) as error:
            raise _not_signed(key, error) from None
        if above.signed.version != root.version + 1:
            raise VerificationFailed(f"it is root {above.signed.version}", subject=key)
        root = above.signed
    return root


def _delegated(store: ObjectStore, name: str, kind: type[_T], role: str, root: Root) -> tuple[_T, str]:
    """A file that the root's role has signed, and its ETag."""
    key = keys.trust_file(name)
    found = _found(store, key)
    parsed = _parsed(found.body, key, kind)
    try:
        root.verify_delegate(role, parsed.signed_bytes, parsed.signatures)
    except (RepositoryError, ValueError) as error:
        raise _not_signed(key, error) from None
    return parsed.signed, found.info.etag


def _not_signed(key: str, error: Exception) -> VerificationFailed:
    hint = "somebody wrote to the store past Modelcast: put the object back from a copy (docs/trust.md)"
    return VerificationFailed(f"it can't be believed: {error}"[:300], subject=key, hint=hint)


def _found(store: ObjectStore, key: str) -> StoredObject:
    found = store.get(key, size_max=FILE_SIZE_MAX)
    if found is None:
        hint = "modelcast keys init; if that was cut off, delete trust/ in the origin first"
        raise NotFound("the store holds no policy", subject=key, hint=hint)
    return found


def _parsed(body: bytes, key: str, kind: type[_T]) -> Metadata[_T]:
    try:
        found = Metadata[_T].from_bytes(body)
    except (RepositoryError, ValueError, RecursionError) as error:
        raise ContentError(f"it is no file of a policy: {error}"[:300], subject=key) from None
    if not isinstance(found.signed, kind):
        raise ContentError(f"it is no {kind.__name__.lower()} file", subject=key)
    return found
