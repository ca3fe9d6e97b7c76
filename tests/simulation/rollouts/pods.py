"""Simulated pods and regions of a rollout: they choose, count, read back and cut, and lose what real ones lose."""

from dataclasses import dataclass, field, replace

import numpy as np

from modelcast.agents.rollout.decider.gathering import Gathered, add_report, nothing_gathered
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.verdict import verdict
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.traffic import table as tables
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading, VersionCounts
from modelcast.schemas.traffic.table import TrafficTable

RELOAD_SECONDS = (3, 3, 3, 20)


@dataclass
class SimulatedPod:
    """One pod. ``counts``: of this incarnation; ``lost``: what died with those before."""

    name: str
    region: str
    rng: np.random.Generator
    incarnation: int = 1
    started_at: int = 0
    sequence: int = 0
    loaded: set[int] = field(default_factory=lambda: {7})
    loading: dict[int, int] = field(default_factory=dict)
    table: TrafficTable | None = None
    counts: dict[int, list[int]] = field(default_factory=dict)
    generations_in_force: set[int] = field(default_factory=set)
    constant: set[int] = field(default_factory=set)  # versions that answer everything alike

    def crash(self, now: int) -> None:
        """A new process: nothing is loaded but the control, and no table is known."""
        self.incarnation, self.started_at, self.sequence = self.incarnation + 1, now, 0
        self.loaded, self.loading, self.table, self.counts = {7}, {}, None, {}

    def order(self, version: int, now: int) -> None:
        """Load a version beside what is loaded."""
        if version not in self.loaded and version not in self.loading:
            self.loading[version] = now + int(self.rng.choice(RELOAD_SECONDS))

    def take(self, table: TrafficTable) -> None:
        """Put a table in force, or the same one with what the region lets of it now; an older one is refused."""
        if self.table is None or table.authority >= self.table.authority:
            self.table = table
            self.generations_in_force.add(table.generation)

    def share(self) -> int:
        """Of the candidate, in force now."""
        arms = self.table.candidates if self.table is not None else ()
        return sum(arm.share for arm in arms if arm.version in self.loaded)

    def serve(self, now: int, requests: int, error_rates: dict[int, float]) -> dict[int, tuple[int, int]]:
        """A second of traffic: (requests, errors) by version."""
        for version, ready_at in list(self.loading.items()):
            if ready_at <= now:
                del self.loading[version]
                self.loaded.add(version)
        total = int(self.rng.poisson(requests))
        found, left = {}, total
        for arm in self.table.candidates if self.table is not None else ():
            if arm.version in self.loaded and arm.share:
                mine = int(self.rng.binomial(total, arm.share / 10_000))
                found[arm.version], left = mine, left - mine
        found[self.table.control.version if self.table is not None else 7] = left
        served = {v: (n, int(self.rng.binomial(n, error_rates[v]))) for v, n in found.items()}
        for version, (answered, errors) in served.items():
            mine_ = self.counts.setdefault(version, [0, 0])
            mine_[0] += answered
            mine_[1] += errors
        return served

    def report(self, now: int, digests: dict[int, str]) -> PodCounts:
        """What it has counted."""
        self.sequence += 1
        authority = self.table.authority if self.table is not None else (0, 0, 0)
        versions = tuple(
            VersionCounts(
                version,
                digests[version],
                version in self.loaded,
                requests,
                errors,
                looked=requests,
                repeated=requests if version in self.constant else requests // 20,
            )
            for version, (requests, errors) in sorted(self.counts.items())
        )
        return PodCounts("registry", "fraud", self.region, self.name, str(self.incarnation), self.started_at,
                         self.sequence, now * 1_000_000, *authority, versions)  # fmt: skip


@dataclass
class SimulatedRegion:
    """One region: obeys the log and the newest table that it knows, and guards its own pods."""

    name: str
    pods: list[SimulatedPod]
    log: ModelLog
    table: TrafficTable | None = None
    sequence: int = 0
    cut_rollout: str = ""
    cut: str = ""
    cuts_at: int | None = None
    guard: Gathered | None = None
    guarded: str = ""
    known: dict[tuple[str, str], PodCounts] = field(default_factory=dict)

    def learn(self, log: ModelLog, table: TrafficTable | None) -> None:
        """Hear of a log and a table; older ones change nothing."""
        if log.head > self.log.head:
            self.log = log
        if table is not None and (self.table is None or table.authority > self.table.authority):
            self.table = table

    def act(self, now: int, heard: list[SimulatedPod]) -> None:
        """Order what the grant says, and give the clamped table to the pods that can be reached."""
        grant = self.log.grant(self.name)
        rollout = self.log.rollout
        if rollout is not None and rollout.id != self.cut_rollout:
            self.cut, self.cut_rollout = "", ""
        for pod in heard:
            if grant is not None and grant.keeps_candidate:
                pod.order(grant.candidate.version, now)
            if self.log.aspired_version(self.name) == 8:
                pod.order(8, now)
        if self.table is None:
            return
        clamped = tables.clamp(self.table, grant)
        if self.cut and self.table.rollout == self.cut_rollout:
            clamped = replace(
                clamped,
                candidates=tuple(replace(arm, share=0) for arm in clamped.candidates),
                control=replace(clamped.control, share=10_000),
            )
        for pod in heard:
            pod.take(clamped)

    def watch(self, now: int, report: PodCounts) -> None:
        """The guard: what the region's own pods count."""
        rollout = self.log.rollout
        if rollout is None or not rollout.active:
            return
        if self.guarded != rollout.id:
            digest = self.log.updates[rollout.candidate].artifact.manifest_digest
            self.guard, self.guarded = nothing_gathered(rollout.plan.gates, digest), rollout.id
        assert self.guard is not None
        key = (report.region, report.pod)
        self.guard = add_report(self.guard, self.known.get(key), report, None)
        self.known[key] = report
        if self.cut:
            return
        if self.cuts_at is not None and now >= self.cuts_at:
            self.cut, self.cut_rollout = "by hand", rollout.id
            return
        found = verdict(self.guard.evidence, rollout.plan.gates, predictions=self.guard.predictions)
        if found.kind is Kind.HARMFUL:
            self.cut, self.cut_rollout = found.measure or "", rollout.id

    def reading(self, now: int) -> TrafficReading:
        """What it read back."""
        self.sequence += 1
        rollout = self.log.rollout
        candidate = rollout.candidate if rollout is not None else 8
        authority = self.table.authority if self.table is not None else (0, 0, 0)
        in_force = [pod for pod in self.pods if pod.table is not None and pod.table.authority >= authority]
        return TrafficReading(
            registry_id="registry", model="fraud", region=self.name, worker="a", epoch=1, sequence=self.sequence,
            rollout=rollout.id if rollout is not None else "", generation=rollout.generation if rollout else 0,
            reported_at_us=now * 1_000_000, pods_expected=len(self.pods),
            control_ready=sum(7 in pod.loaded for pod in self.pods),
            candidate_ready=sum(candidate in pod.loaded for pod in self.pods),
            pods_in_force=len(in_force) if self.table is not None else 0,
            table_generation=authority[0], table_epoch=authority[1], table_sequence=authority[2],
            share=max((pod.share() for pod in self.pods), default=0),
            cut=self.cut, cut_rollout=self.cut_rollout,
        )  # fmt: skip
