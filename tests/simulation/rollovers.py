"""The rollover policy of a world, the bounds that it must keep, and a mutant that forgets them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from modelcast.agents.region.decider.events_and_effects import Effect, Load
from modelcast.agents.region.decider.knowledge import PodView
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.rollover import decide
from modelcast.agents.region.decider.rollover.next_orders import need_of
from modelcast.agents.region.decider.rollover.pod_facts import Need
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount

NEVER_TOO_MANY = "no more pods load at once than may"
NEVER_TOO_FEW = "no fewer pods take traffic, by a rollover, than must"


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


def too_many(replica: Replica, effects: Iterable[Effect]) -> str:
    """The pods that load although no more may, for people; "": no more do than may, or nothing was ordered just now.

    A pod that was asked to adopt what it serves may have lost it by then: it loads, and no order is to blame.
    """
    if not any(isinstance(effect, Load) for effect in effects):
        return ""
    loading = [n for n, v in replica.pods.items() if v.loading and need_of(v.reading, v.loading) is not Need.AUTHORITY]
    most = max(1, replica.policy.rollover.at_once.of(len(replica.pods)))
    return (
        f"{', '.join(loading)} load at once, of {len(replica.pods)} pods only {most} may" if len(loading) > most else ""
    )


def too_few(replica: Replica, effects: Iterable[Effect]) -> str:
    """What was ordered although it leaves fewer pods that take traffic than must, for people; "": nothing."""
    views, least = replica.pods, replica.policy.rollover.min_healthy.of(len(replica.pods))
    ordered = [name for name in (e.pod for e in effects if isinstance(e, Load)) if _is_out(views[name])]
    healthy = [n for n, v in views.items() if v.reading and v.reading.ready and v.reading.version and not _is_out(v)]
    if not ordered or len(healthy) >= least:
        return ""
    return f"{', '.join(ordered)} was ordered, and of {len(views)} pods {len(healthy)} take traffic, not {least}"


def _is_out(view: PodView) -> bool:
    """Whether it took traffic, and does not while it loads."""
    if view.loading is None or view.reading is None or view.reading.gapless or not view.reading.ready:
        return False
    return need_of(view.reading, view.loading) is Need.VERSION


@contextmanager
def without_bounds() -> Iterator[None]:
    """Every pod may load at once."""
    with patch.object(RolloverPolicy, "at_once_of", lambda self, pods: pods):
        yield


@contextmanager
def without_minimum_healthy() -> Iterator[None]:
    """Any pod may be taken out of traffic, however few are left."""
    with patch.object(decide._Limits, "is_needed", lambda self, pod: False):
        yield
