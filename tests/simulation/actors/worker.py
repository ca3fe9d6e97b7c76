"""A worker of a region: the production shell, with its real decider, wired to a simulated loop, threads and lines."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from modelcast.agents.region.agent import RegionAgent
from modelcast.agents.region.decider.events_and_effects import Effect, Event
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.intake import Heard, UpdateIntake
from modelcast.agents.region.ownership.liveness import Liveness
from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.agents.region.reporting.heartbeats import HeartbeatSender
from modelcast.agents.region.reporting.progress import ReportRate
from modelcast.agents.region.reporting.snapshot_reporter import SnapshotReporter
from modelcast.agents.region.roster import FleetRoster
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.traffic.decider.knowledge import RegionTraffic, TrafficEffect, TrafficEvent, TrafficPace
from modelcast.agents.region.traffic.ports import TrafficPorts
from modelcast.agents.region.traffic.tables import OriginTables
from modelcast.consumers.discovery.decider.merging import FleetView
from modelcast.consumers.discovery.watching import FleetWatch
from modelcast.infra.kafka.outbox import Delivered
from modelcast.infra.settings import RegionSettings
from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import ModelAck
from modelcast.schemas.topics import RECORD_SIZE_MAX, Topic, partition_of
from tests.simulation.actors.fleet import PodsInSight
from tests.simulation.actors.line import BucketLine, OriginLine
from tests.simulation.actors.origin import reader_for
from tests.simulation.actors.pod_client import PodClient
from tests.simulation.actors.process import Process
from tests.simulation.comings_and_goings import DRAIN_SECONDS, check_drained, check_report
from tests.simulation.time.threads import SimulatedThreads

if TYPE_CHECKING:
    from tests.simulation.actors.pod import Pod
    from tests.simulation.actors.region import Region

LOAD_TIMEOUT = 30.0
REPORT_SECONDS = 45.0
SETTINGS = RegionSettings(reconcile_seconds=30.0)


class Worker(Process):
    """One process of the region's agent."""

    def __init__(self, region: Region, name: str) -> None:
        super().__init__(region, name, hurt=region)
        self.region = region
        self.assignment = 0  # the number of the last assignment that it heard of
        self.is_assigned = False
        self.drains = False
        self.loads_under_way = 0
        self._is_told_to_stop = False

    # --- living and dying ---------------------------------------------------------------------------------

    def begun(self) -> None:
        """See ``Process``."""
        region, world, rng = self.region, self.world, random.Random(self.world.rng.random())
        bucket, outbox = BucketLine(self), Outbox(self)
        liveness = Liveness(SETTINGS.heartbeat_seconds, clock=lambda: world.now)
        watch = RegistryWatch(OriginLine(self), bucket, reader_for(self))
        reporter = self._reporter = Reporter(self, outbox, rng)
        self.roster, fleet_watch = self._pods_found(rng)
        self.agent = RegionAgent(
            region.name,
            SETTINGS,
            owner=self.identity,
            ports=RegionPorts(
                region=region.name,
                pods=self.roster.pods,
                roster=self.roster,
                artifacts=region,
                reporter=reporter,
                stores=SimulatedThreads(self),
                fetches=SimulatedThreads(self, piecemeal=1.0, seconds_max=0.01),
                load_seconds_max=LOAD_TIMEOUT,
                report_rate=ReportRate(lambda: world.now),
                observer=Observer(self),
                candidate_observer=CandidateObserver(self),
                traffic=self._traffic_ports(outbox),
            ),
            region_store=bucket,
            watch=watch,
            reporter=reporter,
            policy=world.policy if region.proves else replace(world.policy, proof_seconds=float("inf")),
            liveness=liveness,
            rng=rng,
        )
        self._intake = UpdateIntake(self.agent, watch, schema_threads=SimulatedThreads(self))
        self._heartbeats = HeartbeatSender(
            outbox,
            region.name,
            self.name.removeprefix(f"{region.name}/"),
            self.agent,
            SETTINGS.heartbeat_seconds,
            disk=region,
            threads=SimulatedThreads(self),
            wall_clock_us=lambda: world.now_us,
        )
        self.loop.create_task(self.agent.watch())
        self.loop.create_task(self._heartbeats.run())
        if region.fleet.discovered:
            self.loop.create_task(fleet_watch.run())

    def _traffic_ports(self, outbox: Outbox) -> TrafficPorts:
        return TrafficPorts(
            OriginTables(OriginLine(self)),
            outbox,
            self.name,
            pace=TrafficPace(poll=2.0, early=1.0),
            observer=TrafficObserved(self),
            wall_clock_us=lambda: self.world.now_us,
        )

    def controller_said(self) -> None:
        """A word of the controller of rollouts, on Kafka."""
        reconciler = self.agent.reconciler(self.world.model) if self._reads else None
        if reconciler is not None:
            reconciler.controller_heard()

    def _pods_found(self, rng: random.Random) -> tuple[FleetRoster, FleetWatch]:
        """As ``RegionFleets`` has it: one fleet, that settings name or that is followed."""
        fleet, view = self.region.fleet, FleetView()
        if not fleet.discovered:
            view = FleetView({address.name: address for address in fleet.addresses()}, seen_at=self.world.now)
        roster = FleetRoster(
            ["pods"],
            [view],
            lambda member: PodClient(self, fleet.pod_at(member.endpoint.url)),
            lambda known: self.agent.pods_changed(known),
        )
        self.pods_in_sight = PodsInSight(self)
        return roster, FleetWatch("pods", self.pods_in_sight, lambda seen, _: roster.looked(0, seen), rng=rng)

    def pod_called(self, name: str) -> Pod | None:
        """Whom it reaches by this name now."""
        client = self.roster.pods.get(name)
        return client.pod if isinstance(client, PodClient) else None

    def stop(self) -> None:
        """SIGTERM: what ``runner`` does then."""
        if self.up and not self._is_told_to_stop:
            self._is_told_to_stop = True
            self.world.trace(self.name, "TOLD TO STOP")
            self.later(0.0, lambda: self.loop.create_task(self._drain_then_leave()))

    async def _drain_then_leave(self) -> None:
        self.drains, began = True, self.world.now
        await self.agent.drain(DRAIN_SECONDS)
        check_drained(self.world, self, began)
        self._reporter.flush()
        self._heartbeats.beat(draining=True)
        self._intake.close()
        await self.agent.close()
        self.leave()

    def ended(self) -> None:
        """See ``Process``."""
        self.is_assigned, self.assignment = False, 0
        self.drains = self._is_told_to_stop = False

    def reconnected(self) -> None:
        """See ``Process``."""

    # --- owning -------------------------------------------------------------------------------------------

    @property
    def replica(self) -> Replica | None:
        """What it knows of the model, if it owns it as far as it knows."""
        reconciler = self.agent.reconciler(self.world.model) if self.up else None
        return reconciler.replica if reconciler else None

    @property
    def epoch(self) -> int:
        """Under which it owns the model; 0: it does not."""
        return self.replica.facts.saved.epoch if self.replica else 0

    def assigned(self, number: int) -> None:
        """The group gives us the model."""
        if number <= self.assignment:
            return
        self.assignment, self.is_assigned = number, True
        self.world.trace(self.name, f"assigned ({number})")
        self.agent.assigned([partition_of(self.world.model)])
        self.world.kafka.redeliver(self)

    def revoked(self, number: int) -> None:
        """Assignment ``number`` is somebody else's: a rebalance begins, and leaves us nothing."""
        if number <= self.assignment:
            return
        self.assignment = number
        self.world.trace(self.name, f"revoked ({number})")
        self.agent.revoked()
        self.later(self.world.rng.uniform(0.0, 0.5), lambda: self._left_with_nothing(number))

    def _left_with_nothing(self, number: int) -> None:
        if self.assignment == number:
            self.is_assigned = False
            self.agent.assigned([])

    def take_unasked(self) -> None:
        """Claim an epoch in the very moment, and do nothing with it: a process that dies right after."""
        self.world.trace(self.name, "another claims in between, and forgets")
        state = OwnedState(BucketLine(self), self.world.model, self.region.name, f"{self.identity} for a moment")
        state.claim(self.world.registry_id)

    # --- the topic ----------------------------------------------------------------------------------------

    def hears_of(self, generation: int) -> bool:
        """An announcement; False: it is not read here now."""
        model = self.world.model
        found = self.world.origin.get(keys.log_entry(model, generation), size_max=RECORD_SIZE_MAX)
        if found is None:  # the log was restored from an older copy: the announcement is no longer borne out
            return self._reads
        return self.takes(Heard(found.body, model.encode(), partition_of(model), generation))

    def takes(self, heard: Heard) -> bool:
        """A record; False: it is not read here now."""
        if not self._reads:
            return False
        self.loop.run(lambda: self._intake.take(heard))
        return True

    @property
    def _reads(self) -> bool:
        return self.up and not self.paused and not self.cut_off and self.is_assigned


class Outbox:
    """Kafka as one worker writes to it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def send(
        self,
        topic: Topic,
        key: str,
        value: bytes,
        on_delivery: Delivered = lambda done: None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """See ``infra.kafka.outbox.Outbox``."""
        worker, kafka = self._worker, self._worker.world.kafka
        if topic is Topic.MODEL_ACKS:
            check_report(worker.world, worker, decode_as(ModelAck, value))

        if topic is Topic.TRAFFIC_COUNTS:  # nobody reads it here: the controller of this world knows more
            worker.writes(lambda: worker.hears(0.01, lambda: on_delivery(True)))
            return

        def arrives() -> None:
            if topic is Topic.MODEL_ACKS:
                kafka.say_ack(worker.region, decode_as(ModelAck, value), value, headers or {})
            else:
                assert topic is Topic.REGION_HEARTBEATS
                kafka.say_beat(worker.region, key, value)
            worker.hears(0.01, lambda: on_delivery(True))

        worker.writes(arrives)


class Reporter(SnapshotReporter):
    """The real one; it knows first that a model is not ours any more."""

    def __init__(self, worker: Worker, outbox: Outbox, rng: random.Random) -> None:
        world = worker.world
        super().__init__(outbox, worker.identity, REPORT_SECONDS, rng=rng, wall_clock_us=lambda: int(world.now * 1e6))
        self._process = worker

    def forget(self, model: str) -> None:
        """See ``SnapshotReporter``."""
        if model == self._process.world.model:
            self._process.world.checks.let_go(self._process)
        super().forget(model)


class Observer:
    """A ``StepObserver`` that checks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """See ``StepObserver``."""
        world = self._worker.world
        for effect in effects:
            world.stats[f"effect: {type(effect).__name__}"] += 1
        world.checks.stepped(self._worker, before, event, after, effects)


class CandidateObserver:
    """A ``StepObserver`` of candidates that checks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def stepped(self, before: Replica, event: Event, after: Replica, effects: tuple[Effect, ...]) -> None:
        """See ``StepObserver``."""
        self._worker.world.checks.rollouts.stepped(self._worker, before, event, after, effects)


class TrafficObserved:
    """A ``TrafficObserver`` that checks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def divided(
        self, before: RegionTraffic, event: TrafficEvent, after: RegionTraffic, effects: tuple[TrafficEffect, ...]
    ) -> None:
        """See ``TrafficObserver``."""
        self._worker.world.checks.rollouts.divided(self._worker, before, event, after, effects)
