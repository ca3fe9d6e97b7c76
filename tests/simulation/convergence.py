"""What must be true once faults have stopped; and of a region without faults, at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import VersionState
from modelcast.schemas.region_memory import Memory
from tests.simulation.rollout_checks import rollouts_missing

if TYPE_CHECKING:
    from tests.simulation.actors.pod import Pod
    from tests.simulation.actors.region import Region
    from tests.simulation.world import World


def missing(world: World) -> list[str]:
    """What still keeps the world from being as its log says; empty when nothing does."""
    lines = [line for region in world.regions for line in _region(world, region)] + _tracker(world) + _made_up(world)
    lines += rollouts_missing(world)
    return [*lines, "nobody has put the log right"] if world.rewriting.undecided else lines


def _made_up(world: World) -> list[str]:
    """What is still kept of models that were never published."""
    workers = [worker for region in world.regions for worker in region.workers if worker.up]
    kept = [(w.name, name) for w in workers for name in world.floods.names if w.agent.reconciler(name) is not None]
    trackers = (worker for worker in world.trackers.workers if worker.up)
    kept += [(w.name, name) for w in trackers for name in world.floods.names & w.agent.rows.models.keys()]
    return [f"{name} is kept by {worker}" for worker, name in kept]


def memory_of(world: World, region: Region) -> Memory | None:
    """What the region's state object says."""
    found = region.bucket.get(keys.region_state(world.model), size_max=1 << 20)
    return Memory.decode(found.body) if found else None


def _region(world: World, region: Region) -> list[str]:
    aspiration = world.truth.aspiration(region.name)
    memory, owner = memory_of(world, region), region.owner
    if owner is None or owner.replica is None or memory is None:
        return [f"{region.name}: nobody owns the model"]
    if owner.replica.facts.alarm:
        return [f"{region.name}: {owner.replica.facts.alarm}"]
    if memory.accepted_generation != aspiration.generation:
        return [f"{region.name}: accepted {memory.accepted_generation}, the log says {aspiration.generation}"]
    quarantined = {q.manifest_digest for q in memory.quarantined}
    lines = []
    ahead = aspiration.staged.artifact.manifest_digest if aspiration.staged else ""
    if ahead and ahead not in owner.replica.facts.held and ahead not in quarantined:
        lines.append(f"{region.name}: version {aspiration.staged and aspiration.staged.version} is not staged")
    if aspiration.update is None:
        return lines
    if aspiration.manifest_digest in quarantined:
        if not world.may_stay_quarantined(aspiration.manifest_digest):
            lines.append(f"{region.name}: version {aspiration.version} is quarantined without need")
        served = memory.served
        known = world.truth.updates.get(served.version) if served else None  # a log that was accepted may lack it
        stands = known is not None and served is not None and known.artifact.manifest_digest == served.manifest_digest
        refused = served is not None and served.version in aspiration.quarantined  # by people
        if served is not None and stands and served.manifest_digest not in quarantined and not refused:
            lines += [f"{pod.name} serves nothing, though {served.version} could be" for pod in region.pods
                      if pod.serving is None]  # fmt: skip
        return lines
    lines += [f"{pod.name}: {what}" for pod in region.pods if (what := _pod(pod, aspiration.generation))]
    return lines


def _pod(pod: Pod, generation: int) -> str:
    aspiration = pod.world.truth.aspiration(pod.region.name)
    if pod.serving is None:
        return "serves nothing"
    order = pod.serving.order
    if order.version != aspiration.version:
        return f"serves {order.version}, the log says {aspiration.version}"
    if not pod.plain and order.generation != generation:
        return f"serves generation {order.generation}, the log says {generation}"
    return ""


def _tracker(world: World) -> list[str]:
    told = world.kafka.version_state
    states = {"the view": world.redis.state(world.model), "version-state": told and decode_as(VersionState, told)}
    return [line for where, state in states.items() for line in _state(world, where, state or None)]


def _state(world: World, where: str, state: VersionState | None) -> list[str]:
    if state is None:
        return [f"{where} says nothing"]
    lines = (
        [] if state.head_generation == world.truth.head else [f"{where} knows the log up to {state.head_generation}"]
    )
    rows = {row.region: row for row in state.regions}
    for region in world.regions:
        aspiration = world.truth.aspiration(region.name)
        memory = memory_of(world, region)
        quarantined = {q.manifest_digest for q in memory.quarantined} if memory else set()
        waived = any(pod.plain for pod in region.pods) or aspiration.manifest_digest in quarantined
        row = rows.get(region.name)
        if not waived and aspiration.update is not None and (row is None or row.served_version != aspiration.version):
            lines.append(f"{where} says that {region.name} serves {row and row.served_version}")
    return lines
