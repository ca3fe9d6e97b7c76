"""What must hold at every step. Each check has a name, by which it is reported.

The promises behind the checks are the invariants that ARCHITECTURE.md lists.

The world tells ``Checks`` what happens (``pod_was_read``, ``state_written``, …), and ``each`` looks at every pod after
every event. A check knows more than any actor: what bytes are really where, and what was really read back.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn

from modelcast.agents.region.decider.events_and_effects import Effect, Event, Load, LoadBroken
from modelcast.agents.region.decider.knowledge import PodView
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.tracker.decider.fold import fold
from modelcast.agents.tracker.decider.snapshots import EMPTY, RegionRows, Snapshot
from modelcast.consumers.pod_clients.port import LANES, LoadOrder, PodReading
from modelcast.schemas.records import ModelAck, PodReport, RegionState, VersionState
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import PodState, State
from tests.simulation.actors.kafka import FORGER
from tests.simulation.artifacts import Stored, digest_of
from tests.simulation.comings_and_goings import check_model, check_step
from tests.simulation.rollout_checks import RolloutChecks
from tests.simulation.rollovers import NEVER_TOO_FEW, NEVER_TOO_MANY, too_few, too_many
from tests.support.records.folding import may_move

if TYPE_CHECKING:
    from tests.simulation.actors.pod import Pod, Serving
    from tests.simulation.actors.region import Region
    from tests.simulation.actors.tracker import TrackerWorker
    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

ONLY_VERIFIED = "1 only verified bytes are served"
STAGED_IS_VERIFIED = "1 staged means verified"
NEVER_BACK = "2 a pod never goes to a lower generation"
REPLACED_IS_POWERLESS = "2 a replaced owner changes nothing"
ACCEPTED_NEVER_FALLS = "2 the accepted generation never falls"
NO_FALSE_ALARM = "2 no alarm without cause"
FLIP_TOLD = "2 a flipped bit of an entry is told"
NOT_REWRITTEN = "2 a log that was rewritten is not obeyed before a person accepts it"
ALARM_STAYS = "2 an alarm stays until the log agrees, or a person decides"
ALARM_SHOWN = "two regions never want different things of one log without an alarm"
ONE_LOG = "3 an event stands once in the log"
CONVERGES = "3 every publication reaches every region"
OLD_KEEPS_SERVING = "4 a failed load leaves the old version serving"
CONFIRMED = "5 serving means read back"
NEVER_BACK_IN_THE_VIEW = "5 the view never goes back"
LIE_ENDS = "5 a forged report stands until the next true one at most"
ONLY_LISTED = "5 only regions that settings list are told of"
SILENT_IS_SAID = "5 a region that is not heard of is not said to serve"
SAID_SOON = "5 what a region reports is said soon"
CLEAN_IN_TIME = "6 a region without faults is in time"
ONCE = "7 an artifact crosses once"
RESTART_CHANGES_NOTHING = "8 a restart of everything changes nothing"
OVER_IS_OVER = "2 an answer that comes after the takeover is not obeyed"
SPEAKS_OF_ITS_OWN = "2 a tracker says nothing of a model that it was told is not its own"
RIGHT_OWNER_STAYS = "whoever has slept pushes nobody out"
LEGAL_MOVES = "states move only as allowed"
NO_FALSE_BLAME = "no fault of the environment blames a version"
NO_BUSY_LOOP = "nothing is tried without a pause"
NOT_OVERDUE = "what is due is done"

SLEEPY_SECONDS = 10.0  # after its sleep the group may not have told a worker yet what it lost
SOON_SECONDS = 3.0
OVERDUE_SECONDS = 1.0
LOADS_MAX, LOADS_SECONDS = 12, 5.0  # orders to one pod by one owner


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


class Checks:
    """The invariants of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._serving: dict[Pod, Serving | None] = {}
        self._floor: Counter[Pod] = Counter()  # the generation that each pod served last
        self._accepted: dict[tuple[Pod, str], tuple[int, int]] = {}  # the highest (epoch, generation), by lane
        self._read: set[tuple[str, int | None, str, int]] = set()  # what pods really answered
        self._lies_said: dict[tuple[TrackerWorker, str], tuple[PodReport, ...]] = {}  # made of forged reports
        self._states: dict[Worker, tuple[Replica | None, State, float]] = {}  # after the last step, and when
        self._state_at: defaultdict[Region, float] = defaultdict(float)  # when its state object was written last
        self._loads: dict[tuple[int, str], deque[float]] = defaultdict(deque)
        self._epochs: Counter[tuple[Worker, str]] = Counter()  # in which each process has decided last
        self._let_go: dict[tuple[Worker, str], int] = {}  # the epoch that each process gave up last
        self.failure: BaseException | None = None
        self.rollouts = RolloutChecks(world)

    def broken(self, invariant: str, message: str) -> NoReturn:
        """Stop: this must not happen. Production code may catch what is raised, so ``each`` raises it again."""
        self.failure = self.failure or Violation(invariant, message)
        raise self.failure

    # --- pods ---------------------------------------------------------------------------------------------

    def each(self) -> None:
        """After every event: has any pod changed what it serves?"""
        if self.failure is not None:
            raise self.failure
        for pod in self.world.pods:
            before, now = self._serving.get(pod), pod.serving
            if now is before:
                continue
            self._serving[pod] = now
            if now is None:
                if pod.up:
                    self.broken(OLD_KEEPS_SERVING, f"{pod.name} serves nothing any more")
                continue
            self._bytes_are_verified(pod, now)
            self._never_back(pod, before, now)

    def _bytes_are_verified(self, pod: Pod, serving: Serving) -> None:
        order, really = serving.order, digest_of(serving.stored.data)
        if (order.version, really) not in self.world.ever:
            self.broken(ONLY_VERIFIED, f"{pod.name} serves {really[7:13]} as version {order.version}")

    def _never_back(self, pod: Pod, before: Serving | None, now: Serving) -> None:
        generation = now.order.generation
        if before is not None and generation < self._floor[pod] and not pod.plain:
            self.broken(NEVER_BACK, f"{pod.name} went from generation {self._floor[pod]} to {generation}")
        self._floor[pod] = generation

    def pod_accepted(self, pod: Pod, order: LoadOrder) -> None:
        """A pod obeys an order."""
        epoch, generation = self._accepted.get((pod, order.lane), (0, 0))
        if order.epoch < epoch:
            self.broken(REPLACED_IS_POWERLESS, f"{pod.name} obeys epoch {order.epoch} after {epoch}")
        if order.epoch == epoch and order.generation < generation:
            self.broken(NEVER_BACK, f"{pod.name} obeys generation {order.generation} after {generation}")
        self._accepted[pod, order.lane] = (order.epoch, order.generation)

    def pod_crashed(self, pod: Pod) -> None:
        """What it served is gone, and that is no failure of ours."""
        self._serving[pod] = None

    def pod_is_blank(self, pod: Pod) -> None:
        """Another pod under the same name: it has promised nothing."""
        for lane in LANES:
            self._accepted.pop((pod, lane), None)
        self._floor.pop(pod, None)

    def pod_was_read(self, pod: Pod, reading: PodReading) -> None:
        """A pod tells what it serves."""
        self._read.add((pod.name, reading.version, reading.manifest_digest or "", reading.generation or 0))

    # --- owners -------------------------------------------------------------------------------------------

    def state_written(self, region: Region, old: Memory | None, new: Memory) -> None:
        """The state object has changed."""
        check_model(self.world, new.owner, new.model)
        if new.cut is not None and (old is None or old.cut != new.cut):
            self.rollouts.cut_kept(region, new.cut.rollout)
        if old is None:
            return
        if new.epoch < old.epoch or (new.epoch == old.epoch and new.owner != old.owner):
            self.broken(REPLACED_IS_POWERLESS, f"{region.name}: {new.owner} (epoch {new.epoch}) wrote over {old.epoch}")
        if new.accepted_generation < old.accepted_generation:
            self.broken(ACCEPTED_NEVER_FALLS, f"{region.name}: {old.accepted_generation} -> {new.accepted_generation}")
        if old.accepted_digest and not self.world.rewriting.follows(new.accepted_digest, old.accepted_digest):
            what = f"{region.name} accepted generation {new.accepted_generation} of a log that its last is no part of"
            self.broken(NOT_REWRITTEN, what)
        self._right_owner_stays(region, old, new)
        self._state_at[region] = self.world.now

    def _right_owner_stays(self, region: Region, old: Memory, new: Memory) -> None:
        right, last_written_at = region.assignee, self._state_at[region]
        if right is None or not right.up or not old.owner == right.identity != new.owner:
            return
        for worker in region.workers:
            began, ended = worker.slept
            if region.assigned_at[worker.assignment] > ended:
                continue  # it was told since: whoever moves the partition on must tell it again
            # A put that was on its way when the sleep began may land after it, if nobody has written meanwhile.
            if worker.identity == new.owner and last_written_at > began and self.world.now < ended + SLEEPY_SECONDS:
                self.broken(RIGHT_OWNER_STAYS, f"{new.owner} took the model from {old.owner}, whose it is")

    def staged(self, region: Region, digest: str, stored: Stored) -> None:
        """A fetch says that it has brought ``digest``."""
        if (really := digest_of(stored.data)) != digest:
            self.broken(STAGED_IS_VERIFIED, f"{region.name} holds {really[7:13]} as {digest[7:13]}")

    def let_go(self, worker: Worker) -> None:
        """A worker gives the model up."""
        self._let_go[worker, worker.identity] = self._epochs[worker, worker.identity]

    def stepped(
        self,
        worker: Worker,
        before: Replica,
        event: Event,
        after: Replica,
        effects: Iterable[Effect],
    ) -> None:
        """The decider has taken a step."""
        world = self.world
        if before.facts.saved.epoch <= self._let_go.get((worker, worker.identity), 0):
            self.broken(OVER_IS_OVER, f"{worker.name} obeys a {type(event).__name__} in an epoch that it gave up")
        self._epochs[worker, worker.identity] = before.facts.saved.epoch
        if after.facts.alarm or after.facts.unreadable:
            world.deadlines.alarmed_at[worker] = world.now
        if after.facts.alarm and not world.rewriting.tampered:
            self.broken(NO_FALSE_ALARM, f"{worker.name}: {after.facts.alarm}")
        if before.facts.alarm and not after.facts.alarm:
            self._alarm_may_end(worker, before)
        if after.generation < before.generation:
            self.broken(NEVER_BACK, f"{worker.name} follows {after.generation} after {before.generation}")
        self._moves_are_legal(worker, before, event, after)
        if len(after.facts.quarantined) > len(before.facts.quarantined):
            new = after.facts.quarantined[-1]
            world.trace(worker.name, f"quarantines {new.version}: {new.reason}")
            blames = world.blames[worker.region.name, new.manifest_digest]
            if blames < min(after.policy.damage_attempts, after.policy.load_attempts):
                self.broken(NO_FALSE_BLAME, f"{worker.name} quarantines {new.version} ({new.reason}), blamed {blames}×")
            serve = [name for name, view in before.pods.items() if _serves(view, new.manifest_digest)]
            if serve and isinstance(event, LoadBroken):
                self.broken(NO_FALSE_BLAME, f"{worker.name} quarantines {new.version}, which serves on {serve}")
        if what := too_many(after, effects):
            self.broken(NEVER_TOO_MANY, f"{worker.name}: {what}")
        if what := too_few(after, effects):
            self.broken(NEVER_TOO_FEW, f"{worker.name}: {what}")
        check_step(world, worker, event, effects)
        for effect in effects:
            if isinstance(effect, Load):
                self._has_paused(worker, effect)

    def _alarm_may_end(self, worker: Worker, before: Replica) -> None:
        lost = [position for position in before.positions if not self.world.truth.answers(position)]
        if lost:
            self.broken(ALARM_STAYS, f"{worker.name} ends it, but the log does not answer {lost[0].generation}")

    def alarms_are_shown(self, regions: set[str]) -> None:
        """Faults are long over, and these regions had read what the log does not answer."""
        state = self.world.redis.state(self.world.model)
        if regions and (state is None or not state.alarm):
            self.broken(ALARM_SHOWN, f"nothing is said of {', '.join(sorted(regions))}")

    def _moves_are_legal(self, worker: Worker, before: Replica, event: Event, after: Replica) -> None:
        known, old, at = self._states.get(worker, (None, State.ANNOUNCED, 0.0))
        if known is not before:
            old = before.state
        else:
            self._is_not_overdue(worker, before, at)
        new = after.state
        self._states[worker] = after, new, self.world.now
        if new is old:
            return
        self.world.stats[f"state: {new}"] += 1
        self.world.trace(worker.name, f"generation {after.generation} is {new} {after.attempts.error}")
        legal = may_move(old, new) or (may_move(old, State.STAGED) and may_move(State.STAGED, new))  # both in one step
        if before.facts.aspiration and before.generation == after.generation and not legal:
            what = f"generation {after.generation}: {old} -> {new} on {type(event).__name__}"
            self.broken(LEGAL_MOVES, f"{worker.name} {what}")

    def _is_not_overdue(self, worker: Worker, before: Replica, at: float) -> None:
        """Since the step at ``at``, nothing has been done."""
        late = self.world.now - before.wakes_at(at)
        if late > OVERDUE_SECONDS and worker.woken_at < at:
            self.broken(NOT_OVERDUE, f"{worker.name} did nothing for {late:.1f} seconds after something was due")

    def _has_paused(self, worker: Worker, load: Load) -> None:
        times, now = self._loads[(load.order.epoch, load.pod)], self.world.now
        times.append(now)
        while times[0] < now - LOADS_SECONDS:
            times.popleft()
        if len(times) > LOADS_MAX:
            self.broken(NO_BUSY_LOOP, f"{worker.name}: {len(times)} orders to {load.pod} in {LOADS_SECONDS} seconds")

    # --- reports ------------------------------------------------------------------------------------------

    def ack_sent(self, ack: ModelAck) -> None:
        """A region reports."""
        for pod in ack.pods:
            self._is_confirmed(f"{ack.region} reports", pod)

    def rows_moved(
        self, worker: TrackerWorker, before: Mapping[str, RegionRows], after: Mapping[str, RegionRows]
    ) -> None:
        """A worker of the tracker has taken a record."""
        for region, rows in after.items():
            old, new = before.get(region, EMPTY).complete, rows.complete
            went_back = old is not None and (new is None or new.order < old.order)
            # One that was forged later under a lower number, too, stands until the next true one.
            if went_back and not (self._is_a_lie(old) or self._is_a_lie(new)):
                self.broken(
                    REPLACED_IS_POWERLESS, f"{worker.name} went back to snapshot {new and new.order} of {region}"
                )
            if new is not None and (old is None or new.order > old.order) and not self._is_a_lie(new):
                self._is_said_soon(worker, region, new)

    def _is_a_lie(self, snapshot: Snapshot | None) -> bool:
        """Whether it was forged under the region's true epoch: no tracker can tell before the next true report."""
        if snapshot is None or snapshot.header.worker != FORGER:
            return False
        return (snapshot.header.region, snapshot.header.epoch) in self.world.kafka.lies

    def believes_a_lie(self, worker: TrackerWorker, region: str) -> bool:
        """Whether a worker of the tracker goes by such a report of ``region`` now."""
        row = worker.agent.rows.models.get(self.world.model)
        return row is not None and self._is_a_lie(row.regions.get(region, EMPTY).complete)

    def lies_are_over(self, worker: TrackerWorker, began: int) -> None:
        """A worker has taken all acknowledgements from offset ``began`` to the end; some may wait for a look."""
        waiting = worker.agent.intake.reports._epochs.regions_waiting(self.world.model)
        for lie in self.world.kafka.lies.values():
            if lie.region in waiting:
                continue
            if lie.refuted_at is not None and lie.refuted_at >= began and self.believes_a_lie(worker, lie.region):
                row = worker.agent.rows.models[self.world.model]
                if row.epoch(lie.region) == lie.epoch:
                    self.broken(LIE_ENDS, f"{worker.name} goes by a forged report of {lie.region} after a true one")

    def _is_said_soon(self, worker: TrackerWorker, region: str, snapshot: Snapshot) -> None:
        life, told_at, began = worker.life, worker.told_at, self.world.now
        wanted = _reported_by(worker, region)
        if wanted is None:
            return  # nothing can be said before

        def check() -> None:
            goes_on = worker.up and not worker.paused and (worker.life, worker.told_at) == (life, told_at)
            if not goes_on or worker.woken_at >= began or not worker.agent.emitter.settled:
                return
            if worker.last_said_at >= began:
                return
            said = worker.last_said.regions if worker.last_said else ()
            if wanted not in map(of_the_report, said):  # what is only repeated may wait
                self.broken(SAID_SOON, f"{worker.name} did not say {snapshot.order} of {region} in {SOON_SECONDS} s")

        self.world.after(SOON_SECONDS, check)

    def unheard(self, worker: TrackerWorker, region: str) -> None:
        """A region was not heard of for so long that a worker of the tracker must have said so."""
        said = worker.last_said.regions if worker.last_said else ()
        if any(row.region == region and row.served_version is not None for row in said):
            self.broken(SILENT_IS_SAID, f"{worker.name} still says that {region} serves something")

    def view_written(self, before: VersionState, after: VersionState) -> None:
        """An owner has written another state into the live view."""
        if after.updated_at_us < before.updated_at_us:
            self.broken(NEVER_BACK_IN_THE_VIEW, f"{after.updated_at_us} was written over {before.updated_at_us}")

    def version_state_said(self, worker: TrackerWorker, state: VersionState) -> None:
        """A worker of the tracker tells the world."""
        if worker.is_revoked:
            self.broken(SPEAKS_OF_ITS_OWN, f"{worker.name} speaks after it was revoked")
        if strangers := {row.region for row in state.regions} - {region.name for region in self.world.regions}:
            self.broken(ONLY_LISTED, f"{worker.name} tells of {len(strangers)} regions that there are not")
        if state.alarm:
            self.world.deadlines.alarmed_at[worker] = self.world.now
        for row in state.regions:
            if self.believes_a_lie(worker, row.region):
                self._lies_said[worker, row.region] = row.pods
                continue
            if state.as_of_us < state.updated_at_us and row.pods == self._lies_said.get((worker, row.region)):
                continue  # the log can't be read: it says again what it said, and of when that is
            for pod in row.pods:
                self._is_confirmed("the tracker says", pod)
            if row.served_version is not None:
                for pod in row.pods:
                    if (pod.pod, row.served_version) not in {(name, version) for name, version, *_ in self._read}:
                        self.broken(
                            CONFIRMED, f"{row.region} is said to serve {row.served_version}; {pod.pod} never did"
                        )

    def _is_confirmed(self, who: str, pod: PodReport) -> None:
        fact = (pod.pod, pod.version, pod.manifest_digest, pod.generation)
        if pod.state is PodState.SERVING and fact not in self._read:
            self.broken(CONFIRMED, f"{who} {pod.pod} to serve version {pod.version}, generation {pod.generation}")


def _reported_by(worker: TrackerWorker, region: str) -> tuple[object, ...] | None:
    """What a worker must say of a region by what it has taken; None while it can't."""
    model, emitter = worker.agent.rows.row(worker.world.model), worker.agent.emitter
    known = model.known(emitter._everywhere())
    if known is None:
        return None
    rows = fold(known, worker.world.now_us).regions
    return next((of_the_report(row) for row in rows if row.region == region), None)


def of_the_report(row: RegionState) -> tuple[object, ...]:
    """What a row has of the region's report, but for its times."""
    moved = row.bytes_moved, row.bytes_planned, row.bytes_per_second, row.way, row.error
    held = row.staged_version, row.staged_generation, row.reported_version, row.served_generation, row.refused_version
    return (row.region, row.state, row.pods_expected, *held, *moved)


def _serves(view: PodView, digest: str) -> bool:
    return view.reading is not None and view.reading.manifest_digest == digest and not view.lost
