"""What must hold of rollouts at every step, as ROLLOUTS' invariants A to J say it for a region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelcast.agents.region.decider.events_and_effects import Effect, Event, Load, LoadBroken
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.traffic.decider.knowledge import RegionTraffic, TrafficEffect, TrafficEvent
from modelcast.agents.region.traffic.decider.shares import ends_cut
from modelcast.schemas import keys
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import Blind
from modelcast.schemas.traffic.table import TrafficTable
from tests.simulation.rollovers import too_many

if TYPE_CHECKING:
    from tests.simulation.actors.pod import Pod
    from tests.simulation.actors.region import Region
    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

GRANTED = "A no pod divides beyond what the log grants"
CUT_STAYS = "C a cut is undone by a newer entry alone"
CONTROL_THERE = "D a candidate is ordered only where something else serves"
NO_WAY_BACK = "E nobody goes back to the control while nothing was cut"
CANDIDATE_BLAME = "no fault of the environment blames a candidate"
CANDIDATE_BOUNDS = "no more pods load a candidate at once than may"
CUT_SOON = "a candidate that fails is out soon"
SOON_SECONDS = 20.0


class RolloutChecks:
    """The invariants of one world's rollouts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._granted: defaultdict[tuple[str, str], int] = defaultdict(int)  # most ever, by rollout and region
        self._lowered_at: dict[tuple[str, str], float] = {}  # when the log last granted less than before
        self._cuts: dict[tuple[str, str], float] = {}  # when a worker cut a rollout off, by rollout and region
        self._acted: set[tuple[str, str]] = set()  # what a worker has cut off, whether or not that is kept yet
        self._out: set[tuple[str, Pod]] = set()  # pods that have obeyed a cut

    def claimed(self) -> None:
        """The log has grown."""
        world = self.world
        if (rollout := world.truth.rollout) is None:
            return
        for region in world.regions:
            grant = world.truth.grant(region.name)
            ceiling = grant.ceiling if grant is not None and grant.serves_candidate else 0
            key = rollout.id, region.name
            if ceiling < self._granted[key]:
                self._lowered_at[key] = world.now
            self._granted[key] = max(self._granted[key], ceiling)
            self._end_cuts(region)

    def cut_kept(self, region: Region, rollout: str) -> None:
        """The region's state object has a cut: from here on every owner knows it."""
        self._cuts.setdefault((rollout, region.name), self.world.now)

    def _end_cuts(self, region: Region) -> None:
        """A person has resumed the rollout, or another one has begun."""
        grant = self.world.truth.grant(region.name)
        for rollout, name in list(self._cuts):
            if name != region.name or grant is None:
                continue
            memory = _memory(region)
            cut = memory.cut if memory is not None else None
            resumed = grant.phase is RolloutPhase.RUNNING and grant.since_us >= self._cuts[rollout, name] * 1e6
            if grant.rollout != rollout or resumed or (cut is not None and ends_cut(cut, grant)):
                del self._cuts[rollout, name]
                self._out = {(r, pod) for r, pod in self._out if (r, pod.region.name) != (rollout, name)}

    # --- pods ---------------------------------------------------------------------------------------------------

    def pod_divides(self, pod: Pod, before: TrafficTable | None, after: TrafficTable) -> None:
        """A pod takes a table."""
        world, key = self.world, (after.rollout, pod.region.name)
        world.stats["check: a pod divides"] += 1
        if after.share > self._granted[key]:
            what = f"{pod.name} sends {after.share} to the candidate of {after.rollout}, granted {self._granted[key]}"
            world.checks.broken(GRANTED, what)
        if key in self._cuts:
            if after.share and (after.rollout, pod) in self._out:
                world.checks.broken(CUT_STAYS, f"{pod.name} sends {after.share} again after the cut")
            if not after.share:
                self._out.add((after.rollout, pod))
        if before is not None and before.rollout == after.rollout and after.share < before.share:
            self._may_fall(pod, before, after)

    def _may_fall(self, pod: Pod, before: TrafficTable, after: TrafficTable) -> None:
        world, key = self.world, (after.rollout, pod.region.name)
        grant = world.truth.grant(pod.region.name)
        less = key in self._lowered_at or grant is None or grant.rollout != after.rollout
        blind = grant is not None and grant.plan.blind is Blind.ZERO
        if not less and not blind and key not in self._acted:
            world.checks.broken(NO_WAY_BACK, f"{pod.name} goes from {before.share} to {after.share}")

    def pod_is_blank(self, pod: Pod) -> None:
        """Another pod under the same name: it has promised nothing."""
        self._out = {(rollout, each) for rollout, each in self._out if each is not pod}

    # --- workers ------------------------------------------------------------------------------------------------

    def divided(self, worker: Worker, before: RegionTraffic, event: TrafficEvent, after: RegionTraffic,
                effects: Iterable[TrafficEffect]) -> None:  # fmt: skip
        """The decider of traffic has taken a step."""
        for effect in effects:
            self.world.stats[f"effect: {type(effect).__name__}"] += 1
        if after.cut is not None and after.cut != before.cut:
            self.world.trace(worker.name, f"CUTS {after.cut.rollout}: {after.cut.reason}")
            self.world.stats["check: a candidate was cut off"] += 1
            self._acted.add((after.cut.rollout, worker.region.name))
            self.world.rollouts.cut_off(worker)

    def stepped(self, worker: Worker, before: Replica, event: Event, after: Replica,
                effects: Iterable[Effect]) -> None:  # fmt: skip
        """The decider of a candidate's replica has taken a step."""
        world = self.world
        for effect in effects:
            world.stats[f"candidate's effect: {type(effect).__name__}"] += 1
            if isinstance(effect, Load):
                self._has_control(worker, effect)
        if len(after.facts.quarantined) > len(before.facts.quarantined):
            new = after.facts.quarantined[-1]
            world.trace(worker.name, f"refuses candidate {new.version}: {new.reason}")
            blames = world.blames[worker.region.name, new.manifest_digest]
            if blames < min(after.policy.damage_attempts, after.policy.load_attempts):
                world.checks.broken(CANDIDATE_BLAME, f"{worker.name}: {new.reason}, blamed {blames}×")
            serve = [name for name, view in before.pods.items() if after.proves(view, new.manifest_digest)]
            if serve and isinstance(event, LoadBroken):
                world.checks.broken(CANDIDATE_BLAME, f"{worker.name} refuses {new.version}, which {serve} hold")
        if what := too_many(after, effects):
            world.checks.broken(CANDIDATE_BOUNDS, f"{worker.name}: {what}")

    def _has_control(self, worker: Worker, load: Load) -> None:
        control = worker.replica.pods.get(load.pod) if worker.replica is not None else None
        reading = control.reading if control is not None else None
        if reading is None or reading.manifest_digest in {None, load.order.manifest_digest}:
            what = f"{worker.name} orders candidate {load.order.version} to {load.pod}, where nothing else serves"
            self.world.checks.broken(CONTROL_THERE, what)


def rollouts_missing(world: World) -> list[str]:
    """What still keeps pods from being as the log says of a rollout; empty when nothing does."""
    if not world.rollouts.on:
        return []
    return [line for region in world.regions for pod in region.pods for line in _left_on(world, pod)]


def _left_on(world: World, pod: Pod) -> list[str]:
    """What one pod has that the log does not want, or lacks."""
    region, grant = pod.region, world.truth.grant(pod.region.name)
    memory, owner = _memory(region), region.owner
    if pod.plain or memory is None or owner is None:
        return []
    serving, table = pod.candidate.serving, pod.kept.table
    digest = serving.order.manifest_digest if serving else ""
    lines = []
    part = memory.candidate
    refused = {q.manifest_digest for q in part.quarantined} if part is not None else set()
    wanted = grant.candidate.artifact.manifest_digest if grant is not None else ""
    intact = bool(wanted) and not world.poisoned(world.published[wanted]) and world.origin.is_intact(wanted)
    active = grant is not None and grant.phase in {RolloutPhase.RUNNING, RolloutPhase.HELD}
    aspired = world.truth.aspiration(region.name).manifest_digest
    settled = pod.serving is not None and pod.serving.order.manifest_digest == aspired
    active = active and wanted != aspired  # the same bytes under another number: there is nothing to try
    if active and settled and intact and wanted not in refused and digest != wanted:
        lines.append(f"{pod.name} holds {digest[7:13] or 'no candidate'}, the log grants {wanted[7:13]}")
    if not active and serving is not None and settled:
        lines.append(f"{pod.name} still holds a candidate, version {serving.order.version}")
    said = world.rollouts.table
    if active and settled and digest == wanted and said is not None and grant is not None and grant.serves_candidate:
        known = table.authority if table is not None else (0, 0, 0)
        if said.rollout == grant.rollout and known < said.authority:
            lines.append(f"{pod.name} has the table {known}, the controller's is {said.authority}")
    share = table.share if table is not None else 0
    if (grant is None or not grant.serves_candidate) and share and _is_over(grant):
        lines.append(f"{pod.name} still sends {share} to a candidate")
    return lines


def _is_over(grant: object) -> bool:
    """Whether shares must be 0; those of a promoted rollout are voided by the order that promotes."""
    return getattr(grant, "phase", None) is not RolloutPhase.PROMOTED


def picture_of(pod: Pod) -> str:
    """What a restart of everything must leave as it is: the candidate that a pod holds."""
    return pod.candidate.serving.order.manifest_digest if pod.candidate.serving else ""


def _memory(region: Region) -> Memory | None:
    found = region.bucket.get(keys.region_state(region.world.model), size_max=1 << 20)
    return Memory.decode(found.body) if found else None
