"""How a worker takes a model, step by step: pure. The shell does what ``todo`` says and reports what came of it.

known    ClaimModel ─ it stands ─▶ the replica begins
         ClaimModel ─ it failed ─▶ Pause ─▶ ClaimModel …, however long the bucket is away
on trial LookInLog ─ an entry ─▶ ClaimModel …
         LookInLog ─ none ─▶ Pause ─▶ LookInLog …, then GiveUp: nobody but an announcement speaks of it
"""

from dataclasses import dataclass, replace

from modelcast.agents.region.decider.policy import Policy
from modelcast.schemas.errors import ContentError, ModelcastError


@dataclass(frozen=True, slots=True)
class LookInLog:
    """Read the model's log, then call ``looked``."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds, then call ``paused``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ClaimModel:
    """Claim the model; call ``claim_failed`` if that can't be now."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The model is not taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """Where a takeover is. ``known``: the registry holds the model; else it was only announced."""

    policy: Policy
    known: bool
    todo: LookInLog | Pause | ClaimModel | GiveUp
    looks: int = 0  # that found no entry
    failures: int = 0  # claims in a row
    stuck: bool = False  # only a person can put right why the last claim failed

    @classmethod
    def of(cls, policy: Policy, *, known: bool) -> "Takeover":
        """The beginning. What is not known to exist is claimed only once its log holds an entry."""
        return cls(policy, known, ClaimModel() if known else LookInLog())

    def looked(self, found: bool) -> "Takeover":
        """The log was read, or can't be; ``found``: it holds an entry."""
        if found:
            return replace(self, known=True, todo=ClaimModel())
        return replace(self, looks=self.looks + 1, todo=Pause(self.policy.store_pauses[self.looks]))

    def paused(self, found: bool) -> "Takeover":
        """The pause is over; ``found``: the log, which others may have read meanwhile, holds an entry."""
        if self.known or found:
            return replace(self, known=True, todo=ClaimModel())
        if self.looks < len(self.policy.store_pauses):
            return replace(self, todo=LookInLog())
        return replace(self, todo=GiveUp("the registry does not know it"))

    def claim_failed(self, error: ModelcastError) -> "Takeover":
        """The bucket is away, or holds what can't be read: tried again later."""
        failures, stuck = self.failures + 1, isinstance(error, ContentError)
        seconds = self.policy.damaged_state_pause if stuck else self.policy.store_pause(failures)
        return replace(self, failures=failures, stuck=stuck, todo=Pause(seconds))
