"""Short ways to say what the decider's tests are about."""

from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import (
    CancelFetch,
    CheckOwner,
    Effect,
    Event,
    Fetch,
    Fetched,
    Folded,
    Load,
    Loaded,
    PodRead,
    PodsKnown,
    Read,
    Save,
    Saved,
    Transfer,
)
from modelcast.agents.region.decider.knowledge import NEVER
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.step import step
from modelcast.consumers.pod_clients.port import LoadOrder, PodReading
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import (
    Activation,
    ArtifactRef,
    CommandKind,
    CommandTarget,
    Entry,
    ModelCommand,
    ModelUpdate,
)
from modelcast.schemas.region_memory import Memory
from tests.support.records.folding import apply_all, stated

REGISTRY, MODEL, REGION = "registry-1", "fraud", "eu"


def digest(version: int) -> str:
    """The manifest digest of a version."""
    return sha256_of(f"version {version}".encode())


class Log:
    """A model's log that grows by one word a line."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    @property
    def fold(self) -> ModelLog:
        return apply_all(ModelLog(MODEL, REGISTRY), self.entries)

    @property
    def folded(self) -> Folded:
        return Folded(self.fold)

    @property
    def refolded(self) -> Folded:
        return Folded(self.fold, whole=True)

    def stated(self, generation: int) -> StatedEntry:
        """An entry as it lies in the store."""
        below = apply_all(ModelLog(MODEL, REGISTRY), self.entries[: generation - 1])
        return stated(below, self.entries[generation - 1])

    def publish(
        self, version: int, *, activation: Activation = Activation.IMMEDIATE, placement: tuple[str, ...] = ()
    ) -> "Log":
        generation = len(self.entries) + 1
        artifact = ArtifactRef("origin", f"manifests/{version}", digest(version), 1000 + version, 1, "onnx")
        self.entries.append(
            ModelUpdate(REGISTRY, f"event-{generation}", MODEL, version, generation, artifact, 1, placement, activation)
        )
        return self

    def say(self, kind: CommandKind, version: int | None = None, region: str = "") -> "Log":
        generation = len(self.entries) + 1
        target = CommandTarget(region, version)
        self.entries.append(
            ModelCommand(REGISTRY, f"event-{generation}", MODEL, generation, kind, (target,), 1, "somebody")
        )
        return self


def reading(
    pod: str,
    version: int | None = None,
    *,
    generation: int | None = None,
    epoch: int | None = 1,
    ready: bool = True,
    incarnation: str = "i",
) -> PodReading:
    """What a pod of ours says of itself."""
    if version is None:
        return PodReading(pod, ready, incarnation, None, None, None, None)
    return PodReading(pod, ready, incarnation, version, digest(version), generation or version, epoch, REGISTRY)


EAGER = Policy(proof_seconds=float("inf"), save_with_fetch_seconds=0.0)
"""Ownership is no matter, and every change is saved at once."""


class Region:
    """A replica with its clock: feeds events and remembers what it was told to do."""

    def __init__(
        self, *pods: str, memory: Memory | None = None, policy: Policy | None = None, owned_at: float = NEVER
    ) -> None:
        memory = memory or Memory(REGISTRY, MODEL, REGION).claimed_by("worker")
        self.replica = Replica.owning(memory, policy or EAGER, owned_at=owned_at)
        self.now = 100.0
        self.effects: tuple[Effect, ...] = ()
        self.unsaved: Save | None = None
        self.pods = pods
        if pods:
            self.on(PodsKnown(pods))

    def on(self, event: Event) -> tuple[Effect, ...]:
        self.replica, self.effects = step(self.replica, event, self.now)
        self.unsaved = next((e for e in self.effects if isinstance(e, Save)), self.unsaved)
        return self.effects

    def after(self, seconds: float) -> "Region":
        self.now += seconds
        return self

    def all_read(self, version: int | None = None, **options: object) -> None:
        for pod in self.pods:
            self.on(PodRead(reading(pod, version, **options)))  # type: ignore[arg-type]

    def all_of(self, kind: type[Effect]) -> list[Effect]:
        return [e for e in self.effects if isinstance(e, kind)]

    @property
    def fetches(self) -> list[int]:
        return [e.update.version for e in self.effects if isinstance(e, Fetch)]

    @property
    def loads(self) -> list[tuple[str, int]]:
        return [(e.pod, e.order.version) for e in self.effects if isinstance(e, Load)]

    @property
    def reads(self) -> list[str]:
        return [e.pod for e in self.effects if isinstance(e, Read)]

    @property
    def cancels(self) -> list[str]:
        return [e.manifest_digest for e in self.effects if isinstance(e, CancelFetch)]

    @property
    def checks(self) -> list[CheckOwner]:
        return [e for e in self.effects if isinstance(e, CheckOwner)]

    def order(self) -> LoadOrder:
        return next(e.order for e in self.effects if isinstance(e, Load))

    def save_all(self) -> None:
        """Every save that was asked for, and those that follow, succeed."""
        while self.unsaved is not None:
            kept, memory, self.unsaved = self.effects, self.unsaved.memory, None
            self.on(Saved(memory))
            self.effects = (*kept, *self.effects)

    def fetched(self, version: int) -> None:
        self.on(Fetched(digest(version), Transfer(10, 0, 10)))
        self.save_all()

    def serve_all(self) -> None:
        """Pods obey and are read back, one after the other, for as long as there are orders."""
        while True:
            loads = [e for e in self.effects if isinstance(e, Load)]
            if not loads:
                return
            for load in loads:
                self.on(Loaded(load.pod, load.order))
                self.on(PodRead(reading(load.pod, load.order.version, generation=load.order.generation,
                                        epoch=load.order.epoch)))  # fmt: skip
            self.save_all()

    def settle(self, log: Log) -> None:
        """Fold the log and let everything it asks for succeed."""
        self.on(log.folded)
        self.save_all()
        version = self.replica.target.version if self.replica.target else 0
        if self.replica.facts.aspiration and digest(version) in self.replica.pending.fetching:
            self.fetched(version)
        self.serve_all()


def serving(*pods: str, log: Log | None = None) -> Region:
    """A region in which all pods serve version 1."""
    region = Region(*pods)
    region.all_read(None)
    region.settle(log or Log().publish(1))
    return region


def memory_of(version: int, generation: int, **changes: object) -> Memory:
    """What a region remembers that served a version, and accepted a log that published one each generation."""
    from modelcast.schemas.region_memory import Held

    held = Held(generation, version, digest(version), f"manifests/{version}", 1000 + version)
    log = Log()
    for each in range(1, generation + 1):
        log.publish(each)
    memory = Memory(REGISTRY, MODEL, REGION, 1, "before", generation, log.fold.digest_at(generation), held, held)
    return replace(memory, **changes)  # type: ignore[arg-type]
