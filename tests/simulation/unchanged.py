"""What a tracker tells of states that it does not repeat: they hold, and no read-back is younger than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelcast.agents.tracker.decider.fold import fold
from modelcast.schemas.unchanged import UnchangedState
from tests.simulation.invariants import CONFIRMED, SPEAKS_OF_ITS_OWN, of_the_report

if TYPE_CHECKING:
    from tests.simulation.actors.tracker import TrackerWorker
    from tests.simulation.world import World

UNCHANGED_HOLDS = "5 a state that is told to hold does"


def check_unchanged(world: World, worker: TrackerWorker, told: UnchangedState) -> None:
    """A worker of the tracker tells that what it said last still holds."""
    broken, said = world.checks.broken, worker.last_said
    if worker.is_revoked:
        broken(SPEAKS_OF_ITS_OWN, f"{worker.name} speaks after it was revoked")
    if said is None or said.updated_at_us != told.said_at_us:
        broken(UNCHANGED_HOLDS, f"{worker.name} tells of a state that it did not say last")
    known = worker.agent.rows.row(world.model).known(worker.agent.emitter._everywhere())
    if known is None:
        return
    now = fold(known, world.now_us).regions
    if list(map(of_the_report, now)) != list(map(of_the_report, said.regions)):
        broken(UNCHANGED_HOLDS, f"{worker.name} knows better than what it tells to hold")
    read_us = [row.read_at_us for row in now if row.read_at_us and not (row.silent or row.unread)]
    if told.read_at_us > min(read_us, default=0):
        broken(CONFIRMED, f"{worker.name} tells of read-backs that were not")
