"""The policy: which keys may say what, in today's version of it; and what binds history below it.

It is TUF's delegation model (https://theupdateframework.github.io/specification/v1.0.33/#file-formats-targets): an
ordered list of roles, each with keys, a threshold and path patterns. The first terminating role that matches a path
ends the search. ``infra/trust`` reads it from TUF's own files; nothing else of TUF is known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

PATHS_MAX, ROLES_MAX, KEYS_MAX = 256, 1_000, 10_000


@dataclass(frozen=True, slots=True)
class TrustRole:
    """Keys that together, ``threshold`` of them, may say what lies below ``paths``.

    Attributes:
        name: for people and logs.
        keyids: its keys.
        threshold: so many of them must have signed.
        paths: patterns of ``subjects_of``'s paths; ``*`` and ``?`` stay within a part.
        terminating: roles after this one are not asked about what matches here.
    """

    name: str
    keyids: frozenset[str]
    threshold: int
    paths: tuple[str, ...]
    terminating: bool = False

    def covers(self, subject: str) -> bool:
        """Whether one of its patterns matches, part by part."""
        return any(matches(pattern, subject) for pattern in self.paths)


@dataclass(frozen=True, slots=True)
class Floor:
    """History of one model up to ``generation`` is exactly what ``digest`` is the running digest of.

    It answers for entries whose keys are granted no more, and for unsigned ones from before there was trust.

    Attributes:
        generation: the last entry below the floor.
        digest: the running digest there (``log/chain.py``).
    """

    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """One version of it.

    Attributes:
        version: TUF's version of the file that it was read from.
        expires_us: from then on it is stale: what it allows still holds, and people are told.
        keys: by id, the public key; what it holds is the business of who verifies.
        roles: in the order in which they are asked.
        floors: by model.
    """

    version: int
    expires_us: int
    keys: Mapping[str, str]
    roles: tuple[TrustRole, ...]
    floors: Mapping[str, Floor] = field(default_factory=dict)

    def deciding(self, subject: str) -> tuple[TrustRole, ...]:
        """The roles that are asked about a path, in order; none after the first terminating one."""
        found = []
        for role in self.roles:
            if role.covers(subject):
                found.append(role)
                if role.terminating:
                    break
        return tuple(found)

    def allows(self, subject: str, good: frozenset[str]) -> bool:
        """Whether the keys that signed may say it.

        Args:
            subject: a path.
            good: ids of the keys whose signatures were found good.
        """
        return any(len(good & role.keyids) >= role.threshold for role in self.deciding(subject))


def faults(policy: TrustPolicy) -> list[str]:
    """What is wrong with a policy in itself, in words; empty: it may be used.

    python-tuf counts one public key under two ids twice, so that one person reaches a threshold of two: that is
    refused here, where the policy is read (theupdateframework/go-tuf#733 mended the same).
    """
    found = []
    by_key: dict[str, list[str]] = {}
    for keyid, public in policy.keys.items():
        by_key.setdefault(public, []).append(keyid)
    found += [f"keys {', '.join(sorted(ids))} are one and the same" for ids in by_key.values() if len(ids) > 1]
    names = [role.name for role in policy.roles]
    found += [f"role {name!r} stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for role in policy.roles:
        if unknown := sorted(role.keyids - policy.keys.keys()):
            found.append(f"role {role.name!r} names keys that are not there: {', '.join(unknown)}")
        if not 1 <= role.threshold <= len(role.keyids):
            found.append(f"role {role.name!r} wants {role.threshold} of {len(role.keyids)} keys")
        if not role.paths:
            found.append(f"role {role.name!r} covers no path")
    paths = max((len(role.paths) for role in policy.roles), default=0)
    counts = (
        ("keys", len(policy.keys), KEYS_MAX),
        ("roles", len(policy.roles), ROLES_MAX),
        ("paths in a role", paths, PATHS_MAX),
    )
    found += [f"{count} {what}, more than {most}" for what, count, most in counts if count > most]
    return found


def matches(pattern: str, subject: str) -> bool:
    """Whether ``pattern`` matches ``subject``: as many parts, and each by ``*``, ``?`` and ``[…]``."""
    theirs, ours = pattern.split("/"), subject.split("/")
    return len(theirs) == len(ours) and all(fnmatchcase(part, each) for each, part in zip(theirs, ours, strict=True))


def why_not_allowed(policy: TrustPolicy, subjects: Iterable[str], good: frozenset[str]) -> str:
    """Why the keys that signed may not say all of ``subjects``; "": they may."""
    for subject in subjects:
        if policy.allows(subject, good):
            continue
        asked = policy.deciding(subject)
        if not asked:
            return f"the policy lets nobody say {subject!r}"
        wanted = " or ".join(f"{role.threshold} of {role.name!r}" for role in asked)
        have = max(len(good & role.keyids) for role in asked)
        return (
            f"{subject!r} takes {wanted}; {have} signed"
            if have
            else f"the signer may not say {subject!r}: it takes {wanted}"
        )
    return ""
