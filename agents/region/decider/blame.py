"""When a version is blamed: its bytes were damaged too often, or pods that had them whole could not load them."""

from dataclasses import replace

from modelcast.agents.region.decider.replica import Replica
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION
from modelcast.schemas.region_memory import Quarantine


def damaged(replica: Replica, digest: str, message: str, *, waits: bool = False) -> Replica:
    """Count damage; quarantine at the limit, unless it ``waits`` for what another pod will answer."""
    attempts = replica.attempts
    count = attempts.damages.get(digest, 0) + 1
    replica = replace(replica, attempts=replace(attempts, damages={**attempts.damages, digest: count}))
    if count >= replica.policy.damage_attempts and not waits:
        return quarantine(replica, digest, f"damaged {count} times: {message}")
    return replica


def unloadable(replica: Replica, message: str, *, waits: bool = False) -> Replica:
    """Count a load of what is aspired that failed; as ``damaged``."""
    count = replica.attempts.broken_loads + 1
    replica = replace(replica, attempts=replace(replica.attempts, broken_loads=count))
    if count >= replica.policy.load_attempts and not waits:
        return quarantine(replica, replica.digest, f"loads nowhere: {message}")
    return replica


def cleared(replica: Replica) -> Replica:
    """A pod serves what is aspired: what failed before was not the version's fault."""
    attempts = replica.attempts
    if not attempts.broken_loads and replica.digest not in attempts.damages:
        return replica
    damages = {digest: count for digest, count in attempts.damages.items() if digest != replica.digest}
    return replace(replica, attempts=replace(attempts, damages=damages, broken_loads=0))


def quarantine(replica: Replica, digest: str, reason: str) -> Replica:
    facts, aspiration = replica.facts, replica.facts.aspiration
    updates = (aspiration.update, aspiration.staged) if aspiration else ()
    version = next((u.version for u in updates if u and u.artifact.manifest_digest == digest), 0)
    if replica.is_quarantined(digest) or not version:
        return replica
    entry = Quarantine(digest, version, replica.generation, reason)
    facts = replace(facts, quarantined=(*facts.quarantined, entry))
    return replace(replica, facts=facts, attempts=replace(replica.attempts, error=reason))


def blames_version(code: str) -> bool:
    """Whether a failed load counts against the version: a pod that had the bytes whole tried, and reported why."""
    return code == BLAMES_THE_VERSION
