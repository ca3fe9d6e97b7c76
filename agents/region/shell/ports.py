"""What a reconciler needs from outside, as small Protocols: it is tested without servers."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from modelcast.agents.region.decider.events_and_effects import PodsKnown, Transfer
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.reporting.progress import ReportRate
from modelcast.agents.region.reporting.step_observer import StepObserver
from modelcast.agents.region.shell.candidate_notices import LoggedCandidate
from modelcast.agents.region.shell.notices import LoggedSteps
from modelcast.agents.region.shell.pod_turns import PodTurns
from modelcast.agents.region.traffic.ports import TrafficPorts
from modelcast.consumers.fetch import LEASE_FROM_BYTES, FetchStatus
from modelcast.consumers.pod_clients.port import Pod
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.region_memory import Memory


class StateObject(Protocol):
    """One model's state object in the region's bucket (``OwnedState``). Blocking."""

    def claim(self, registry_id: str) -> Memory:
        """Take the next owner epoch."""
        ...

    def save(self, memory: Memory) -> Memory:
        """Write; raises ``Superseded`` or ``StoreUnavailable``."""
        ...

    def check(self, epoch_seen: int = 0) -> Memory:
        """Prove that this worker owns it; raises like ``save``."""
        ...


class Artifacts(Protocol):
    """This worker's disk. Blocking, thread-safe."""

    def fetch(
        self, update: ModelUpdate, cancel: threading.Event, on_status: Callable[[FetchStatus], None], /
    ) -> Transfer:
        """Bring an artifact here, verified against its manifest digest; what that cost.

        ``on_status`` is told from the fetch's threads how far it has come.

        Raises:
            FetchCancelled: ``cancel`` was set.
            VerificationFailed: other bytes arrived.
            ModelcastError: it can't be had now.
        """
        ...


class LogReader(Protocol):
    """One model's log, as far as it was read (``RegistryLogReader``). Blocking, thread-safe."""

    @property
    def log(self) -> ModelLog | None:
        """The fold; None: nothing was read yet."""
        ...

    @property
    def unread(self) -> str:
        """Why the log can't be read on; "": it can."""
        ...

    def read(self, until: int) -> ModelLog:
        """Read on, at least to generation ``until`` if it exists."""
        ...

    def refresh(self) -> ModelLog:
        """Read all that is new, and prove that what was read still stands."""
        ...

    def refold(self) -> ModelLog:
        """Read everything anew, from entry 1."""
        ...

    def holds(self, stated: StatedEntry) -> bool:
        """Whether just these bytes stand in the log, as far as it was read. Does not block."""
        ...

    def contradiction(self, stated: StatedEntry) -> str | None:
        """Why an announced entry is not what stands in the log; None: it is. Does not block."""
        ...


class Reporter(Protocol):
    """Tells the tracker."""

    def changed(self, model: str, replica: Replica) -> None:
        """The region's snapshot of ``model`` has changed."""
        ...

    def unchanged(self, model: str, replica: Replica) -> None:
        """Nothing new is to be sent; what is repeated is to say when pods were last read back."""
        ...


class Roster(Protocol):
    """Which pods the region has, where they come and go."""

    def known(self) -> PodsKnown:
        """The pods now; those of fleets that were not looked at yet are missing."""
        ...


@dataclass(frozen=True, slots=True)
class RegionPorts:
    """Everything that one worker's reconcilers share."""

    region: str
    pods: Mapping[str, Pod]  # those that there are now
    artifacts: Artifacts
    reporter: Reporter
    stores: Executor  # short calls, to the region's own bucket
    fetches: Executor  # long ones
    turns: PodTurns = field(default_factory=PodTurns)
    load_seconds_max: float = 120.0
    report_rate: ReportRate = field(default_factory=ReportRate)  # how often fetches report progress
    observer: StepObserver = field(default_factory=LoggedSteps)
    candidate_observer: StepObserver = field(default_factory=LoggedCandidate)  # of the replicas of candidates
    small_fetches: Executor | None = None  # of what needs no lease; None: as the others
    origin_reads: Executor | None = None  # of logs: a slow origin must not delay reads of the region's own bucket
    roster: Roster | None = None  # None: ``pods`` never change
    traffic: TrafficPorts | None = None  # None: pods' requests are not divided here

    def pods_known(self) -> PodsKnown:
        """The region's pods, as an event."""
        return self.roster.known() if self.roster else PodsKnown(tuple(self.pods))

    @property
    def log_reads(self) -> Executor:
        """Where the registry is read."""
        return self.origin_reads or self.stores

    def fetches_of(self, size_bytes: int) -> Executor:
        """Where an artifact of so many bytes is fetched: those that wait for a lease never keep small ones waiting."""
        return self.small_fetches if self.small_fetches and size_bytes < LEASE_FROM_BYTES else self.fetches
