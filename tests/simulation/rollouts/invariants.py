"""What must hold in every simulated rollout at every second, and what must have come of it at the end."""

from modelcast.agents.rollout.decider.batches import bandit_share
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.records import CommandKind, ModelCommand
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import Strategy
from tests.simulation.rollouts.world import World

SETTLE_SECONDS = 8
RISING = {CommandKind.ROLLOUT_STEP, CommandKind.ROLLOUT_PROMOTE}


class Broken(AssertionError):
    """An invariant does not hold."""


class Invariants:
    """Looks at a world each second."""

    def __init__(self) -> None:
        self._claims = self._puts = 0
        self._highest: dict[tuple[str, str], int] = {}
        self._in_force_at: dict[int, int] = {}
        self._granted: dict[str, int] = {}
        self._epoch = 0
        self._salts: dict[str, str] = {}
        self._shares: dict[str, int] = {}
        self._unready: dict[str, int] = {}
        self._cut_heard: set[str] = set()

    def look(self, world: World) -> None:
        """Check every invariant of this second.

        Raises:
            Broken: one does not hold.
        """
        self._no_more_than_granted(world)
        self._ask_what_is_loaded(world)
        for at, who, table in world.puts[self._puts :]:
            self._tables_come_from_the_newest_controller(at, who, table)
            self._a_user_stays_where_he_is(world, table)
        self._puts = len(world.puts)
        for at, who, entry, _ in world.claims[self._claims :]:
            assert isinstance(entry, ModelCommand)
            if entry.kind in RISING:
                self._shares_rise_on_evidence(world, at, who, entry)
                self._the_way_back_is_there(world, who)
                self._no_region_had_cut(world, who)
            self._verdicts_can_be_replayed(world, entry)
        self._claims = len(world.claims)
        self._nothing_is_counted_twice(world)
        self._remember(world)

    def end(self, world: World, *, harmful: bool) -> None:
        """Check what came of it, faults being over for a while.

        Raises:
            Broken: a bad candidate is left in traffic, or a good one was not promoted.
        """
        rollout = world.store.log.rollout
        wished = {RolloutPhase.ABORTED} if harmful else {RolloutPhase.PROMOTED}
        if rollout is None or rollout.phase not in wished:
            raise Broken(f"J: it ends as {rollout and rollout.phase}")
        served = {pod.share() for region in world.regions for pod in region.pods}
        aspired = {world.store.log.aspired_version(region.name) for region in world.regions}
        if harmful and (served != {0} or aspired != {7}):
            raise Broken(f"I: a version that harmed is left with {served}, aspired {aspired}")

    # --- one by one -----------------------------------------------------------------------------------------

    def _no_more_than_granted(self, world: World) -> None:
        rollout = world.store.log.rollout
        for region in world.regions:
            if rollout is not None:
                key = (rollout.id, region.name)
                self._highest[key] = max(self._highest.get(key, 0), rollout.ceiling(region.name))
            for pod in region.pods:
                table = pod.table
                if table is not None and pod.share() > self._highest.get((table.rollout, region.name), 0):
                    raise Broken(f"A: {pod.name} gives the candidate {pod.share()}")

    def _tables_come_from_the_newest_controller(self, at: int, who: str, table: object) -> None:
        epoch = table.epoch  # type: ignore[attr-defined]
        if epoch < self._epoch:
            raise Broken(f"B: {who} of epoch {epoch} puts a table at {at} after one of epoch {self._epoch}")
        if epoch == self._epoch and self._owner != who:
            raise Broken(f"B: {who} and {self._owner} both have epoch {epoch}")
        self._epoch, self._owner = epoch, who

    _owner = ""

    def _a_user_stays_where_he_is(self, world: World, table: object) -> None:
        rollout, share, salt = table.rollout, table.share, table.salt  # type: ignore[attr-defined]
        if self._salts.setdefault(rollout, salt) != salt:
            raise Broken("E: users are drawn anew within a rollout")
        newest = world.store.log.rollout
        stops = newest is None or newest.id != rollout or not newest.active or bool(self._cut_heard)
        if world.plan.strategy is Strategy.BANDIT:
            self._shares_come_from_batches(world, share, stops=stops)
        elif share < self._shares.get(rollout, 0) and not stops and not world.harmful:
            raise Broken(f"E: the share falls from {self._shares[rollout]} to {share} without a reason")
        self._shares[rollout] = share

    def _shares_come_from_batches(self, world: World, share: int, *, stops: bool) -> None:
        """A bandit's share is what the batches of the controller that put it give, or less by what the log grants."""
        known = [each.state.gathered for each in world.controllers if each.state.gathered is not None]
        given = {bandit_share(each, world.plan) for each in known} | {0, world.plan.floor}
        if not stops and share not in given:
            raise Broken(f"G: a share of {share}, which no batches give: {sorted(given)}")

    def _shares_rise_on_evidence(self, world: World, at: int, who: str, entry: ModelCommand) -> None:
        log = world.store.log
        before = max((e.generation for _, _, e, _ in world.claims if e.generation < entry.generation), default=0)
        kind = replayed(decode_evidence(world.store.evidence[entry.evidence])).kind if entry.evidence else None
        if kind is Kind.HARMFUL:
            raise Broken(f"B: {who} raises shares although harm is shown")
        steps = [target.share for target in entry.targets if target.share is not None]
        if 10_000 in steps and kind is not Kind.HARMLESS:
            raise Broken("B: 100 % without proof")
        if not before or log.rollout is None:
            return
        met = [region for region in world.regions if self._highest.get((entry.rollout, region.name), 0)]
        missing = [pod.name for region in met for pod in region.pods if before not in pod.generations_in_force]
        if missing:
            raise Broken(f"B: {who} goes on at {at}, and {missing} never had the step before in force")
        since = self._in_force_at.get(before, at)
        if at - since < world.plan.steps[0].seconds - 1:
            raise Broken(f"B: {who} goes on {at - since} s after the step before was in force")

    def _the_way_back_is_there(self, world: World, who: str) -> None:
        for region in world.regions:
            if self._unready.get(region.name, 0) > SETTLE_SECONDS:
                raise Broken(
                    f"D: {who} goes on although {region.name} lacks a version for {self._unready[region.name]} s"
                )

    def _no_region_had_cut(self, world: World, who: str) -> None:
        if self._cut_heard:
            raise Broken(f"C: {who} goes on although {sorted(self._cut_heard)} cut the candidate off")

    def _verdicts_can_be_replayed(self, world: World, entry: ModelCommand) -> None:
        if not entry.evidence or entry.evidence not in world.store.evidence:
            raise Broken(f"G: {entry.kind} without its evidence")
        found = replayed(decode_evidence(world.store.evidence[entry.evidence]))
        if encode_verdict(found) != world.store.verdicts[entry.evidence]:
            raise Broken(f"G: the evidence says {found.kind} now, which is not what was found then")

    def _nothing_is_counted_twice(self, world: World) -> None:
        true = [0, 0]
        for served in world.served.values():
            true = [a + b for a, b in zip(true, served.get(8, [0, 0]), strict=True)]
        for controller in world.controllers:
            gathered = controller.state.gathered
            if gathered is None:
                continue
            found = gathered.evidence.candidate
            if found.requests > true[0] or found.errors > true[1]:
                raise Broken(f"F: {controller.name} counted {found.requests} of {true[0]} requests")
            if gathered.predictions.candidate.looked > found.requests:
                raise Broken(f"F: {controller.name} looked at more answers than there were requests")
            if len(gathered.rows) and sum(row.candidate.requests for row in gathered.rows) != found.requests:
                raise Broken("G: the rows are not what the evidence was made of")

    def _ask_what_is_loaded(self, world: World) -> None:
        for region in world.regions:
            ready = all({7, 8} <= pod.loaded for pod in region.pods)
            self._unready[region.name] = 0 if ready else self._unready.get(region.name, 0) + 1

    def _remember(self, world: World) -> None:
        rollout = world.store.log.rollout
        if rollout is None:
            return
        generation = rollout.generation
        pods = [
            pod for region in world.regions if self._highest.get((rollout.id, region.name), 0) for pod in region.pods
        ]
        if pods and all(generation in pod.generations_in_force for pod in pods):
            self._in_force_at.setdefault(generation, world.now)
        for region in world.regions:
            heard = [c.state.readings.get(region.name) for c in world.controllers[-1:]]
            if any(each is not None and each.reading.cut_rollout == rollout.id for each in heard):
                self._cut_heard.add(region.name)
