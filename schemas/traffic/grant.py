"""What the log lets one region do with a candidate: a pure function of the log's entries."""

from dataclasses import dataclass
from enum import StrEnum

from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.traffic.steps_and_gates import RolloutPlan, Strategy


class RolloutPhase(StrEnum):
    """How a rollout stands, by the log.

    RUNNING -> HELD -> RUNNING …; then one of PROMOTED, ABORTED and SUPERSEDED. A promoted one is superseded by the next
    entry that has another version served; the other two are for ever.
    """

    RUNNING = "RUNNING"
    HELD = "HELD"
    PROMOTED = "PROMOTED"
    ABORTED = "ABORTED"
    SUPERSEDED = "SUPERSEDED"


ACTIVE = frozenset({RolloutPhase.RUNNING, RolloutPhase.HELD})
"""The candidate meets traffic."""


@dataclass(frozen=True, slots=True)
class TrafficGrant:
    """What one region is allowed.

    Attributes:
        rollout: its id.
        model: the model.
        registry_id: the registry that the log belongs to.
        region: whom it is for.
        generation: of the newest entry about the rollout, or about what regions that take part serve beside it, or of a
            later ACCEPT: tables of it are above every order that gave a pod its control, and above those of a log that
            was given up.
        phase: how the rollout stands.
        control: the version that the region should serve, as its aspiration says.
        candidate: the other version that it should keep loaded: the new one, or after the promotion the old one.
        ceiling: the candidate's share at most, in ten-thousandths; 0 while it is only to be loaded.
        salt: of the buckets.
        plan: of the rollout.
        since_us: when the entry that set the phase was written, its writer's clock.
        entry_generation: of the newest entry about the rollout itself.
    """

    rollout: str
    model: str
    registry_id: str
    region: str
    generation: int
    phase: RolloutPhase
    control: ModelUpdate
    candidate: ModelUpdate
    ceiling: int
    salt: str
    plan: RolloutPlan
    since_us: int
    entry_generation: int = 0

    @property
    def serves_candidate(self) -> bool:
        """Whether the candidate may answer requests."""
        return self.phase in ACTIVE and self.ceiling > 0

    @property
    def copies_to_candidate(self) -> bool:
        """Whether the candidate may get copies of requests, and answer none."""
        return self.phase in ACTIVE and self.plan.strategy is Strategy.SHADOW

    @property
    def keeps_candidate(self) -> bool:
        """Whether the candidate is to be loaded beside the control, or kept loaded for ``bake_seconds``."""
        return self.phase in ACTIVE or self.phase is RolloutPhase.PROMOTED
