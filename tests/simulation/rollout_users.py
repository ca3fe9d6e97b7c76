"""Rollouts in a world: a controller as simple as can be, which starts, steps and ends them at random, and users.

Regions see of it what they see of the real one: entries in the log, the origin's table, hints on Kafka. Its draws are
its own, so that a world without rollouts is the same as ever.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from modelcast.schemas import keys
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget, Entry, ModelCommand
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import CANARY, Blind, RolloutPlan, encode_plan
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable, encode_table
from tests.simulation.actors.pod_lane import chosen

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

ROLLOUTS = "rollouts"
"""Among the faults of a mutant: its worlds have rollouts."""
PART = 0.4
"""Of all worlds have some."""


class Rollouts:
    """The rollouts of one world."""

    def __init__(self, world: World, only: Collection[str]) -> None:
        self.world = world
        self.rng = random.Random(f"rollouts of {world.seed}")
        drawn = self.rng.random() < PART
        self.on = ROLLOUTS in only or (not only and drawn)
        self.table: TrafficTable | None = None
        self._epoch = 1
        self._insists_until = 0.0  # on further steps, whatever was cut

    def begin(self) -> None:
        """Plan what happens."""
        if self.on:
            self.world.after(self.rng.uniform(3.0, 20.0), self._acts)
            self.world.after(1.0, self._puts)
            self.world.after(1.0, self._users_ask)

    # --- the controller -------------------------------------------------------------------------------------

    def _acts(self) -> None:
        world, rng = self.world, self.rng
        if world.now >= world.stop_at:
            return
        rollout = world.truth.rollout
        if rollout is None or not rollout.active:
            self._starts()
        else:
            insists = world.now < self._insists_until
            kind = CommandKind.ROLLOUT_STEP if insists else rng.choices(
                (CommandKind.ROLLOUT_STEP, CommandKind.ROLLOUT_HOLD, CommandKind.ROLLOUT_RESUME,
                 CommandKind.ROLLOUT_PROMOTE, CommandKind.ROLLOUT_ABORT), (12, 1, 2, 2, 2),
            )[0]  # fmt: skip
            self._says(kind, rollout.id, self._targets(kind, rollout.candidate))
        world.after(rng.uniform(2.0, 10.0), self._acts)

    def _starts(self) -> None:
        log = self.world.truth
        served = {log.aspired_version(region.name) for region in self.world.regions}
        others = [version for version in log.updates if version not in served and version not in log.quarantined]
        if others and None not in served:
            self._says(CommandKind.ROLLOUT_START, "", (CommandTarget(version=self.rng.choice(others)),))
        else:
            self.world.publishers.act()

    def _targets(self, kind: CommandKind, candidate: int) -> tuple[CommandTarget, ...]:
        if kind is CommandKind.ROLLOUT_PROMOTE:
            return (CommandTarget(version=candidate),)
        if kind is not CommandKind.ROLLOUT_STEP:
            return (CommandTarget(),)
        names = [region.name for region in self.world.regions]
        regions = self.rng.sample(names, self.rng.randint(1, len(names))) if self.rng.random() < 0.6 else [ALL_REGIONS]
        return tuple(CommandTarget(region, share=self.rng.choice((100, 1_000, 5_000, SHARES))) for region in regions)

    def _plan(self) -> RolloutPlan:
        rng = self.rng
        return replace(CANARY, bake_seconds=rng.choice((5.0, 20.0)), silence_seconds=rng.choice((15.0, 300.0)),
                       blind=rng.choice(tuple(Blind)))  # fmt: skip

    def _says(self, kind: CommandKind, rollout: str, targets: tuple[CommandTarget, ...]) -> None:
        world, event_id = self.world, f"rollout-{self.rng.random()}"
        plan = encode_plan(self._plan()) if kind is CommandKind.ROLLOUT_START else ""
        now_us = world.now_us

        def build(log: ModelLog) -> Entry:
            generation = log.head + 1
            return ModelCommand(
                world.registry_id, event_id, world.model, generation, kind, targets, now_us, "controller",
                rollout=rollout or str(generation), plan=plan,
            )  # fmt: skip

        world.publishers.say((build, event_id))

    def _puts(self) -> None:
        """Put the table that the log wants, if it is another one; say so again from time to time."""
        world = self.world
        silent = 40.0 < world.now % 100.0 < 70.0 and world.now < world.stop_at  # the controller is away
        if not silent:
            wished = self._wished()
            if wished is not None and not self._says_so(wished):
                if self.rng.random() < 0.1:
                    self._epoch += 1
                after = self.table is not None and self.table.epoch == self._epoch
                sequence = self.table.sequence + 1 if after and self.table is not None else 1
                self.table = replace(wished, epoch=self._epoch, sequence=sequence)
                world.trace("controller", f"puts {self.table.authority}: {self.table.share}")
                world.origin.change(keys.traffic_table(world.model), encode_table(self.table))
            self._hints()
        world.after(1.0, self._puts)

    def _says_so(self, wished: TrafficTable) -> bool:
        return self.table is not None and replace(self.table, epoch=1, sequence=1) == wished

    def _hints(self) -> None:
        for region in self.world.regions:
            for worker in region.workers:
                if worker.up and self.rng.random() < 0.7:
                    worker.hears(self.rng.uniform(0.0, 0.5), worker.controller_said)

    def _wished(self) -> TrafficTable | None:
        log, rollout = self.world.truth, self.world.truth.rollout
        grants = [grant for region in self.world.regions if (grant := log.grant(region.name)) is not None]
        if rollout is None or not grants or rollout.phase is RolloutPhase.PROMOTED:
            return None
        first, share = grants[0], max(grant.ceiling for grant in grants)
        candidate, control = first.candidate.artifact.manifest_digest, first.control.artifact.manifest_digest
        return TrafficTable(
            log.model, log.registry_id, rollout.id, rollout.generation, 1, 1, rollout.salt, rollout.plan.key,
            control=TrafficArm(first.control.version, control, SHARES - share),
            candidates=(TrafficArm(first.candidate.version, candidate, share),),
        )  # fmt: skip

    def cut_off(self, worker: Worker) -> None:
        """A worker has cut a candidate off: the controller insists for a while, and some workers die just then."""
        self._insists_until = self.world.now + 45.0
        if "worker crashed" in self.world.faults.strokes and not worker.region.clean and self.rng.random() < 0.7:
            worker.region.touched["worker crashed"] += 1
            self.world.after(self.rng.uniform(0.0, 6.0), lambda: worker.crash("after a cut"))

    # --- users ------------------------------------------------------------------------------------------------

    def _users_ask(self) -> None:
        for pod in self.world.pods:
            control, candidate = pod.control.serving, pod.candidate.serving
            if not pod.up or control is None or pod.plain:
                continue
            for _ in range(self.rng.randint(0, 25)):
                serving = chosen(pod.kept.table, control, candidate, self.rng)
                pod.answered.count(serving, fails=self.fails(serving.order.manifest_digest))
        self.world.after(1.0, self._users_ask)

    @staticmethod
    def fails(digest: str) -> bool:
        """Whether a version of these bytes loads well and answers nothing but errors."""
        return digest[-1] in "01234567"
