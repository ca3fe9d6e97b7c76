"""Running worlds: one seed from its founding over its faults and its peace to the restart of everything."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from modelcast.schemas.records import Entry
from tests.simulation.convergence import memory_of, missing
from tests.simulation.invariants import CLEAN_IN_TIME, CONVERGES, ONCE, RESTART_CHANGES_NOTHING, Violation
from tests.simulation.quiet_logs import only_unforeseen_errors_logged
from tests.simulation.rollout_checks import picture_of
from tests.simulation.world import World

PEACE_SECONDS_MAX = 500.0
"""How long after the last fault everything may take."""
CLEAN_SECONDS_MAX = 30.0
CLEAN_SECONDS_MAX_UNHEARD = 120.0
"""How long a region without faults may take; the second if announcements may be lost, so that it has to list."""
LASTS_SECONDS = 45.0
"""How long it must stay so: longer than a pause or a late revocation that began before the last fault."""
CHUNK = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one world came to. ``error`` is empty if everything held."""

    seed: int
    invariant: str = ""
    error: str = ""
    events: int = 0
    seconds: float = 0.0  # simulated
    peace: float = 0.0  # seconds from the last fault to convergence
    stats: Counter[str] = field(default_factory=Counter)

    @property
    def replay(self) -> str:
        """The command that shows this world again."""
        return f"python -m tests.simulation --seed {self.seed} --trace"


def run_seed(seed: int, trace: Callable[[str], None] | None = None, only: Collection[str] = ()) -> Outcome:
    """Run one world to its end; ``only``: with no other faults than these."""
    peace = 0.0
    invariant = error = ""
    world = World(seed, trace, only)
    try:
        with only_unforeseen_errors_logged(world.failed):
            world.begin()
            peace = _live(world)
    except Violation as violation:
        invariant, error = violation.invariant, str(violation)
        world.trace("CHECK", f"FAILED {violation}")
    except Exception as crash:
        if trace is not None:
            raise
        invariant = error = f"{type(crash).__name__}: {crash}"
    finally:
        for process in world.processes:
            process.loop.end()
            process.abandon_steps()
    stats = world.stats + Counter({f"fault: {kind}": n for kind, n in world.faults.hits.items()})
    return Outcome(seed, invariant, error, world.scheduler.events, world.now, peace, stats)


def run_many(seeds: Iterable[int], processes: int | None = None) -> Iterator[Outcome]:
    """Run many worlds, in order of their seeds."""
    processes = processes or min(2, os.cpu_count() or 1)
    if processes == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_seed, seeds, chunksize=10)


def _live(world: World) -> float:
    world.on_claimed = lambda entry: _time(world, entry)  # type: ignore[method-assign]
    advance(world, world.stop_at)
    world.trace("world", "--- no faults from here on ---")
    peace = converge(world, CONVERGES)
    _crossed_once(world)
    before = _picture(world)
    world.trace("world", "--- everything restarts ---")
    world.restarting = True
    for actor in (*world.processes, *world.pods):
        world.after(world.rng.uniform(0.0, 2.0), lambda actor=actor: actor.crash("everything restarts"))
    world.after(2.0, world.trackers.lose_tables)
    advance(world, world.now + 5.0)
    converge(world, RESTART_CHANGES_NOTHING)
    after = _picture(world)
    for name in before:
        if before[name] != after.get(name):
            world.checks.broken(RESTART_CHANGES_NOTHING, f"{name}: {before[name]} became {after.get(name)}")
    _crossed_once(world)
    return peace


def advance(world: World, until: float) -> None:
    """Let time pass until then."""
    world.scheduler.run_until(until, world.checks.each)


def converge(world: World, invariant: str) -> float:
    """Seconds until all was as it should be and stayed so."""
    begun = world.now
    while True:
        while lines := missing(world):
            if world.now - begun > PEACE_SECONDS_MAX:
                world.checks.broken(invariant, f"not within {PEACE_SECONDS_MAX:.0f} seconds: {'; '.join(lines)}")
            advance(world, world.now + CHUNK)
        peace = world.now - begun
        advance(world, world.now + LASTS_SECONDS)
        if not missing(world):
            return peace


def _picture(world: World) -> dict[str, object]:
    """What must be the same before and after."""
    picture: dict[str, object] = {"log": world.truth.event_ids}
    for region in world.regions:
        memory = memory_of(world, region)
        refused = {q.manifest_digest for q in memory.quarantined} if memory else set()
        # What is damaged at the origin may have been served from memory alone: then its last bytes go in the restart.
        judged = {q for q in memory.quarantined if world.origin.is_intact(q.manifest_digest)} if memory else set()
        picture[region.name] = memory and (memory.accepted_generation, memory.served, judged)
        if memory and memory.cut:  # a candidate that is still tried may be cut off later, too
            picture[f"the cut of {region.name}"] = memory.cut
        for pod in region.pods:
            order = pod.serving.order if pod.serving else None
            aspired = world.truth.aspiration(region.name).manifest_digest
            if not aspired or aspired in refused or not world.origin.is_intact(aspired):
                continue  # what it served may be damaged or lost on the disk, and the region fetches it no more
            picture[pod.name] = order and (order.version, 0 if pod.plain else order.generation), picture_of(pod)
    return picture


def _crossed_once(world: World) -> None:
    if world.faults.hits["origin bytes damaged"]:
        return
    for region in world.regions:
        if region.touched:
            continue
        for digest, count in region.long_link.items():
            world.stats["check: an artifact crossed once"] += 1
            if count > 1:
                world.checks.broken(ONCE, f"{digest[7:13]} crossed {count} times into {region.name}")


def _time(world: World, entry: Entry) -> None:
    """A region that no fault has touched serves this entry soon, whatever happens elsewhere."""
    deaf = any(world.faults.hits[k] or k in world.faults.rates for k in ("announcement dropped", "announcement late"))
    deaf = deaf or "kafka lost" in world.faults.strokes or "publisher crashed before announcing" in world.faults.rates
    bound = CLEAN_SECONDS_MAX_UNHEARD if deaf else CLEAN_SECONDS_MAX

    def check() -> None:
        spoiled = world.rewriting.tampered or world.faults.hits["origin bytes damaged"]
        if world.restarting or world.truth.head != entry.generation or spoiled:
            return
        for region in world.regions:
            if region.touched:
                continue
            world.stats["check: a region without faults is in time"] += 1
            if late := [line for line in missing(world) if line.startswith(region.name)]:
                world.checks.broken(CLEAN_IN_TIME, f"{bound:.0f} seconds after generation {entry.generation}: {late}")

    world.after(bound, check)
