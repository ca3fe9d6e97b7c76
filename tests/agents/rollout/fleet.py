"""A store in which a rollout was started, and a region of one pod that counts and reads back by what the store says."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, RolloutCommander, rollouts
from modelcast.schemas import keys
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Activation
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading, VersionCounts
from modelcast.schemas.traffic.steps_and_gates import CANARY, PlanStep, RolloutPlan
from modelcast.schemas.traffic.table import TABLE_SIZE_MAX, TrafficTable, decode_table
from tests.producers.fakes import SETTINGS, Heard

PLAN = replace(CANARY, steps=(PlanStep(1_000, 2), PlanStep(5_000, 2, proof=True), PlanStep(10_000, 2)))


def store_with_rollout(folder: Path, patch: pytest.MonkeyPatch, plan: RolloutPlan) -> MemoryStore:
    """Version 1 is served; a rollout of version 2 is started by entry 3."""
    patch.setattr(rollouts, "_heartbeats", lambda settings: [])
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number, activation in ((1, Activation.IMMEDIATE), (2, Activation.STAGED)):
            (folder / "model").write_text(str(number))
            publisher.publish("fraud", folder / "model", activation=activation)
    RolloutCommander(SETTINGS, store=store, announcer=Heard()).start("fraud", 2, plan)
    return store


class ReportingFleet:
    """One region with one pod that does what the store says."""

    def __init__(self, store: MemoryStore, log: ModelLog) -> None:
        self.store, self.sequence = store, 0
        self.digests = {version: log.updates[version].artifact.manifest_digest for version in (1, 2)}
        self.registry_id = log.registry_id
        self.counted = {1: [0, 0], 2: [0, 0]}

    def table(self) -> TrafficTable | None:
        found = self.store.get(keys.traffic_table("fraud"), size_max=TABLE_SIZE_MAX)
        return decode_table(found.body) if found is not None else None

    def second(self, errors: tuple[float, float]) -> tuple[PodCounts, TrafficReading]:
        """A second of traffic, by the table in force."""
        self.sequence += 1
        table = self.table()
        share = table.share if table is not None else 0
        for version, part in ((1, 10_000 - share), (2, share)):
            self.counted[version][0] += 4_000 * part // 10_000
            self.counted[version][1] += round(4_000 * part / 10_000 * errors[version - 1])
        authority = table.authority if table is not None else (0, 0, 0)
        counts = PodCounts(
            self.registry_id, "fraud", "eu", "eu-0", "a", 1, self.sequence, self.sequence * 1_000_000, *authority,
            versions=tuple(
                VersionCounts(
                    version, self.digests[version], True, requests, failed,
                    slow=requests // 50, slow_harmful=requests // 100, slow_harmless=requests // 200,
                )
                for version, (requests, failed) in self.counted.items()
            ),
        )  # fmt: skip
        reading = TrafficReading(
            registry_id=self.registry_id, model="fraud", region="eu", worker="a", epoch=1, sequence=self.sequence,
            rollout="3", generation=3, reported_at_us=1, pods_expected=1, control_ready=1, candidate_ready=1,
            pods_in_force=1, table_generation=authority[0], table_epoch=authority[1], table_sequence=authority[2],
            share=share,
        )  # fmt: skip
        return counts, reading
