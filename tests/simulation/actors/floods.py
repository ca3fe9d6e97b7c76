"""Records of models that nobody ever published: whoever may write to Kafka can make names up by the hundred."""

from __future__ import annotations

from collections import defaultdict, deque
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from modelcast.agents.region.intake import Heard
from modelcast.schemas import keys
from modelcast.schemas.log.chain import origin_digest
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from modelcast.schemas.topics import Topic, partition_of
from tests.simulation.comings_and_goings import check_looks

if TYPE_CHECKING:
    from tests.simulation.actors.process import Process
    from tests.simulation.world import World

NAMES = 40
TIMES = 2
"""How often each name is said."""
SECONDS = 6.0
LOOKS_MAX, LOOKS_SECONDS = 60, 5.0
"""Requests to the origin about such models that one process may make in so many seconds, however many there are."""


class Floods:
    """One world has one at most. ``names``: those that were made up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.names: frozenset[str] = frozenset()
        self._looks: defaultdict[Process, deque[float]] = defaultdict(deque)

    def begin(self) -> None:
        """Announcements and acknowledgements of them all, within ``SECONDS``."""
        world = self.world
        names = list(_made_up(world.model))
        self.names = frozenset(names)
        world.trace("kafka", f"FLOOD of {len(names)} made-up models")
        if world.truth.head == 0:
            names.append(world.model)  # it is told to be unknown, and is published right after
        for name in names * TIMES:
            world.after(world.rng.uniform(0.0, SECONDS), partial(self._put, name))

    def _put(self, name: str) -> None:
        world, body = self.world, _announcement(self.world.registry_id, name)
        for region in world.regions:
            if region.assignee is not None:
                region.assignee.takes(Heard(body, name.encode(), partition_of(name), 0))
        world.kafka.append(Topic.MODEL_UPDATES, body, key=name)
        if name in self.names:
            world.kafka.forge(world.rng.choice(world.regions).name, 1, model=name)

    def looked(self, process: Process, prefix: str) -> None:
        """``process`` asks the origin about the objects below ``prefix``."""
        if not self.names or prefix.removeprefix(keys.REGISTRY_PREFIX).partition("/")[0] not in self.names | {""}:
            return
        times, now = self._looks[process], self.world.now
        times.append(now)
        while times[0] < now - LOOKS_SECONDS:
            times.popleft()
        if len(times) > LOOKS_MAX:
            check_looks(self.world, process, len(times), LOOKS_SECONDS)


@lru_cache
def _made_up(model: str) -> tuple[str, ...]:
    """Names in the partition of ``model``."""
    candidates = (f"made-up-{number}" for number in range(100 * NAMES))
    found = (name for name in candidates if partition_of(name) == partition_of(model))
    return tuple(name for name, _ in zip(found, range(NAMES), strict=False))


@lru_cache(maxsize=4 * NAMES)
def _announcement(registry_id: str, name: str) -> bytes:
    digest = "sha256:" + "6" * 64
    artifact = ArtifactRef("origin", keys.manifest(digest), digest, 1, 1, "made up")
    update = ModelUpdate(registry_id, f"event of {name}", name, 1, 1, artifact, 0)
    return state(update, origin_digest(registry_id, name)).body
