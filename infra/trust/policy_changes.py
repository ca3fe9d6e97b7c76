"""Changing the policy, and rotating the keys that may: what is in force is verified first, then changed and signed."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from modelcast.infra.trust.policy_files import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    PolicyKeys,
    expiry,
    policy_of,
    put_policy,
)
from modelcast.infra.trust.verified_files import VerifiedFiles, verified_files
from modelcast.schemas import keys
from modelcast.schemas.errors import Refused
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.trust.policy import faults


def change(
    store: ObjectStore, root_digest: str, holders: PolicyKeys, edit: Callable[[Targets], None], *, now: datetime
) -> int:
    """Change the policy and bind it to today: ``edit`` changes the delegations that are in force.

    Returns:
        The new policy's version.

    Raises:
        Refused: somebody else changed it at the same moment, what comes out may not be used, or readers would refuse
            it because other keys must sign.
        VerificationFailed: what the store holds is not the policy of the pinned root.
        NotFound: the store holds no policy.
    """
    files = verified_files(store, root_digest)
    edit(files.targets)
    if wrong := faults(policy_of(files.targets)):
        raise Refused(f"the policy would be of no use: {'; '.join(wrong)}", subject=store.name)
    _require_holders(files.root, holders, store.name)
    return _put_next(store, files, holders, now)


def rotate_root(
    store: ObjectStore,
    root_digest: str,
    holders: PolicyKeys,
    successors: PolicyKeys,
    *,
    now: datetime,
    threshold: int | None = None,
) -> int:
    """Write the next root: other keys for some of the roles, or the same ones for longer.

    Whoever pinned the first root follows: the next one is signed by a threshold of the old root's keys and by one of
    the new root's. Where the policy's or the online keys change, the policy is signed by old and new ones before the
    root changes, so that no reader meets a policy that it can't verify; without the old ones (they are lost), it
    follows the root, and a reader between the two tries again.

    Args:
        store: the origin.
        root_digest: the pinned root.
        holders: today's keys; of policy and online only needed where those change.
        successors: a role's new keys, all of them; empty: the role keeps its own.
        now: today.
        threshold: of root and policy, from now on; None: as it is.

    Returns:
        The new root's version.

    Raises:
        Refused: too few of the old or of the new keys sign, or somebody else rotated at the same moment.
        VerificationFailed: what the store holds is not the policy of the pinned root.
    """
    files = verified_files(store, root_digest)
    before, after = files.root, deepcopy(files.root)
    after.version, after.expires = before.version + 1, expiry(ROOT, now)
    changed = {ROOT: successors.root, TARGETS: successors.policy, SNAPSHOT: successors.online}
    for role, signers in {**changed, TIMESTAMP: successors.online}.items():
        _replace(after, role, signers)
    for role in (ROOT, TARGETS):
        after.roles[role].threshold = threshold or after.roles[role].threshold
        if len(after.roles[role].keyids) < after.roles[role].threshold:
            raise Refused(f"{after.roles[role].threshold} keys are needed for {role}", subject=store.name)
    root = Metadata(after)
    _sign(root, (*holders.root, *successors.root))
    for which, judge in (("old", before), ("new", after)):
        try:
            judge.verify_delegate(ROOT, root.signed_bytes, root.signatures)
        except RepositoryError:
            needed = judge.roles[ROOT]
            raise Refused(
                f"root {after.version} takes {needed.threshold} of the {which} root's {len(needed.keyids)} keys",
                subject=store.name,
                hint="name each with --root, or --new-root",
            ) from None
    both = PolicyKeys((), (*holders.policy, *successors.policy), (*holders.online, *successors.online))
    follows = bool(successors.policy or successors.online) or threshold is not None
    if follows:
        _require_holders(after, both, store.name)
    first = follows and _may(before, both)
    if first:
        _put_next(store, files, both, now)
    try:
        store.put(keys.trust_file(f"{after.version}.root.json"), root.to_bytes(), if_absent=True)
    except PreconditionFailed:
        raise Refused("somebody else rotated meanwhile", subject=store.name, hint="say it again") from None
    if follows and not first:
        _put_next(store, files, both, now)
    return after.version


def _replace(root: Root, role: str, signers: Sequence[Signer]) -> None:
    if not signers:
        return
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for signer in signers:
        root.add_key(signer.public_key, role)


def _put_next(store: ObjectStore, files: VerifiedFiles, holders: PolicyKeys, now: datetime) -> int:
    files.targets.version += 1
    put_policy(store, files.targets, holders, now=now, before=(files.snapshot, files.timestamp, files.timestamp_etag))
    return files.targets.version


def _sign(metadata: Metadata[Root], signers: Iterable[Signer]) -> None:
    for signer in {each.public_key.keyid: each for each in signers}.values():
        metadata.sign(signer, append=True)


def _may(root: Root, holders: PolicyKeys) -> bool:
    return not _missing(root, holders)


def _missing(root: Root, holders: PolicyKeys) -> list[str]:
    """What these keys lack to sign a policy that readers with this root believe, in words."""
    given = {TARGETS: holders.policy, SNAPSHOT: holders.online, TIMESTAMP: holders.online}
    found = []
    for role, signers in given.items():
        needed = root.roles[role]
        have = len({signer.public_key.keyid for signer in signers} & set(needed.keyids))
        if have < needed.threshold:
            found.append(f"{role} takes {needed.threshold} of {len(needed.keyids)} keys, {have} of them sign")
    return found


def _require_holders(root: Root, holders: PolicyKeys, subject: str) -> None:
    if missing := _missing(root, holders):
        hint = "--policy signs targets, --online signs snapshot and timestamp; each key of the root's by name"
        raise Refused(f"no reader would believe it: {'; '.join(missing)}", subject=subject, hint=hint)
