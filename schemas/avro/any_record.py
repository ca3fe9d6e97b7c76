"""Any record that has a schema: what the codec reads and writes."""

from modelcast.schemas.probes import Probe, ProbeAnswer, ProbeState
from modelcast.schemas.records import (
    DeadLetter,
    ModelAck,
    ModelCommand,
    ModelUpdate,
    RegionHeartbeat,
    Statement,
    VersionChange,
    VersionState,
)
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts, RolloutState, TrafficReading
from modelcast.schemas.trust.envelope import Signed
from modelcast.schemas.unchanged import StatesUnchanged

Record = (
    ModelUpdate
    | ModelCommand
    | ModelAck
    | RegionHeartbeat
    | VersionState
    | StatesUnchanged
    | VersionChange
    | DeadLetter
    | Statement
    | Signed
    | Probe
    | ProbeAnswer
    | ProbeState
    | PodCounts
    | TrafficReading
    | RolloutState
    | ObservedOutcome
)
