"""Which version an outcome belongs to: by what answered, else by who asked and what the log granted then. Pure.

No log of assignments is kept: the bucket of a key never changes within a rollout, and its shares stand in the log.
While shares change, pods follow within seconds: whose bucket lies between the old and the new share then belongs to
neither. That leaves users out by when and who they are, never by what they did, and so favours no version.
"""

from enum import StrEnum

from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.records import ALL_REGIONS
from modelcast.schemas.traffic.bucket import bucket_of
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.request_key import KeySource
from modelcast.schemas.traffic.steps_and_gates import Strategy

CHANGING_US = 60_000_000
"""For so long around an entry it is not certain by which share a pod chose."""


class OutcomeSide(StrEnum):
    """Whose an outcome is, or why it is nobody's."""

    CONTROL = "control"
    CANDIDATE = "candidate"
    BEFORE = "before the rollout"
    ANOTHER = "of a version that takes no part"
    NO_KEY = "without version and key"
    AT_RANDOM = "without version, and users are drawn at random"
    MOVES = "without version, and a bandit's shares do not stand in the log"
    CHANGING = "while its user's share changed"
    NOT_SERVED = "from a region that does not take part, or has cut the candidate off"


def side_of(rollout: LoggedRollout, outcome: ObservedOutcome, cut_off: frozenset[str] = frozenset()) -> OutcomeSide:
    """Whose an outcome is.

    Args:
        rollout: the model's newest.
        outcome: of the same model.
        cut_off: regions that have taken the candidate out of their traffic by themselves.
    """
    if outcome.at_us < rollout.started_at_us:
        return OutcomeSide.BEFORE
    if outcome.version is not None:
        if outcome.version == rollout.candidate:
            return OutcomeSide.CANDIDATE
        return OutcomeSide.CONTROL if outcome.version in rollout.controls.values() else OutcomeSide.ANOTHER
    if not outcome.key:
        return OutcomeSide.NO_KEY
    if rollout.plan.strategy is Strategy.BANDIT:
        return OutcomeSide.MOVES
    if rollout.plan.key.source is KeySource.RANDOM:
        return OutcomeSide.AT_RANDOM
    if cut_off and outcome.region in {"", *cut_off}:
        return OutcomeSide.NOT_SERVED
    shares = _shares_around(rollout, outcome)
    bucket = bucket_of(rollout.salt, outcome.key.encode("utf-8", "surrogatepass"))
    if bucket < min(shares):
        return OutcomeSide.CANDIDATE
    return OutcomeSide.CONTROL if bucket >= max(shares) else OutcomeSide.CHANGING


def _shares_around(rollout: LoggedRollout, outcome: ObservedOutcome) -> set[int]:
    """All shares by which the outcome's request may have been divided."""
    changes = rollout.share_changes
    first = max((n for n, each in enumerate(changes) if each.at_us <= outcome.at_us - CHANGING_US), default=-1)
    found = set[int]() if first >= 0 else {0}
    for change in changes[max(first, 0) :]:
        if change.at_us > outcome.at_us + CHANGING_US:
            break
        found |= _shares_of(rollout, dict(change.ceilings), outcome.region)
    return found


def _shares_of(rollout: LoggedRollout, ceilings: dict[str, int], region: str) -> set[int]:
    if region:
        return {0 if region in rollout.plan.standby else ceilings.get(region, ceilings.get(ALL_REGIONS, 0))}
    standby = {0} if rollout.plan.standby else set[int]()
    return {*ceilings.values(), *standby, ceilings.get(ALL_REGIONS, 0)}
