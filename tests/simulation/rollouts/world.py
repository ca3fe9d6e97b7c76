"""A simulated rollout: controllers, regions and pods, seconds as numbers, and everything that can go wrong between.

Messages are lost, late and doubled; controllers die, pause and wake up beside their successors; pods crash; the store
does not answer, or did what it does not admit. The decider is the production one.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from modelcast.agents.rollout.decider import entries, facts
from modelcast.agents.rollout.decider import step as deciding
from modelcast.agents.rollout.decider.progress import RolloutProgress, decode_progress
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.evidence.gates import ERRORS, AnalysisPlan, OutcomeGate, PredictionGate, PredictionMeasure
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind, Entry
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.steps_and_gates import PlanStep, RolloutPlan, Strategy
from modelcast.schemas.traffic.table import TrafficTable
from tests.schemas.traffic.makers import EMPTY_LOG, digest_of_version, published, rollout_start
from tests.simulation.rollouts.pods import SimulatedPod, SimulatedRegion
from tests.support.records.folding import stated

PLAN = RolloutPlan(
    Strategy.CANARY,
    (PlanStep(100, 4), PlanStep(1_000, 4), PlanStep(5_000, 4, proof=True), PlanStep(10_000, 4)),
    gates=AnalysisPlan((ERRORS,), predictions=(PredictionGate(PredictionMeasure.CONSTANT, 0.1, 0.2),)),
    deadline_seconds=600.0,
    waves=(("eu",), ("us",)),
)
BANDIT_PLAN = RolloutPlan(
    Strategy.BANDIT,
    (PlanStep(9_000, 10),),
    gates=AnalysisPlan((ERRORS,), outcomes=(OutcomeGate("ctr", tolerated=0.5),)),
    deadline_seconds=600.0,
)
DIGESTS = {version: digest_of_version(version) for version in (7, 8, 9)}
WALL_US = 1_000_000_000_000


@dataclass
class Store:
    """The origin: the table with its tag, the log, evidence and progress."""

    log: ModelLog
    table: TrafficTable | None = None
    tag: int = 0
    evidence: dict[str, bytes] = field(default_factory=dict)
    verdicts: dict[str, bytes] = field(default_factory=dict)
    progress: dict[str, bytes] = field(default_factory=dict)


@dataclass
class SimulatedController:
    """One process; ``tag``: of the table that it read or put last."""

    name: str
    state: facts.ControllerState
    tag: int = 0
    paused_until: int = 0
    leaves_at: int = 10**9  # Kafka tells it that its partitions are another's
    offset: float = 0.0


class World:
    """One run. ``notes`` is what happened, for people; ``claims`` and ``puts`` are for the invariants."""

    def __init__(
        self,
        seed: int,
        *,
        error_rate: float = 0.02,
        faults: float = 1.0,
        seconds: int = 240,
        cuts_at: int | None = None,
        constant: bool = False,
        plan: RolloutPlan = PLAN,
        outcomes: Mapping[int, float] | None = None,
    ) -> None:
        self.plan, self.outcomes = plan, outcomes or {}
        self.seed, self.rng, self.faults = seed, random.Random(seed), faults
        self.error_rates = {7: 0.02, 8: error_rate, 9: 0.02}
        numbers = np.random.default_rng(seed)
        log = EMPTY_LOG
        for entry in (published(1, 7), published(2, 8, staged=True)):
            log = log.extend(stated(log, entry))
        self.store = Store(log)
        self.regions = [
            SimulatedRegion(name, [SimulatedPod(f"{name}-{n}", name, numbers) for n in range(2)], log)
            for name in ("eu", "us")
        ]
        self.regions[-1].cuts_at = cuts_at
        self.harmful = error_rate > self.error_rates[7] or constant
        for region in self.regions:
            for pod in region.pods:
                pod.constant = {8} if constant else set()
        self.controllers: list[SimulatedController] = [self._controller("a")]
        self.now, self.quiet_from, self.seconds = 0, seconds // 2, seconds
        self.mail: list[tuple[int, int, Callable[[], None]]] = []
        self.notes: list[str] = []
        self.claims: list[tuple[int, str, Entry, facts.ClaimEntry]] = []
        self.puts: list[tuple[int, str, TrafficTable]] = []
        self.served: dict[tuple[str, str], dict[int, list[int]]] = {}
        self.died: dict[int, list[int]] = {}
        self._events = 0

    # --- life -----------------------------------------------------------------------------------------------

    def run(self, watch: Callable[["World"], None]) -> None:
        """Every second of it; ``watch`` looks at each."""
        for second in range(1, self.seconds + 1):
            self.now = second
            if self.now == 3:
                self.write(replace(rollout_start(self.store.log.head + 1, 8, self.plan), requested_at_us=self.wall_us))
            self._troubles()
            for region in self.regions:
                self._live(region)
            for _, _, deliver in sorted(mail for mail in self.mail if mail[0] <= self.now):
                deliver()
            self.mail = [mail for mail in self.mail if mail[0] > self.now]
            for controller in list(self.controllers):
                self.tell(controller, facts.LogFolded(self.store.log) if self.now % 2 else facts.Ticked())
            watch(self)

    @property
    def wall_us(self) -> int:
        """UTC, as everybody has it here."""
        return WALL_US + self.now * 1_000_000

    def unlucky(self, chance: float) -> bool:
        """Whether a fault happens now."""
        return self.now < self.quiet_from and self.rng.random() < chance * self.faults

    def note(self, who: str, what: str) -> None:
        """For people who look at a seed that failed."""
        self.notes.append(f"{self.now:4d} {who}: {what}")

    def write(self, entry: Entry) -> None:
        """Claim an entry that fits."""
        self.store.log = self.store.log.extend(stated(self.store.log, entry))

    def _troubles(self) -> None:
        for region in self.regions:
            for pod in region.pods:
                if self.unlucky(0.01):
                    self.note(pod.name, "crashes")
                    for version, (requests, errors) in pod.counts.items():
                        lost = self.died.setdefault(version, [0, 0])
                        lost[0] += requests
                        lost[1] += errors
                    pod.crash(self.now)
        active = self.controllers[-1]
        if self.unlucky(0.02):
            self.note(active.name, "dies")
            self.controllers.remove(active)
            self.controllers.append(self._controller(self._name()))
        elif self.unlucky(0.02):
            active.paused_until = self.now + self.rng.randint(3, 25)
            active.leaves_at = active.paused_until + self.rng.randint(1, 3)
            self.note(active.name, f"pauses until {active.paused_until}, and another one takes over")
            self.controllers.append(self._controller(self._name()))
        self.controllers = [each for each in self.controllers if each.leaves_at > self.now]

    def _live(self, region: SimulatedRegion) -> None:
        for pod in region.pods:
            for version, (requests, errors) in pod.serve(self.now, 400, self.error_rates).items():
                total = self.served.setdefault((region.name, pod.name), {}).setdefault(version, [0, 0])
                total[0] += requests
                total[1] += errors
                self._observe(version, requests)
        if not self.unlucky(0.1):
            region.learn(self.store.log, self.store.table)
        region.act(self.now, [pod for pod in region.pods if not self.unlucky(0.1)])
        if self.unlucky(0.02):
            region.sequence += 1
            self.note(region.name, "is not heard of")
            return
        for pod in region.pods:
            report = pod.report(self.now, DIGESTS)
            region.watch(self.now, report)
            self._post(facts.CountsHeard(report))
        self._post(facts.ReadingHeard(region.reading(self.now)), self.now)

    def _observe(self, version: int, requests: int) -> None:
        """A part of what users did about these answers comes; all controllers hear of it, or none."""
        if version not in self.outcomes or self.unlucky(0.1):
            return
        for _ in range(min(requests, 10)):
            self._events += 1
            value = float(self.rng.random() < self.outcomes[version])
            outcome = ObservedOutcome("fraud", "ctr", value, self.wall_us, f"o{self._events}", version)
            for controller in list(self.controllers):
                self.tell(controller, facts.OutcomeHeard(outcome))

    def _post(self, event: facts.CountsHeard | facts.ReadingHeard, sent: int = 0) -> None:
        copies = 0 if self.unlucky(0.1) else 2 if self.unlucky(0.1) else 1
        for _ in range(copies):
            late = self.rng.randint(1, 8) if self.unlucky(0.1) else 0

            def deliver(late: int = late) -> None:
                told = replace(event, age_seconds=float(late)) if isinstance(event, facts.ReadingHeard) else event
                for controller in list(self.controllers):
                    self.tell(controller, told)

            self._events += 1
            self.mail.append((self.now + late, self._events, deliver))

    # --- controllers ----------------------------------------------------------------------------------------

    def _controller(self, name: str) -> SimulatedController:
        state = facts.ControllerState("fraud", ("eu", "us"))
        return SimulatedController(name, replace(state, log=self.store.log), offset=self.rng.uniform(0, 1e6))

    def _name(self) -> str:
        self._events += 1
        return f"controller-{self._events}"

    def tell(self, controller: SimulatedController, event: facts.Event) -> None:
        """An event for one of them, and the effects of it."""
        if controller.paused_until > self.now:
            return
        moment = facts.Moment(controller.offset + self.now, self.wall_us)
        controller.state, effects = deciding.advance(controller.state, event, moment)
        for effect in effects:
            answer = self._do(controller, effect)
            if answer is not None:
                self.tell(controller, answer)

    def _do(self, controller: SimulatedController, effect: facts.Effect) -> facts.Event | None:
        store = self.store
        match effect:
            case facts.TakeOver(rollout):
                if self.unlucky(0.05):
                    return facts.Failed()
                controller.tag = store.tag
                return facts.TookOver(store.table, self._progress(rollout))
            case facts.PutTable(table):
                return self._put(controller, table)
            case facts.ClaimEntry():
                return self._claim(controller, effect)
            case facts.SaveProgress(rollout, body):
                store.progress[rollout] = body
        return None

    def _progress(self, rollout: str) -> RolloutProgress | None:
        body = self.store.progress.get(rollout)
        return decode_progress(body) if body is not None else None

    def _put(self, controller: SimulatedController, table: TrafficTable) -> facts.Event:
        if self.unlucky(0.05):
            return facts.Failed()
        if controller.tag != self.store.tag:
            return facts.TableRefused()
        self.puts.append((self.now, controller.name, table))
        self.note(controller.name, f"puts {table.authority} with {table.share}")
        self.store.table, self.store.tag = table, self.store.tag + 1
        if self.unlucky(0.05):
            return facts.Failed()  # it is there, and the answer was lost
        controller.tag = self.store.tag
        return facts.TablePut(table)

    def _claim(self, controller: SimulatedController, effect: facts.ClaimEntry) -> facts.Event:
        store = self.store
        if self.unlucky(0.05):
            return facts.Failed()
        if not effect.lowers_only and controller.tag != store.tag:
            return facts.TableRefused()
        self._events += 1
        entry = entries.command_of(
            effect, store.log, event_id=f"event-{self._events}-c", now_us=self.wall_us, requested_by=controller.name
        )
        if entry is None:
            return facts.ClaimEnded(store.log)
        store.log.check(entry)
        store.evidence[sha256_of(effect.evidence)] = effect.evidence
        store.verdicts[sha256_of(effect.evidence)] = effect.verdict
        self.claims.append((self.now, controller.name, entry, effect))
        self.note(controller.name, f"claims {entry.kind} {entry.targets}: {entry.reason[:100]}")
        self.write(entry)
        return facts.Failed() if self.unlucky(0.05) else facts.ClaimEnded(store.log)

    def raises(self, kind: CommandKind) -> bool:
        """Whether an entry of this kind gives the candidate more."""
        return kind in {CommandKind.ROLLOUT_STEP, CommandKind.ROLLOUT_PROMOTE}
