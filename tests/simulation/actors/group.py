"""A consumer group of one partition, and its coordinator, who finds out late who is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region
    from tests.simulation.world import World


class Member(Protocol):
    """A process that may be given the partition."""

    name: str
    life: int
    up: bool

    def hears(self, delay: float, action: Callable[[], None]) -> None:
        """Have the broker tell it something."""
        ...

    def assigned(self, number: int) -> None:
        """The partition is its own."""
        ...

    def revoked(self, number: int) -> None:
        """It is not any more."""
        ...


M = TypeVar("M", bound=Member)


class Group(Generic[M]):
    """Whoever is ``assignee`` has the partition; whoever had it hears of that sometime.

    Args:
        world: of all.
        name: for the trace.
        steady: the partition moves only when it must.
        hurt: the region that a late revocation hurts; None: none.
    """

    def __init__(self, world: World, name: str, *, steady: bool = False, hurt: Region | None = None) -> None:
        self.world, self.name = world, name
        self.members: list[M] = []  # those that the coordinator believes in
        self.assignee: M | None = None
        self.number = 0  # of the assignment
        self.assigned_at = {0: 0.0}  # when the coordinator decided each
        self._steady, self._hurt = steady, hurt

    def joined(self, member: M) -> None:
        """A member (re)joins; now and then this moves the partition."""
        if member not in self.members:
            self.members.append(member)
        moves = not self._steady and self.world.rng.random() < 0.4
        if self.assignee is None or self.assignee is member or moves:
            self.assign(member)

    def lost(self, member: M) -> None:
        """A member's session has ended."""
        if member in self.members:
            self.members.remove(member)
        if self.assignee is member:
            self.assign(self.world.rng.choice(self.members) if self.members else None)

    def assign(self, member: M | None) -> None:
        """The partition is ``member``'s."""
        before, self.assignee = self.assignee, member
        self.number += 1
        self.assigned_at[self.number] = self.world.now
        self.world.trace(self.name, f"partition: {before and before.name} -> {member and member.name}")
        if before is not None and before is not member:
            late = self.world.fault("revocation late", self._hurt)
            delay = self.world.rng.uniform(5.0, 40.0) if late else self.world.rng.uniform(0.0, 0.5)
            number = self.number
            before.hears(delay, lambda: before.revoked(number))
        if member is not None:
            number, life = self.number, member.life if member.up else None

            def tell() -> None:
                if member.life == life:  # else it is another process by now, and is assigned something once it joins
                    member.assigned(number)

            member.hears(self.world.rng.uniform(0.0, 1.0), tell)
