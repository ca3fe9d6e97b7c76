"""Training jobs and operators: they say things about the model, by the real claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelcast.infra.registry.claim import AlreadyThere, claim
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError, ForeignRegistry, StoreUnavailable
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.records import (
    ALL_REGIONS,
    Activation,
    ArtifactRef,
    CommandKind,
    CommandTarget,
    Entry,
    ModelCommand,
    ModelUpdate,
)
from tests.simulation import artifacts

if TYPE_CHECKING:
    from tests.simulation.world import World

COMMANDS = {
    CommandKind.ACTIVATE: 2.0, CommandKind.ROLLBACK: 1.5, CommandKind.PIN: 1.0, CommandKind.UNPIN: 1.0,
    CommandKind.PAUSE: 0.7, CommandKind.RESUME: 1.0, CommandKind.RELOAD: 1.0, CommandKind.QUARANTINE: 0.8,
    CommandKind.RELEASE: 0.8, CommandKind.ALIAS: 0.2,
}  # fmt: skip
Build = Callable[[ModelLog], Entry]


class Publishers:
    """All who write the log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._events = 0

    def act(self) -> None:
        """Somebody says something."""
        rng = self.world.rng
        if self.world.truth.head == 0 or rng.random() < 0.5:
            self.say(self._publication(), rng.choice([self.world.truth, self._blank]))
        else:
            kind = rng.choices(list(COMMANDS), weights=list(COMMANDS.values()))[0]
            self.say(self._command(kind, rng.choice(list(self.world.truth.updates))))

    @property
    def _blank(self) -> ModelLog:
        return ModelLog(self.world.model, self.world.registry_id)

    def release(self, version: int) -> None:
        """An operator has mended what was wrong with ``version``."""
        self.say(self._command(CommandKind.RELEASE, version))

    def rival(self) -> None:
        """Somebody else publishes in the very moment."""
        build, event_id = self._publication()
        claim(self.world.reader, self.world.truth, event_id, build, deadline_seconds=0)

    def say(self, what: tuple[Build, str], known: ModelLog | None = None) -> None:
        """Claim (again, under the same id, if the store was not clear about it), then announce.

        ``known`` is the log that the claimant has read: others may have gone on since.
        """
        world, (build, event_id) = self.world, what
        log = known or world.truth
        try:
            world.reader.check_standing(log)  # as ``Origin`` does
            claimed = claim(world.reader, log, event_id, build, deadline_seconds=0)
        except ForeignRegistry as error:
            world.trace("publisher", f"{event_id}: {error.message}; runs again and knows nothing")
            world.after(world.rng.uniform(1.0, 15.0), lambda: self.say(what, self._blank))
            return
        except StoreUnavailable:
            world.trace("publisher", f"{event_id}: the store did not say; runs again")
            world.after(world.rng.uniform(1.0, 15.0), lambda: self.say(what, log))
            return
        except ContentError as error:
            world.trace("publisher", f"{event_id}: {error.message}")
            world.stats["refused to claim"] += 1
            return
        generation = claimed.generation if isinstance(claimed, AlreadyThere) else claimed.entry.generation
        if world.fault("publisher crashed before announcing"):
            world.trace("publisher", f"generation {generation} CLAIMED BUT NOT ANNOUNCED")
            return
        world.after(0.01, lambda: world.kafka.announce(generation))

    def _publication(self) -> tuple[Build, str]:
        world, rng = self.world, self.world.rng
        event_id = self._event_id()
        data = f"{'poison' if rng.random() < world.poison else 'weights'} of {event_id}".encode()
        old = sorted(world.origin.artifacts)
        if old and rng.random() < 0.1:  # older bytes under a new version
            data = world.published[rng.choice(old)]
        digest = artifacts.digest_of(data)
        if digest not in world.published:
            world.published[digest] = data
            world.origin.artifacts[digest] = artifacts.make(data)
        artifact = ArtifactRef("origin", keys.manifest(digest), digest, len(data), 1, "simulated")
        names = [region.name for region in world.regions]
        placement = tuple(sorted(rng.sample(names, rng.randint(1, len(names))))) if rng.random() < 0.15 else ()
        activation = Activation.STAGED if rng.random() < 0.2 else Activation.IMMEDIATE
        now_us = int(world.now * 1e6)

        def build(log: ModelLog) -> Entry:
            return ModelUpdate(
                world.registry_id, event_id, world.model, log.next_version, log.head + 1, artifact, now_us,
                placement=placement, activation=activation, publisher="training job",
            )  # fmt: skip

        return build, event_id

    def _command(self, kind: CommandKind, version: int) -> tuple[Build, str]:
        world, rng = self.world, self.world.rng
        event_id = self._event_id()
        names = [region.name for region in world.regions]
        regions = rng.sample(names, rng.randint(1, len(names))) if rng.random() < 0.4 else [ALL_REGIONS]
        needs = version if RULES[kind].takes_version else None
        targets = tuple(CommandTarget(region, needs) for region in regions)
        now_us = int(world.now * 1e6)

        def build(log: ModelLog) -> Entry:
            return ModelCommand(
                world.registry_id, event_id, world.model, log.head + 1, kind, targets, now_us, "operator",
                alias="champion" if kind is CommandKind.ALIAS else "",
            )  # fmt: skip

        return build, event_id

    def _event_id(self) -> str:
        self._events += 1
        return f"event-{self._events}"
