"""The policy's files, as whoever holds its keys writes them: TUF's root, targets, snapshot and timestamp.

They lie below ``trust/`` in the origin store. The root names the keys of the other three. The targets' delegations are
the policy; nothing is ever delegated to further files. Snapshot and timestamp bind them to one another and to a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import Signer, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from modelcast.schemas import keys
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.errors import ContentError, NotFound, Refused
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.trust.policy import Floor, TrustPolicy, TrustRole

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
FILE_SIZE_MAX = 5_000_000
LEFT_BEHIND_MAX = 100
"""So many changes in a row may have been cut off."""
FLOORS = "x-modelcast-floors"
"""A field of the targets file, which TUF leaves to its users and signs with the rest."""
EXPIRY_DAYS: Mapping[str, int] = {ROOT: 730, TARGETS: 365, SNAPSHOT: 365, TIMESTAMP: 365}


@dataclass(frozen=True, slots=True)
class PolicyKeys:
    """Who signs which file. Whoever only changes the policy needs no root keys, and leaves them empty.

    Attributes:
        root: says whose keys count for the other files.
        policy: grants and revokes.
        online: says what is the newest.
    """

    root: Sequence[Signer]
    policy: Sequence[Signer]
    online: Sequence[Signer]


def begin(store: ObjectStore, holders: PolicyKeys, *, now: datetime, threshold: int = 1) -> bytes:
    """Write the first root and an empty policy.

    Args:
        store: the origin.
        holders: all three kinds of keys; keys of root and policy count ``threshold`` at a time.
        now: today; files expire so many days later (``EXPIRY_DAYS``).
        threshold: how many of the root's, and of the policy's, keys must sign.

    Returns:
        The root's bytes; their SHA-256 is what regions pin.

    Raises:
        Refused: the store holds a root already, or there are fewer keys than the threshold.
    """
    roles = {ROOT: holders.root, TARGETS: holders.policy, SNAPSHOT: holders.online, TIMESTAMP: holders.online}
    root = Root(version=1, expires=expiry(ROOT, now), consistent_snapshot=True)
    for role, signers in roles.items():
        needed = threshold if role in (ROOT, TARGETS) else 1
        if len({signer.public_key.keyid for signer in signers}) < needed:
            raise Refused(f"{needed} keys are needed for {role}, {len(signers)} are given")
        for signer in signers:
            root.add_key(signer.public_key, role)
        root.roles[role].threshold = needed
    body = _signed(root, holders.root)
    try:
        store.put(keys.trust_file("1.root.json"), body, if_absent=True)
    except PreconditionFailed:
        hint = "`modelcast keys grant` and `revoke` change its policy"
        raise Refused("the store holds a root already", subject=store.name, hint=hint) from None
    targets = Targets(version=1, expires=expiry(TARGETS, now), delegations=Delegations(keys={}, roles={}))
    put_policy(store, targets, holders, now=now, before=None)
    return body


def grant_role(targets: Targets, role: TrustRole, public: Mapping[str, SSlibKey]) -> None:
    """Let the role's keys say what lies below its paths; a role of that name is replaced, and keeps its place."""
    delegations = _delegations(targets)
    assert delegations.roles is not None
    delegations.keys.update({keyid: public[keyid] for keyid in role.keyids})
    delegations.roles[role.name] = DelegatedRole(
        role.name, sorted(role.keyids), role.threshold, role.terminating, list(role.paths)
    )


def revoke_key(targets: Targets, keyid: str) -> None:
    """Take a key out of every role; a role that has too few keys left goes with it.

    Raises:
        NotFound: the policy has no such key.
    """
    delegations = _delegations(targets)
    if keyid not in delegations.keys:
        raise NotFound("the policy has no such key", subject=keyid, hint="modelcast keys list")
    del delegations.keys[keyid]
    for name, role in list((delegations.roles or {}).items()):
        role.keyids = [each for each in role.keyids if each != keyid]
        if len(role.keyids) < role.threshold:
            del (delegations.roles or {})[name]


def policy_of(targets: Targets) -> TrustPolicy:
    """The policy that a targets file is. What it holds beyond delegations to keys is not looked at."""
    delegations = _delegations(targets)
    roles = tuple(
        TrustRole(name, frozenset(each.keyids), each.threshold, tuple(each.paths or ()), each.terminating)
        for name, each in (delegations.roles or {}).items()
    )
    public = {keyid: public_text(key) for keyid, key in delegations.keys.items() if isinstance(key, SSlibKey)}
    expires_us = int(targets.expires.replace(tzinfo=UTC).timestamp() * 1_000_000)
    return TrustPolicy(targets.version, expires_us, public, roles, _floors(targets))


def set_floor(targets: Targets, model: str, floor: Floor) -> None:
    """Have the policy say that a model's history up to there is exactly this one. A floor is never lowered.

    Raises:
        Refused: the one that is there is higher.
    """
    known = _floors(targets).get(model)
    if known is not None and known.generation > floor.generation:
        raise Refused(f"its floor is at generation {known.generation} already, and is never lowered", subject=model)
    stated = targets.unrecognized_fields.setdefault(FLOORS, {})
    stated[model] = {"generation": floor.generation, "digest": floor.digest}


def _floors(targets: Targets) -> Mapping[str, Floor]:
    found = {}
    try:
        for model, floor in targets.unrecognized_fields.get(FLOORS, {}).items():
            generation, digest = floor["generation"], floor["digest"]
            if not (isinstance(generation, int) and generation > 0 and DIGEST_PATTERN.fullmatch(digest)):
                raise ValueError(f"of {model}")
            found[str(model)] = Floor(generation, digest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a floor of policy {targets.version} can't be read: {error}"[:200]) from None
    return found


def public_text(key: SSlibKey) -> str:
    """A public key as one text, the same for the same key whatever its id: type, scheme and value."""
    return f"{key.keytype} {key.scheme} {key.keyval['public'].strip()}"


def _delegations(targets: Targets) -> Delegations:
    if targets.delegations is None:
        targets.delegations = Delegations(keys={}, roles={})
    return targets.delegations


def put_policy(
    store: ObjectStore,
    targets: Targets,
    holders: PolicyKeys,
    *,
    now: datetime,
    before: tuple[Snapshot, Timestamp, str] | None,
) -> None:
    """Write the policy first, then what points to it: a reader sees the old one or the new one, whole.

    A version that a change which was cut off has left behind is passed over. The timestamp decides who was first.

    Args:
        store: the origin.
        targets: the policy; its version is raised to the first free one.
        holders: keys of policy and online.
        now: today.
        before: what is in force, and the timestamp's ETag; None: nothing is.

    Raises:
        Refused: somebody else changed it meanwhile.
    """
    snapshot, timestamp, etag = before or (Snapshot(), Timestamp(), "")
    if before:
        snapshot.version, timestamp.version = snapshot.version + 1, timestamp.version + 1
    for file, days in ((targets, TARGETS), (snapshot, SNAPSHOT), (timestamp, TIMESTAMP)):
        file.expires = expiry(days, now)
    try:
        _put_free(store, "targets", targets, holders.policy)
        snapshot.meta["targets.json"] = MetaFile(version=targets.version)
        _put_free(store, "snapshot", snapshot, holders.online)
        timestamp.snapshot_meta = MetaFile(version=snapshot.version)
        condition: dict[str, Any] = {"if_match": etag} if before else {"if_absent": True}
        store.put(keys.trust_file("timestamp.json"), _signed(timestamp, holders.online), **condition)
    except PreconditionFailed:
        raise Refused("somebody else changed the policy meanwhile", subject=store.name, hint="say it again") from None


def _put_free(store: ObjectStore, name: str, signed: Targets | Snapshot, signers: Sequence[Signer]) -> None:
    """Write a file under its version, or the first one above that is free. Raises ``PreconditionFailed``."""
    last = signed.version + LEFT_BEHIND_MAX
    while True:
        try:
            store.put(keys.trust_file(f"{signed.version}.{name}.json"), _signed(signed, signers), if_absent=True)
            return
        except PreconditionFailed:
            if signed.version == last:
                raise
            signed.version += 1


def expiry(role: str, now: datetime) -> datetime:
    """When a file that is signed now expires."""
    return (now + timedelta(days=EXPIRY_DAYS[role])).replace(microsecond=0, tzinfo=UTC)


def _signed(signed: Root | Targets | Snapshot | Timestamp, signers: Sequence[Signer]) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    for signer in {each.public_key.keyid: each for each in signers}.values():
        metadata.sign(signer, append=True)
    return metadata.to_bytes()
