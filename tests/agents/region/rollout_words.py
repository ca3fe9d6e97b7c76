"""Short ways to say what the tests of rollouts in a region are about."""

from dataclasses import replace

from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.consumers.pod_clients.port import CANDIDATE, PodReading
from modelcast.schemas.records import Activation, CommandKind, CommandTarget, LogPosition, ModelCommand
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.traffic.steps_and_gates import CANARY, RolloutPlan, encode_plan
from tests.agents.region.words import EAGER, MODEL, REGION, REGISTRY, Log, Region, digest

CONTROL_1 = {"a": digest(1), "b": digest(1)}
"""What both pods serve beside the candidate."""


class RolloutLog(Log):
    """A log in which version 1 serves, and version 2 is rolled out."""

    def __init__(self) -> None:
        super().__init__()
        self.publish(1).publish(2, activation=Activation.STAGED)
        self.id = ""

    def _told(self, kind: CommandKind, *targets: CommandTarget, plan: str = "") -> "RolloutLog":
        generation = len(self.entries) + 1
        self.entries.append(
            ModelCommand(
                REGISTRY, f"event-{generation}", MODEL, generation, kind, targets or (CommandTarget(),),
                generation * 1_000_000, "somebody", rollout=self.id, plan=plan,
            )
        )  # fmt: skip
        return self

    def start(self, version: int = 2, plan: RolloutPlan = CANARY) -> "RolloutLog":
        self.id = str(len(self.entries) + 1)
        return self._told(CommandKind.ROLLOUT_START, CommandTarget(version=version), plan=encode_plan(plan))

    def grants(self, share: int) -> "RolloutLog":
        return self._told(CommandKind.ROLLOUT_STEP, CommandTarget(share=share))

    def hold(self) -> "RolloutLog":
        return self._told(CommandKind.ROLLOUT_HOLD)

    def resume(self) -> "RolloutLog":
        return self._told(CommandKind.ROLLOUT_RESUME)

    def promote(self, version: int = 2) -> "RolloutLog":
        return self._told(CommandKind.ROLLOUT_PROMOTE, CommandTarget(version=version))

    def abort(self) -> "RolloutLog":
        return self._told(CommandKind.ROLLOUT_ABORT)

    def accept(self, *given_up: LogPosition) -> "RolloutLog":
        entry = self._told(CommandKind.ACCEPT).entries.pop()
        assert isinstance(entry, ModelCommand)
        self.entries.append(replace(entry, rollout="", replaces=given_up))
        return self


def beside(*pods: str, memory: Memory | None = None, policy: Policy | None = None) -> Region:
    """A region's replica of a candidate, on pods that hold none yet and whose readings are to come."""
    region = Region(*pods, policy=policy or EAGER)
    whole = memory or Memory(REGISTRY, MODEL, REGION).claimed_by("worker")
    region.replica = Replica.owning(whole.of_candidate(), policy or EAGER, lane=CANDIDATE)
    return region


def bare(pod: str) -> PodReading:
    """A pod whose candidate lane holds nothing."""
    return PodReading(pod, True, "i", None, None, None, None, lanes=True)
