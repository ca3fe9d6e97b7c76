"""When a version is blamed: its bytes were damaged too often, or pods that had them whole could not load them."""

from dataclasses import replace

from modelcast.agents.region.decider.memory import Quarantine
from modelcast.agents.region.decider.replica import Replica
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION


def damaged(replica: Replica, digest: str, message: str) -> Replica:
    attempts = replica.attempts
    count = attempts.damages.get(digest, 0) + 1
    replica = replace(replica, attempts=replace(attempts, damages={**attempts.damages, digest: count}))
    if count >= replica.policy.damage_attempts:
        return quarantine(replica, digest, f"damaged {count} times: {message}")
    return replica


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
