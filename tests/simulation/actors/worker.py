"""A worker of a region: the real decider, with its real state object and snapshots, in a modelled shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from modelcast.agents.region.decider import values
from modelcast.agents.region.decider.memory import Memory
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.snapshots import snapshot
from modelcast.agents.region.decider.step import step
from modelcast.agents.region.ownership.liveness import Standing, yield_seconds
from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.agents.region.shell.effects import PROOF_SECONDS_MAX
from modelcast.schemas.errors import ForeignRegistry, StoreUnavailable
from modelcast.schemas.log import ModelLog
from tests.simulation.actors.line import TIMED_OUT, Line
from tests.simulation.actors.pod import show
from tests.simulation.actors.process import Process
from tests.simulation.actors.stepwise import Stepwise

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region

LOAD_TIMEOUT, READ_TIMEOUT, STATE_TIMEOUT = 30.0, 5.0, 10.0
LISTING_SECONDS, REPORT_SECONDS = 30.0, 45.0


@dataclass(eq=False, slots=True)
class Ownership:
    """One claimed epoch: the replica, and what the shell keeps beside it."""

    replica: Replica
    state: OwnedState
    log: ModelLog
    proved_at: float
    wakes_at: float = float("inf")

    @property
    def epoch(self) -> int:
        """Ours."""
        return self.replica.saved.epoch


class Worker(Process):
    """One process of the region's agent."""

    def __init__(self, region: Region, name: str) -> None:
        super().__init__(region, name)
        self.assignment = 0  # the number of the last assignment that it heard of
        self.is_assigned = False
        self.own: Ownership | None = None
        self.standing = Standing(clock=lambda: self.world.now)
        self._sequence = 0
        self._yields = 0
        self._yielding = 0  # the number of the last time that it was replaced
        self._claiming = 0  # the number of the last claim
        self._claim_under_way = False
        self._steps: list[Stepwise] = []

    # --- living and dying ---------------------------------------------------------------------------------

    def begun(self) -> None:
        """See ``Process``."""
        self.later(LISTING_SECONDS * self.world.rng.uniform(0.8, 1.2), self._list)
        self.later(REPORT_SECONDS, self._repeat)

    def forget(self) -> None:
        """See ``Process``."""
        self.own, self.is_assigned, self.assignment = None, False, 0
        self._claim_under_way = False
        self._sequence = 0
        self._yielding += 1
        self._yields = 0
        self.standing = Standing(clock=lambda: self.world.now)
        self.abandon_steps()

    def abandon_steps(self) -> None:
        """Calls that were under way end nowhere."""
        for steps in self._steps:
            steps.abandon()
        self._steps.clear()

    def ticked(self) -> None:
        """See ``Process``."""
        self.standing.ticked()

    def heard(self) -> None:
        """See ``Process``."""
        self.standing.heard()

    def woke(self) -> None:
        """See ``Process``."""
        if self.own is not None:
            self._check_owner(self.own, 0)

    # --- owning -------------------------------------------------------------------------------------------

    def assigned(self, number: int) -> None:
        """The group gives us the model."""
        if number <= self.assignment:
            return
        self.assignment, self.is_assigned = number, True
        self.marks()
        self.standing.assigned()
        self._yields = 0
        self._yielding += 1
        self.world.trace(self.name, f"assigned ({number})")
        self._claim()

    def revoked(self, number: int) -> None:
        """Assignment ``number`` is somebody else's."""
        if number <= self.assignment:
            return
        self.assignment, self.is_assigned = number, False
        self._claiming += 1
        self._claim_under_way = False
        self.handle(self.own, values.Replaced("revoked"))

    def _claim(self) -> None:
        """Take the next owner epoch, however often the bucket has to be asked."""
        self.own = None
        self._claim_under_way = True
        self._claiming += 1
        number, state = self._claiming, self.new_state()

        def attempt() -> None:
            if self._claiming != number:
                return
            steps = Stepwise(lambda: state.claim(self.world.registry_id))
            self._steps.append(steps)
            go_on(steps)

        def go_on(steps: Stepwise) -> None:
            steps.go_on()
            if not steps.over:
                if self.world.fault("worker paused in a claim", self.region):
                    self.pause(self.world.rng.uniform(5.0, 60.0))
                self.later(self.world.rng.uniform(0.005, 0.05), lambda: go_on(steps))
                return
            self._steps.remove(steps)
            match steps.error:
                case None:
                    memory = cast(Memory, steps.result)
                    self.later(self.world.rng.uniform(0.01, 0.1), lambda: claimed(memory))
                case Superseded() as error if self._claiming == number:
                    self._claim_under_way = False
                    self._let_go(str(error))
                case StoreUnavailable() as error:
                    self.later(self._seconds_of(error) + 0.5, attempt)
                case Superseded():
                    pass
                case error:
                    raise error

        def claimed(memory: Memory) -> None:
            if self._claiming != number:
                return
            self._claim_under_way = False
            self.world.trace(self.name, f"owns epoch {memory.epoch}")
            blank = ModelLog(self.world.model, self.world.registry_id)
            self.own = own = Ownership(Replica.owning(memory, self.world.policy), state, blank, self.world.now)
            self.handle(own, values.PodsKnown(tuple(p.name for p in self.region.pods)))
            self._read_log(own)

        self.later(self.world.rng.uniform(0.01, 0.1), attempt)

    def new_state(self) -> OwnedState:
        """The state object, as this process reaches it."""
        may_replace = lambda: self.is_assigned and self.stands()  # noqa: E731
        return OwnedState(Line(self), self.world.model, self.region.name, self.identity, may_replace)

    def stands(self) -> bool:
        """What the real process' standing says; its event loop and its heartbeats are not simulated one by one."""
        self.marks()
        return self.standing.stands()

    def marks(self) -> None:
        """See ``Process``."""
        now = self.world.now
        if self.is_ticking:
            self.standing._ticked_at = now
        if self.is_heard:
            self.standing._heard_at = now

    def take_unasked(self) -> None:
        """Claim an epoch in the very moment, and do nothing with it: a process that dies right after."""
        self.world.trace(self.name, "another claims in between, and forgets")
        state = OwnedState(Line(self), self.world.model, self.region.name, f"{self.identity} for a moment")
        state.claim(self.world.registry_id)

    @staticmethod
    def _seconds_of(error: StoreUnavailable) -> float:
        return STATE_TIMEOUT if error.message == TIMED_OUT else 0.1

    def _on_state(self, own: Ownership, call: Callable[[], Memory], done: Callable[[values.Event], None]) -> None:
        """What the shell's hands do with the state object."""
        began = self.world.now
        event: values.Event
        seconds = self.world.rng.uniform(0.02, 0.1)
        try:
            event = values.Saved(call())
            own.proved_at = began
        except Superseded as error:
            event = values.Replaced(str(error))
        except StoreUnavailable as error:
            event, seconds = values.SaveFailed(error.message), self._seconds_of(error)
        self.later(seconds, lambda: done(event) if own is self.own else None)

    # --- the loop: events in, effects out -----------------------------------------------------------------

    def handle(self, own: Ownership | None, event: values.Event) -> None:
        """Feed the decider and do what it says."""
        if own is None or own is not self.own:
            return
        before = own.replica
        after, effects = step(before, event, self.world.now)
        own.replica = after
        self.world.checks.stepped(self, before, event, after, effects)
        if after.replaced:
            self._let_go(after.replaced)
            return
        for effect in effects:
            if self.world.fault("worker crashed at an effect", self.region):
                self.crash(f"at {type(effect).__name__}, {after.state}")
            if self.own is not own:
                return
            self._do(own, effect)
            if self.world.fault("worker paused at an effect", self.region):
                self.pause(self.world.rng.uniform(5.0, 60.0))
        self._arm(own)

    def _let_go(self, why: str) -> None:
        """Replaced. If the group still says that the model is ours, the other one may be wrong, or may have gone."""
        self.world.trace(self.name, f"lets go of epoch {self.own.epoch if self.own else None}: {why}")
        self.own = None
        self._yielding += 1
        number, seconds = self._yielding, yield_seconds(self._yields, LISTING_SECONDS, self.world.rng.random())
        self._yields += 1

        def come_back() -> None:
            if self._yielding == number and self.is_assigned and self.own is None and not self._claim_under_way:
                self._claim()

        self.later(seconds, come_back)

    def _arm(self, own: Ownership) -> None:
        at = own.replica.wakes_at(self.world.now)
        if at == float("inf") or own.wakes_at <= max(at, self.world.now):
            return
        own.wakes_at = at

        def tick() -> None:
            own.wakes_at = float("inf")
            self.handle(own, values.Tick())

        self.later(max(at - self.world.now, 0.01), tick)

    def _do(self, own: Ownership, effect: values.Effect) -> None:
        self.world.stats[f"effect: {type(effect).__name__}"] += 1
        match effect:
            case values.Fetch(update):
                digest = update.artifact.manifest_digest
                self.world.trace(self.name, f"fetch v{update.version}")
                wanted = lambda: self.own is own and digest not in own.replica.cancelled  # noqa: E731
                self.region.fetch(update, wanted, lambda e: self.later(0.0, lambda: self.handle(own, e)))
            case values.CancelFetch():
                pass  # the fetch looks at what is wanted
            case values.Load():
                self._prove_then_load(own, effect)
            case values.Read(pod):
                self._read(own, pod)
            case values.Save(memory):
                self._save(own, memory)
            case values.Report():
                self._report(own)
            case values.CheckOwner(epoch_seen):
                self._check_owner(own, epoch_seen)
            case values.Refold():
                self._read_log(own)

    def _prove_then_load(self, own: Ownership, effect: values.Load) -> None:
        if not self.region.proves or self.world.now - own.proved_at <= PROOF_SECONDS_MAX:
            self._load(own, effect)
            return

        def done(event: values.Event) -> None:
            if isinstance(event, values.Saved):
                self._load(own, effect)
            elif isinstance(event, values.Replaced):
                self.handle(own, event)
            else:
                self.handle(own, values.LoadRefused(effect.pod, effect.order, "unproved", "not told"))

        self._on_state(own, own.state.check, done)

    def _load(self, own: Ownership, effect: values.Load) -> None:
        world, pod = self.world, self.region.pod(effect.pod)
        world.trace(self.name, f"load {effect.pod}: {show(effect.order)}")
        outcome = self._once(own, LOAD_TIMEOUT, values.PodLost(effect.pod, "load timed out"))

        def reply(event: values.Event) -> None:
            if not world.fault("load answer lost", self.region):
                self.later(0.02, lambda: outcome(event))

        others = [worker for worker in self.region.members if worker is not self]
        if others and world.fault("partition moved at a load", self.region):
            self.region.assign(world.rng.choice(others))
        if world.fault("load request lost", self.region):
            return
        late = world.fault("load request late", self.region)
        delay = world.rng.uniform(1.0, 60.0) if late else world.rng.uniform(0.005, 0.05)
        world.after(delay, lambda: pod.receive_load(effect.order, reply))

    def _read(self, own: Ownership, name: str) -> None:
        world, pod = self.world, self.region.pod(name)
        outcome = self._once(own, READ_TIMEOUT, values.PodLost(name, "read timed out"))
        if world.fault("read lost", self.region):
            return
        slow = world.fault("read late", self.region)
        delay = world.rng.uniform(1.0, 4.5) if slow else 0.02
        world.after(0.02, lambda: pod.receive_read(lambda e: self.later(delay, lambda: outcome(e))))

    def _once(self, own: Ownership, timeout: float, otherwise: values.Event) -> Callable[[values.Event], None]:
        """Takes the first outcome; ``otherwise`` if there is none in time."""
        over = False

        def outcome(event: values.Event) -> None:
            nonlocal over
            if not over:
                over = True
                self.handle(own, event)

        self.later(timeout, lambda: outcome(otherwise))
        return outcome

    def _save(self, own: Ownership, memory: Memory) -> None:
        self._on_state(own, lambda: own.state.save(memory), lambda event: self.handle(own, event))

    def _check_owner(self, own: Ownership, epoch_seen: int) -> None:
        def done(event: values.Event) -> None:
            raised = isinstance(event, values.Saved) and event.memory.epoch > own.epoch
            if raised or isinstance(event, values.Replaced):
                self.handle(own, event)

        self._on_state(own, lambda: own.state.check(epoch_seen), done)

    def _report(self, own: Ownership) -> None:
        self._sequence += 1
        now, now_us = self.world.now, int(self.world.now * 1e6)
        for page in snapshot(own.replica, worker=self.identity, sequence=self._sequence, now_us=now_us, now=now):
            self.world.kafka.say_ack(self.region, page)

    def _repeat(self) -> None:
        if self.own is not None:
            self._report(self.own)
        self.later(REPORT_SECONDS, self._repeat)

    # --- the log ------------------------------------------------------------------------------------------

    def hears_of(self, generation: int) -> bool:
        """An announcement; False if it has to be said again (nobody here owns the model yet)."""
        if not self.up or self.paused or self.cut_off or self.own is None:
            return False
        if generation > self.own.log.head:
            self._read_log(self.own)
        return True

    def _list(self) -> None:
        self.later(LISTING_SECONDS * self.world.rng.uniform(0.8, 1.2), self._list)
        if self.own is not None:
            self._read_log(self.own)
            self._check_owner(self.own, 0)

    def _read_log(self, own: Ownership | None) -> None:
        """Read what stands above our fold. Reads overtake each other: an older one may arrive last."""
        if own is None or own is not self.own:
            return
        world = self.world
        if world.fault("log read failed", self.region):
            self.later(5.0, lambda: self._read_log(own))
            return

        def arrives() -> None:
            try:
                log = world.reader.further(own.log)
            except ForeignRegistry as error:
                world.checks.broken("the log is one", str(error))
            slow = world.fault("log read slow", self.region)
            self.later(world.rng.uniform(3.0, 20.0) if slow else 0.05, lambda: read(log))

        def read(log: ModelLog) -> None:
            if own is self.own:
                if log.head > own.log.head:
                    own.log = log
                self.handle(own, values.Folded(log))

        world.after(world.rng.uniform(0.01, 0.1), arrives)
