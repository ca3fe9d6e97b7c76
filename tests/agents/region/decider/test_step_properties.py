"""The decider under any events in any order: it never raises, never jumps between states, never asks twice."""

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelcast.agents.region.decider.events_and_effects import (
    CancelFetch,
    CheckOwner,
    Contradicted,
    ControlServes,
    Effect,
    Event,
    Fetch,
    Fetched,
    FetchFailed,
    Fetching,
    Folded,
    Holding,
    Load,
    LoadBroken,
    Loaded,
    LoadRefused,
    OwnershipDoubted,
    PodLost,
    PodRead,
    PodsKnown,
    Read,
    Refold,
    Replaced,
    Report,
    Save,
    Saved,
    SaveFailed,
    Tick,
    Transfer,
    Unloaded,
)
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.step import step
from modelcast.consumers.pod_clients.port import LANES, LoadOrder, PodReading
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Activation, CommandKind
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import State
from tests.agents.region.rollout_words import RolloutLog
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, digest, memory_of
from tests.support.lanes import often
from tests.support.records.folding import may_move

PODS = ("a", "b", "c")
MEAN = settings(max_examples=often(150, 50), deadline=None, suppress_health_check=[HealthCheck.too_slow])

versions = st.integers(1, 4)
pods = st.sampled_from(PODS)


@st.composite
def logs(draw: st.DrawFn) -> list[ModelLog]:
    """The folds of one log as it grew."""
    log, folds = Log(), [ModelLog(MODEL, REGISTRY)]
    for _ in range(draw(st.integers(1, 7))):
        published = [e.version for e in log.entries if hasattr(e, "version")]
        if not published or draw(st.booleans()):
            log.publish(
                max(published, default=0) + 1,
                activation=draw(st.sampled_from(Activation)),
                placement=draw(st.sampled_from([(), (), ("eu",), ("us",)])),
            )
        else:
            kind = draw(st.sampled_from([k for k in CommandKind if k is not CommandKind.ALIAS]))
            log.say(kind, draw(st.sampled_from(published)), region=draw(st.sampled_from(["", "eu"])))
        folds.append(log.fold)
    return folds


@st.composite
def rollout_logs(draw: st.DrawFn) -> list[ModelLog]:
    """The folds of one log with rollouts as it grew."""
    log = RolloutLog()
    folds = [log.fold]
    for _ in range(draw(st.integers(1, 6))):
        what = draw(st.sampled_from(["start", "step", "hold", "resume", "promote", "abort", "rollback", "reload"]))
        match what:
            case "start":
                log.start(draw(st.sampled_from([1, 2])))
            case "step":
                log.grants(draw(st.sampled_from([0, 100, 10_000])))
            case "rollback":
                log.say(CommandKind.ROLLBACK, 1)
            case "reload":
                log.say(CommandKind.RELOAD)
            case _:
                getattr(log, what)()
        folds.append(log.fold)
    return folds


orders = st.builds(
    LoadOrder,
    st.just(MODEL),
    versions,
    versions.map(digest),
    st.integers(0, 8),
    st.integers(0, 3),
    st.just(REGISTRY),
    st.booleans(),
)
readings = st.builds(
    PodReading,
    pods,
    st.booleans(),
    st.sampled_from(["", "i", "j"]),
    st.none() | versions,
    st.none() | versions.map(digest),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 3),
    st.none() | st.sampled_from([REGISTRY, "another"]),
)
codes = st.sampled_from(
    ["stale", "conflict", "unauthorized", "artifact_missing", "verification_failed", "load_failed", "load_timeout"]
)

rosters = st.builds(
    PodsKnown,
    st.sets(pods).map(lambda names: tuple(sorted(names))),
    st.frozensets(pods),
    st.integers(0, 1),
    st.sampled_from(["", "away"]),
)


def any_event(folds: list[ModelLog]) -> st.SearchStrategy[Event]:
    """Any event at all, however unlikely."""
    return st.one_of(
        st.sampled_from(folds).map(Folded),
        st.just(Folded(ModelLog(MODEL, "another"))),
        st.builds(Contradicted, st.just("rewritten")),
        rosters,
        st.builds(Fetching, versions.map(digest), st.builds(Transfer, st.integers(0, 10))),
        st.builds(Fetched, versions.map(digest)),
        st.just(OwnershipDoubted()),
        st.builds(Holding, st.booleans()),
        st.builds(FetchFailed, versions.map(digest), st.just("x"), st.booleans(), st.booleans()),
        st.builds(Loaded, pods, orders),
        st.builds(LoadRefused, pods, orders, codes, st.just("x")),
        st.builds(LoadBroken, pods, orders, codes, st.just("x")),
        readings.map(PodRead),
        st.builds(PodLost, pods, st.just("x")),
        st.integers(1, 4).map(lambda e: Saved(replace(memory_of(1, 1), epoch=e))),
        st.builds(SaveFailed, st.just("x")),
        st.builds(Replaced, st.just("x")),
        st.dictionaries(pods, versions.map(digest)).map(ControlServes),
        st.builds(Unloaded, pods, st.just("") | codes, st.just("x")),
        st.just(Tick()),
    )


@MEAN
@given(st.data(), logs() | rollout_logs(), st.sampled_from(sorted(LANES)))
def test_no_event_at_any_time_raises_and_no_wish_lies_in_the_past(
    data: st.DataObject, folds: list[ModelLog], lane: str
) -> None:
    now = 0.0
    replica = Replica.owning(Memory(REGISTRY, MODEL, REGION).claimed_by("w"), Policy(), lane=lane)
    for event in data.draw(st.lists(any_event(folds), max_size=25)):
        now += data.draw(st.sampled_from([0.0, 0.1, 5.0, 100.0]))
        replica, effects = step(replica, event, now)
        assert replica.wakes_at(now) > now
        for name in replica.pods:
            replica.pod_report(name, 10**15, now)
        assert not replica.facts.replaced or not effects
        assert not replica.facts.alarm or all(_goes_on(replica, effect) for effect in effects)


def _goes_on(replica: Replica, effect: Effect) -> bool:
    """Whether an effect obeys no log: pods are looked at, and one that serves nothing gets what was served last."""
    served = replica.facts.saved.served
    if isinstance(effect, Load):
        return served is not None and effect.order.manifest_digest == served.manifest_digest
    return isinstance(effect, Report | CheckOwner | Read | Save)


class World:
    """Effects under way; outcomes are drawn, as the world might answer, but only to what was asked."""

    def __init__(self, memory: Memory, folds: list[ModelLog]) -> None:
        self.replica = Replica.owning(memory, Policy())
        self.folds = folds
        self.unread = 0
        self.now = 0.0
        self.under_way: list[Effect] = []
        self.serves: dict[str, LoadOrder | None] = dict.fromkeys(PODS)
        self.states: list[tuple[int, State]] = []

    def on(self, event: Event) -> None:
        before = self.replica
        self.replica, effects = step(before, event, self.now)
        self._check_move(before, self.replica)
        for effect in effects:
            if isinstance(effect, Report | CancelFetch):
                continue
            self.under_way.append(effect)
        self._check_asked_once()

    def _check_move(self, before: Replica, after: Replica) -> None:
        if before.generation != after.generation or before.target != after.target:
            return  # a fresh aspiration starts anew; what was before is superseded
        old, new = before.state, after.state
        passing = may_move(old, State.STAGED) and may_move(State.STAGED, new)  # both in one step
        assert may_move(old, new) or passing, (old, new)

    def _check_asked_once(self) -> None:
        asked = Counter(
            (type(e), e.update.version if isinstance(e, Fetch) else getattr(e, "pod", ""))
            for e in self.under_way
            if isinstance(e, Fetch | Save | CheckOwner)
        )
        assert not asked or max(asked.values()) == 1, asked
        assert sum(isinstance(e, Save | CheckOwner) for e in self.under_way) <= 1

    def outcome(self, effect: Effect, data: st.DataObject) -> Event:
        lucky = data.draw(st.integers(0, 3)) > 0
        match effect:
            case Fetch(update):
                wanted = update.artifact.manifest_digest
                if lucky:
                    return Fetched(wanted)
                pending = self.replica.pending
                asked_to_stop = ["cancelled"] if wanted in pending.cancelled or pending.holding else []
                kind = data.draw(st.sampled_from(["cut", "damaged", *asked_to_stop]))
                return FetchFailed(wanted, "x", damaged=kind == "damaged", cancelled=kind == "cancelled")
            case Load(pod, order):
                if lucky:
                    self.serves[pod] = order
                    return Loaded(pod, order)
                kind = data.draw(st.sampled_from(["lost", "happened", "lie", "refused", "broken"]))
                if kind == "happened":
                    self.serves[pod] = order
                if kind in {"lost", "happened"}:
                    return PodLost(pod, "x")
                if kind == "lie":
                    return Loaded(pod, order)
                return (LoadRefused if kind == "refused" else LoadBroken)(pod, order, data.draw(codes), "x")
            case Read(pod):
                if not lucky and data.draw(st.booleans()):
                    return PodLost(pod, "x")
                if not lucky:
                    self.serves[pod] = None  # it restarted
                order = self.serves[pod]
                if order is None:
                    return PodRead(PodReading(pod, True, "i", None, None, None, None))
                return PodRead(
                    PodReading(pod, True, "i", order.version, order.manifest_digest, order.generation, order.epoch)
                )
            case Save(memory):
                return Saved(memory) if lucky else SaveFailed("x")
            case CheckOwner(epoch_seen):
                saved = self.replica.facts.saved
                return Saved(replace(saved, epoch=max(saved.epoch, epoch_seen))) if lucky else SaveFailed("x")
            case Refold():
                return Folded(self.folds[self.unread])
        raise AssertionError(effect)


@MEAN
@given(st.data(), logs(), st.booleans())
def test_states_move_only_as_they_may_and_nothing_is_asked_twice(
    data: st.DataObject, folds: list[ModelLog], takes_over: bool
) -> None:
    accepted = next((f for f in folds if f.aspiration(REGION).generation == 1 and f.updates), None)
    memory = memory_of(1, 1).claimed_by("new") if takes_over and accepted else Memory(REGISTRY, MODEL, REGION, 1, "w")
    world = World(memory, folds)
    world.on(PodsKnown(data.draw(st.sampled_from([(), ("a",), ("a", "b")]))))
    for _ in range(data.draw(st.integers(1, 60))):
        choice = data.draw(st.integers(0, 9))
        if choice == 0 and world.unread + 1 < len(folds):
            world.unread += 1
            world.on(Folded(folds[world.unread]))
        elif choice == 1:
            world.on(data.draw(rosters))
        elif choice == 3:
            world.on(Holding(data.draw(st.booleans())))
        elif choice == 2 or not world.under_way:
            world.now = min(world.replica.wakes_at(world.now), world.now + 100)
            world.on(Tick())
        else:
            effect = world.under_way.pop(data.draw(st.integers(0, len(world.under_way) - 1)))
            world.on(world.outcome(effect, data))


@MEAN
@given(st.data(), logs())
def test_once_the_world_behaves_every_pod_serves_what_the_log_says(data: st.DataObject, folds: list[ModelLog]) -> None:
    world = World(Memory(REGISTRY, MODEL, REGION, 1, "w"), folds)
    world.on(PodsKnown(("a", "b")))
    for _ in range(data.draw(st.integers(0, 25))):
        if world.under_way and data.draw(st.booleans()):
            effect = world.under_way.pop(data.draw(st.integers(0, len(world.under_way) - 1)))
            world.on(world.outcome(effect, data))
        elif world.unread + 1 < len(folds):
            world.unread += 1
            world.on(Folded(folds[world.unread]))
    world.unread = len(folds) - 1
    world.on(Folded(folds[-1]))

    class Lucky:
        def draw(self, _: object) -> int:
            return 3

    for _ in range(400):
        if world.under_way:
            world.on(world.outcome(world.under_way.pop(0), Lucky()))  # type: ignore[arg-type]
            continue
        done = world.replica.settled or world.replica.target is None
        if done or world.replica.is_quarantined(world.replica.digest):
            break
        world.now = world.replica.wakes_at(world.now)
        assert world.now != float("inf"), "nothing under way, nothing to wait for, and yet not there"
        world.on(Tick())
    target = world.replica.target
    if target and not world.replica.is_quarantined(target.artifact.manifest_digest):
        assert world.replica.state is State.SERVING
        assert {o.version for name, o in world.serves.items() if name in {"a", "b"} and o} == {target.version}
