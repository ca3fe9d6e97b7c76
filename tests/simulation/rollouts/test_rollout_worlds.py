"""Simulated rollouts under faults: every invariant holds at every second, and each mutant breaks one.

The letters are those of the invariants in ``invariants.py``. A failing seed is run again with
``python -m pytest tests/simulation/rollouts -k 'seed'``; its notes are in the message.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from modelcast.agents.rollout.decider import facts, gathering, outlook, step
from modelcast.agents.rollout.decider import tables as rollout_tables
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums
from modelcast.schemas.evidence.replay import Evidence
from modelcast.schemas.traffic import table as tables
from modelcast.schemas.traffic.grant import ACTIVE, RolloutPhase, TrafficGrant
from modelcast.schemas.traffic.reports import PodCounts
from tests.simulation.rollouts.invariants import Broken, Invariants
from tests.simulation.rollouts.world import BANDIT_PLAN, World
from tests.support.lanes import often

HEALTHY, HARMFUL = 0.02, 0.12
SEEDS = often(40, 6)


def simulate(
    seed: int, *, error_rate: float, faults: float = 1.0, cuts_at: int | None = None, constant: bool = False
) -> World:
    """Run a world; the exception tells what happened."""
    world = World(seed, error_rate=error_rate, faults=faults, cuts_at=cuts_at, constant=constant)
    invariants = Invariants()
    try:
        world.run(invariants.look)
        invariants.end(world, harmful=world.harmful or cuts_at is not None)
    except Exception as error:
        raise Broken(f"seed {seed}: {error}\n" + "\n".join(world.notes[-60:])) from error
    return world


def test_without_faults_a_healthy_candidate_is_promoted_step_by_step_and_wave_by_wave() -> None:
    world = simulate(1, error_rate=HEALTHY, faults=0.0)
    shares = [
        (target.region, target.share)
        for _, _, entry, _ in world.claims
        for target in entry.targets  # type: ignore[union-attr]
        if target.share is not None
    ]
    assert shares == [(region, share) for region in ("eu", "us") for share in (100, 1_000, 5_000, 10_000)]
    assert {pod.table.control.version for region in world.regions for pod in region.pods if pod.table} == {8}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_healthy_candidate_is_promoted_whatever_fails_on_the_way(seed: int) -> None:
    simulate(seed, error_rate=HEALTHY)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_harmful_candidate_is_out_whatever_fails_on_the_way(seed: int) -> None:
    simulate(1_000 + seed, error_rate=HARMFUL)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_candidate_that_answers_everything_alike_is_out_whatever_fails_on_the_way(seed: int) -> None:
    simulate(3_000 + seed, error_rate=HEALTHY, constant=True)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_what_a_region_cuts_off_for_reasons_of_its_own_is_out_everywhere(seed: int) -> None:
    simulate(2_000 + seed, error_rate=HEALTHY, cuts_at=30)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
@pytest.mark.parametrize(("means", "low", "high"), [((0.3, 0.5), 8_000, 9_000), ((0.4, 0.38), 1_000, 9_000)])
def test_a_bandit_follows_what_its_outcomes_say_whatever_fails_on_the_way(
    seed: int, means: tuple[float, float], low: int, high: int
) -> None:
    """Among faults shares fall now and then, as with a controller that was lost; in the quiet half they settle."""
    world, invariants = World(4_000 + seed, plan=BANDIT_PLAN, outcomes={7: means[0], 8: means[1]}), Invariants()
    shares: list[int] = []

    def look(world: World) -> None:
        invariants.look(world)
        shares.extend(pod.share() for region in world.regions for pod in region.pods if world.now > 60)

    world.run(look)
    rollout = world.store.log.rollout
    assert rollout is not None and rollout.active, world.notes[-20:]
    assert {share for share in shares if share} <= set(range(1_000, 9_001)), "never below the floor while it is loaded"
    assert low <= max(shares[-4:]) <= high, world.notes[-20:]


def test_a_bandit_whose_candidate_harms_is_out() -> None:
    world, invariants = World(1, plan=BANDIT_PLAN, outcomes={7: 0.3, 8: 0.5}, error_rate=HARMFUL), Invariants()
    world.run(invariants.look)
    invariants.end(world, harmful=True)


# --- mutants ----------------------------------------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]


def _a(patch: pytest.MonkeyPatch) -> None:
    """A grant's ceiling is not heeded, and tables give twice as much as is granted."""
    wished = rollout_tables.wished_table
    patch.setattr(tables, "clamp", lambda table, grant: table)

    def twice(*arguments: object, **named: object) -> tables.TrafficTable:
        table = wished(*arguments, **named)  # type: ignore[arg-type]
        share = min(10_000, 2 * table.share)
        (arm,) = table.candidates
        return replace(
            table, candidates=(replace(arm, share=share),), control=replace(table.control, share=10_000 - share)
        )

    patch.setattr(step, "wished_table", twice)


def _b_read_back(patch: pytest.MonkeyPatch) -> None:
    """A step counts although not every pod was read back with it."""
    patch.setattr(outlook, "in_force_everywhere", lambda state, regions: True)
    patch.setattr(step, "in_force_everywhere", lambda state, regions: True)


def _b_epoch(patch: pytest.MonkeyPatch) -> None:
    """Who takes over does not raise the epoch."""
    absorb = step._absorb

    def same_epoch(state: facts.ControllerState, event: facts.Event, now: facts.Moment) -> facts.ControllerState:
        found = absorb(state, event, now)
        if isinstance(event, facts.TookOver) and event.table is not None:
            return replace(found, epoch=event.table.epoch)
        return found

    patch.setattr(step, "_absorb", same_epoch)


def _b_proof(patch: pytest.MonkeyPatch) -> None:
    """100 % comes without proof."""
    unfinished = outlook._unfinished

    def hasty(state: object, position: object, found: object, now: object) -> tuple[str, str]:
        why, left = unfinished(state, position, found, now)  # type: ignore[arg-type]
        return ("", "") if why.startswith("undecided") else (why, left)

    patch.setattr(outlook, "_unfinished", hasty)


def _c(patch: pytest.MonkeyPatch) -> None:
    """What a region cut off is not heard."""
    ending = outlook._ending

    def deaf(state: facts.ControllerState, *others: object) -> object:
        readings = {
            region: replace(heard, reading=replace(heard.reading, cut="")) for region, heard in state.readings.items()
        }
        return ending(replace(state, readings=readings), *others)  # type: ignore[arg-type]

    patch.setattr(outlook, "_ending", deaf)


def _d(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether both versions could answer."""
    patch.setattr(outlook, "_not_servable", lambda state, grants: "")
    patch.setattr(outlook, "_blind", lambda state, grants, now: ("", 0.0))


def _e(patch: pytest.MonkeyPatch) -> None:
    """Each step draws its users anew."""
    wished = rollout_tables.wished_table

    def anew(*arguments: object, **named: object) -> tables.TrafficTable:
        table = wished(*arguments, **named)  # type: ignore[arg-type]
        return replace(table, salt=f"{table.salt}-{table.generation}")

    patch.setattr(step, "wished_table", anew)


def _f_doubled(patch: pytest.MonkeyPatch) -> None:
    """A report that comes twice, or late, counts."""
    patch.setattr(gathering, "is_newer", lambda after, before: True)
    patch.setattr(step, "is_newer", lambda after, before: True)
    patch.setattr(
        gathering,
        "counted_between",
        lambda before, after: () if before is None else after.versions,
    )


def _f_twice(patch: pytest.MonkeyPatch) -> None:
    """Who takes over counts again what was counted: it does not ask up to when."""
    restore = gathering.gathered_before

    def forgetful(blank: gathering.Gathered, evidence: Evidence) -> gathering.Gathered:
        found = restore(blank, evidence)
        return replace(found, evidence=gathering.fold_counts([*evidence.counts, *evidence.counts], blank.plan))

    patch.setattr(step, "gathered_before", forgetful)
    patch.setattr(step, "SAVE_SECONDS", 2.0)


def _g(patch: pytest.MonkeyPatch) -> None:
    """The verdict goes by more than what is kept of the evidence."""
    encode = outlook.encode_evidence
    patch.setattr(
        outlook,
        "encode_evidence",
        lambda evidence: encode(replace(evidence, counts=evidence.counts[: len(evidence.counts) // 2])),
    )


def _g_predictions(patch: pytest.MonkeyPatch) -> None:
    """What the outputs were like is not kept with the evidence."""
    encode = outlook.encode_evidence
    patch.setattr(outlook, "encode_evidence", lambda evidence: encode(replace(evidence, predictions=PredictionSums())))


def _f_predictions(patch: pytest.MonkeyPatch) -> None:
    """Outputs count as soon as they are reported, before their second is closed: who takes over counts them again."""
    add = gathering.add_report

    def early(gathered: gathering.Gathered, before: PodCounts | None, report: PodCounts, share: int | None) -> object:
        found = add(gathered, before, report, share)
        if before is None or found is gathered:
            return found
        sides = {7: Predictions(), 8: Predictions()}
        for counts in gathering.counted_between(before, report):
            sides[counts.version] = gathering.predictions_of(counts)
        return replace(found, predictions=gathered.predictions.plus(sides[7], sides[8]))

    patch.setattr(step, "add_report", early)


def _i(patch: pytest.MonkeyPatch) -> None:
    """A rollout that is over leaves its shares in force."""
    clamp, granted = tables.clamp, {}

    def forgiving(table: tables.TrafficTable, grant: TrafficGrant | None) -> tables.TrafficTable:
        if grant is not None and grant.phase in ACTIVE:
            granted[grant.region] = grant.ceiling
        elif grant is not None:
            grant = replace(grant, phase=RolloutPhase.RUNNING, ceiling=granted.get(grant.region, 0))
        return clamp(table, grant)

    patch.setattr(tables, "clamp", forgiving)
    patch.setattr(step, "closing_table", lambda state, rollout, grants: None)
    patch.setattr(step, "wished_table", _never_stops(rollout_tables.wished_table))


def _never_stops(wished: Callable[..., tables.TrafficTable]) -> Callable[..., tables.TrafficTable]:
    return lambda state, rollout, grants, *, stops, now_us: wished(state, rollout, grants, stops=False, now_us=now_us)


def _j(patch: pytest.MonkeyPatch) -> None:
    """What failed is taken for done, and never asked for again."""
    absorb = step._absorb

    def trusting(state: facts.ControllerState, event: facts.Event, now: facts.Moment) -> facts.ControllerState:
        return state if isinstance(event, facts.Failed) else absorb(state, event, now)

    patch.setattr(step, "_absorb", trusting)


MUTANTS: list[tuple[Patch, float, str]] = [
    (_a, HEALTHY, "A"),
    (_b_read_back, HEALTHY, "B"),
    (_b_epoch, HEALTHY, "B"),
    (_b_proof, HEALTHY, "B"),
    (_c, HEALTHY, "C"),
    (_d, HEALTHY, "D"),
    (_e, HEALTHY, "E"),
    (_f_doubled, HEALTHY, "F"),
    (_f_twice, HEALTHY, "F"),
    (_g, HEALTHY, "G"),
    (_f_predictions, HEALTHY, "F"),
    (_g_predictions, HEALTHY, "G"),
    (_i, HEALTHY, "I"),
    (_j, HEALTHY, "J"),
]
MUTANT_SEEDS = 12


@pytest.mark.parametrize(("mutant", "error_rate", "letter"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mutant_breaks_an_invariant(
    mutant: Patch, error_rate: float, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    found = []
    for seed in range(MUTANT_SEEDS):
        try:
            simulate(seed, error_rate=error_rate, cuts_at=30 if letter in "CI" else None)
        except Broken as broken:
            found.append(str(broken).split(": ", 2)[1])
            if letter in found:
                return
    pytest.fail(f"{mutant.__doc__} Nothing of {letter} was broken in {MUTANT_SEEDS} worlds, only {sorted(set(found))}")


def test_a_bandit_that_goes_by_other_shares_than_its_batches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_tables, "bandit_share", lambda gathered, plan: 7_777)
    with pytest.raises(Broken, match="G: a share of 7777"):
        World(1, plan=BANDIT_PLAN, outcomes={7: 0.3, 8: 0.5}).run(Invariants().look)
