"""Short ways to say what the decider of a rollout's traffic is about."""

from dataclasses import replace

from modelcast.agents.region.traffic.decider.knowledge import (
    CutSaved,
    GiveTable,
    GrantRead,
    Instant,
    LookAtTable,
    OwnerProved,
    PodCounted,
    PodsListed,
    ProveOwner,
    ReadCounts,
    RegionTraffic,
    SaveCut,
    SendReading,
    TableSeen,
    TableTaken,
    TimePassed,
    TrafficEffect,
    TrafficEvent,
)
from modelcast.agents.region.traffic.decider.step_traffic import REPORT_SECONDS_MIN, step_traffic
from modelcast.consumers.pod_clients.port import PodTraffic
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.traffic.reports import VersionCounts
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable, table_digest
from tests.agents.region.rollout_words import RolloutLog
from tests.agents.region.words import MODEL, REGION, REGISTRY, digest


def table(share: int, *, generation: int = 4, epoch: int = 1, sequence: int = 1, rollout: str = "3") -> TrafficTable:
    """Of the rollout of version 2."""
    return TrafficTable(
        MODEL, REGISTRY, rollout, generation, epoch, sequence, "salt", RequestKey(),
        control=TrafficArm(1, digest(1), SHARES - share), candidates=(TrafficArm(2, digest(2), share),),
    )  # fmt: skip


def pod_traffic(
    pod: str,
    incarnation: str,
    started_at_us: int,
    sequence: int,
    table: TrafficTable | None,
    versions: tuple[VersionCounts, ...],
) -> PodTraffic:
    """What a pod says that divides by ``table``."""
    return PodTraffic(
        pod=pod,
        incarnation=incarnation,
        started_at_us=started_at_us,
        sequence=sequence,
        authority=table.authority if table else (0, 0, 0),
        table_digest=table_digest(table) if table else "",
        rollout=table.rollout if table else "",
        shares={arm.version: arm.share for arm in table.arms} if table else {},
        versions=versions,
        keyless={},
        shadow_dropped={},
    )


class DivisionInMemory:
    """One pod's traffic: takes what is of higher authority, or less by the same one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table: TrafficTable | None = None
        self.sequence = 0
        self.counts = {1: [0, 0], 2: [0, 0]}

    def takes(self, table: TrafficTable) -> str:
        """The code of a refusal; "": it is in force."""
        old = self.table
        if old is not None and table.authority < old.authority:
            return "stale"
        if old is not None and table.authority == old.authority and table.share > old.share:
            return "conflict"
        self.table = table
        return ""

    def counted(self, control: tuple[int, int] = (0, 0), candidate: tuple[int, int] = (0, 0)) -> None:
        """So many (requests, errors) more."""
        for version, (requests, errors) in ((1, control), (2, candidate)):
            self.counts[version][0] += requests
            self.counts[version][1] += errors

    @property
    def reading(self) -> PodTraffic:
        self.sequence += 1
        versions = tuple(
            VersionCounts(version, digest(version), True, requests, errors)
            for version, (requests, errors) in self.counts.items()
        )
        return pod_traffic(self.name, "i", 1, self.sequence, self.table, versions)


class Divided:
    """A region's traffic with its clock and pods: feeds events, and carries effects out if asked."""

    def __init__(self, *pods: str, log: RolloutLog | None = None, proved: bool = True) -> None:
        self.log = log or RolloutLog().start().grants(1_000)
        self.now = Instant(1000.0, 1_000_000_000)
        self.traffic = RegionTraffic(REGISTRY, MODEL, REGION, "worker", 1, heard_at=1000.0,
                                     proved_at=1000.0 if proved else float("-inf"))  # fmt: skip
        self.pods = {name: DivisionInMemory(name) for name in pods}
        self.origin: TrafficTable | None = None
        self.effects: list[TrafficEffect] = []
        self.undone: list[TrafficEffect] = []
        self.on(PodsListed(pods))
        self.folds()

    def on(self, event: TrafficEvent) -> list[TrafficEffect]:
        self.traffic, effects = step_traffic(self.traffic, event, self.now)
        self.effects = list(effects)
        self.undone += effects
        return self.effects

    def folds(self) -> None:
        self.on(GrantRead(self.log.fold.grant(REGION), 1, self.log.fold.head))

    def passes(self, seconds: float) -> None:
        self.now = Instant(self.now.seconds + seconds, self.now.wall_us + int(seconds * 1e6))

    def carry_out(self, effect: TrafficEffect) -> None:
        match effect:
            case LookAtTable():
                self.on(TableSeen(self.origin))
            case ProveOwner():
                self.on(OwnerProved(self.now.seconds))
            case ReadCounts(pod):
                self.on(PodCounted(pod, self.pods[pod].reading))
            case GiveTable(pod, given):
                assert self.pods[pod].takes(given) == ""
                self.on(TableTaken(pod, given))

    def goes_on(self, seconds: float = 0.0) -> list[TrafficEffect]:
        """Time passes, and everything that was asked for is done at once; all that was asked for, in order."""
        self.passes(seconds)
        self.on(TimePassed())
        done = []
        for _ in range(2):
            while self.undone:
                done.append(self.undone.pop(0))
                self.carry_out(done[-1])
            self.passes(2 * REPORT_SECONDS_MIN)
            self.on(TimePassed())
        return done

    def puts(self, given: TrafficTable) -> list[TrafficEffect]:
        self.origin = given
        return self.goes_on(6.0)

    @property
    def shares(self) -> list[int]:
        """In force, by pod."""
        return [pod.table.share if pod.table else 0 for pod in self.pods.values()]

    @property
    def said(self) -> SendReading:
        assert self.traffic.said is not None
        return SendReading(replace(self.traffic.said, reported_at_us=0))


def cuts(effects: list[TrafficEffect]) -> list[SaveCut]:
    return [effect for effect in effects if isinstance(effect, SaveCut)]


def cut_off() -> Divided:
    """A region that has just cut its candidate off."""
    region = Divided("a")
    region.puts(table(1_000))
    region.pods["a"].counted((50, 0), (5, 5))
    [save] = cuts(region.goes_on(1.0))
    region.on(CutSaved(save.cut))
    assert region.shares == [0]
    return region
