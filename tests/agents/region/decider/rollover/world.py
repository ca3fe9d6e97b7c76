"""A fleet whose pods take their time, fail, die and come back, driven by ``decide`` alone on a clock of its own."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from modelcast.agents.region.decider.knowledge import NEVER
from modelcast.agents.region.decider.rollover.decide import decide
from modelcast.agents.region.decider.rollover.pod_facts import Decision, Need, PodFacts
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy

EVENTS_MAX = 100_000


@dataclass
class PodActor:
    """One pod: what it will do, and what has become of it."""

    name: str
    load_seconds: float
    zone: str = ""
    gapless: bool = True
    bare: bool = False  # serves nothing at first
    fails: int = 0  # so many loads, before one succeeds
    up: bool = True
    done: bool = False
    loading: bool = False
    failures: int = 0
    retry_at: float = NEVER
    ordered_at: float = NEVER
    ended_at: float = NEVER

    def facts(self, now: float) -> PodFacts:
        """What the region knows of it."""
        need = Need.NOTHING if self.done or not self.up else Need.ANYTHING if self.bare else Need.VERSION
        return PodFacts(
            self.name,
            self.zone,
            need,
            loading=self.loading,
            lost=not self.up,
            healthy=self.up and not self.bare,
            startable=now >= self.retry_at,
            gapless=self.gapless,
            failures=self.failures,
            failure="load_failed: no" if self.failures else "",
            ordered_at=self.ordered_at,
            ended_at=self.ended_at,
        )

    @property
    def takes_traffic(self) -> bool:
        """Whether requests to it are answered now."""
        return self.up and not self.bare and (self.gapless or not self.loading)


@dataclass
class RolloverWorld:
    """See the module. ``run`` ends when nothing is to come any more."""

    pods: list[PodActor]
    policy: RolloverPolicy
    hurried: bool = False
    now: float = 0.0
    decision: Decision = field(default_factory=Decision)
    starts: list[float] = field(default_factory=list)  # when each load began
    most_under_way: int = 0
    decisions: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _ids: int = 0
    _known: dict[str, PodFacts] = field(default_factory=dict)

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen."""
        self._ids += 1
        heapq.heappush(self._events, (seconds, self._ids, action))

    def run(self) -> None:
        """Until there is nothing left to happen or to do."""
        for _ in range(EVENTS_MAX):
            self._decide()
            retries = [p.retry_at for p in self.pods if p.up and not p.done and p.retry_at > self.now]
            own = min([*retries, self.decision.ask_again_at]) if not self.decision.stops else float("inf")
            if self._events and self._events[0][0] <= own:
                self.now = self._events[0][0]
                while self._events and self._events[0][0] == self.now:
                    heapq.heappop(self._events)[2]()
            elif own < float("inf"):
                self.now = own
            else:
                return
        raise AssertionError("it never ends")

    def _decide(self) -> None:
        facts = [self._facts(pod) for pod in self.pods]
        self.decision = decide(facts, self.policy, self.now, hurried=self.hurried, began_at=0.0, seed="fraud/1")
        self.decisions += 1
        by_name = {pod.name: pod for pod in self.pods}
        for name in self.decision.orders:
            self._begin(by_name[name])

    def _facts(self, pod: PodActor) -> PodFacts:
        """What is known of a pod; kept while nothing has happened to it."""
        if pod.failures or pod.name not in self._known:
            self._known[pod.name] = pod.facts(self.now)
        return self._known[pod.name]

    def _begin(self, pod: PodActor) -> None:
        self._known.pop(pod.name, None)
        assert pod.up
        assert not pod.loading
        assert not pod.done
        took_traffic = pod.takes_traffic
        pod.loading = True
        if not pod.bare:
            pod.ordered_at = self.now
        self.starts.append(self.now)
        settles = 0.0 if self.hurried else self.policy.min_ready_seconds
        settling = sum(p.done and p.up and not p.bare and self.now < p.ended_at + settles for p in self.pods)
        under_way = sum(p.loading for p in self.pods) + (settling if took_traffic else 0)
        self.most_under_way = max(self.most_under_way, under_way)
        assert under_way <= self.policy.at_once_of(len(self.pods)), "more than may be at once"
        if took_traffic and not pod.takes_traffic:
            healthy = sum(p.takes_traffic for p in self.pods)
            assert healthy >= self.policy.min_healthy.of(len(self.pods)), "fewer take traffic than must"
        self.at(self.now + pod.load_seconds, lambda: self._end(pod))

    def _end(self, pod: PodActor) -> None:
        self._known.pop(pod.name, None)
        if not pod.loading:
            return  # it died meanwhile
        pod.loading = False
        if pod.fails:
            pod.fails -= 1
            pod.ended_at = pod.ended_at if pod.failures else self.now
            pod.failures += 1
            pod.retry_at = self.now + min(60.0, 2.0 ** (pod.failures - 1))
            return
        if pod.ended_at == NEVER or pod.ended_at < pod.ordered_at:
            pod.ended_at = self.now
        pod.done, pod.bare, pod.failures = True, False, 0

    def die(self, pod: PodActor) -> None:
        """The pod is gone for now; what it served is on its disk, or not (``bare``)."""
        self._known.pop(pod.name, None)
        if pod.up and pod.loading:
            pod.ended_at = pod.ended_at if pod.failures else self.now
            pod.failures += 1
            pod.retry_at = self.now + 1.0
        pod.up = pod.loading = False

    def come_back(self, pod: PodActor, *, bare: bool) -> None:
        """It answers again."""
        self._known.pop(pod.name, None)
        if not pod.up:
            pod.up = True
            if bare:
                pod.bare, pod.done = True, False

    def take_over(self) -> None:
        """Another worker goes on: it knows what pods serve, and nothing of what was ordered."""
        self._known.clear()
        for pod in self.pods:
            pod.loading = False  # a higher epoch's order takes the place of what was under way
            pod.failures, pod.retry_at, pod.ordered_at = 0, NEVER, NEVER
            pod.ended_at = self.now if pod.done else NEVER
