"""The rollover policy of a world, the bounds that it must keep, and a mutant that forgets them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.rollover.next_orders import need_of
from modelcast.agents.region.decider.rollover.policy import RolloverPolicy
from modelcast.agents.region.decider.rollover.values import Need
from modelcast.schemas.amounts import Amount

NEVER_TOO_MANY = "a rollover keeps its bounds"


def drawn_policy(rng: random.Random, seed: int) -> RolloverPolicy:
    """Mostly one pod at a time without a pause, as most regions of a few pods have it.

    Nothing is ever stopped: a world that stops at a fault would need a person for each.
    """
    at_once = Amount(rng.choice([1, 1, 2]))
    own = random.Random(f"rollover of {seed}")  # the world's other draws stay as they are
    return RolloverPolicy(
        at_once,
        order=own.choice(["name", "name", "random"]),
        jitter_seconds=own.choice([0.0, 0.0, 1.0]),
        pause_seconds=own.choice([0.0, 0.0, 0.0, 5.0]),
        min_ready_seconds=own.choice([0.0, 0.0, 0.0, 3.0]),
    )


def too_many(replica: Replica) -> str:
    """The pods that load although no more may, for people; "": no more do than may."""
    loading = [n for n, v in replica.pods.items() if v.loading and need_of(v.reading, v.loading) is not Need.AUTHORITY]
    most = max(1, replica.policy.rollover.at_once.of(len(replica.pods)))
    return (
        f"{', '.join(loading)} load at once, of {len(replica.pods)} pods only {most} may" if len(loading) > most else ""
    )


@contextmanager
def without_bounds() -> Iterator[None]:
    """Every pod may load at once."""
    with patch.object(RolloverPolicy, "at_once_of", lambda self, pods: pods):
        yield
