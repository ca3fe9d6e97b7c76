"""The log in the store is changed behind everybody's back, and people put that right, one way or the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelcast.producers.acceptance import accept_positions
from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import ContentError, StoreUnavailable
from modelcast.schemas.log.chain import StatedEntry, chain
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import LogPosition, ModelCommand, Statement
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.simulation.convergence import memory_of

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region
    from tests.simulation.world import World

DECIDED_AFTER_PEACE_SECONDS = (110.0, 150.0)
"""In worlds that decide late: long after the last fault, when every alarm must have been told."""
AGAIN_SECONDS = 20.0
HEX_DIGITS = b"0123456789abcdef"


class Rewriting:
    """One world's log is changed at most once. ``tampered``: it was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tampered = False
        self.late = world.rng.random() < 0.5
        self.undecided = False  # somebody has still to put it right
        self._good: dict[int, bytes] = {}  # what stood in the log, by generation
        self._below: dict[str, tuple[str, StatedEntry]] = {}  # running digest -> the one below, and the entry

    # --- what was ever claimed ------------------------------------------------------------------------------

    def claimed(self, stated: StatedEntry) -> None:
        """Remember which history each digest stands for."""
        self._below[chain(stated.log_digest, stated.body)] = stated.log_digest, stated

    def follows(self, new: str, old: str) -> bool:
        """Whether the history up to digest ``new`` goes on from the one up to ``old``, or gave that up by an ACCEPT."""
        while new != old:
            if new not in self._below:
                return False  # nobody ever claimed such a log, or we are at its beginning
            new, stated = self._below[new]
            entry = stated.entry
            if isinstance(entry, ModelCommand) and old in {p.digest for p in entry.replaces}:
                return True
        return True

    # --- faults ---------------------------------------------------------------------------------------------

    def restore_an_older_copy(self) -> bool:
        """The newest entries are gone; whoever publishes next goes on from what is left."""
        world, head = self.world, self.world.truth.head
        if self.tampered or head < 2:
            return False
        self._keep(head)
        left = world.rng.randint(1, head - 1)
        world.trace("log", f"RESTORED to generation {left} of {head}")
        for generation in range(left + 1, head + 1):
            world.origin.delete(keys.log_entry(world.model, generation))
        self._read_truth()
        self._decide_some_time()
        return True

    def flip_a_bit(self) -> bool:
        """One bit of an entry at rest."""
        world, rng, head = self.world, self.world.rng, self.world.truth.head
        if self.tampered or not head:
            return False
        self._keep(head)
        generation = rng.choice([head, rng.randint(1, head)])
        body = bytearray(self._good[generation])
        bit = self._some_bit(self._good[generation])
        body[bit // 8] ^= 1 << bit % 8
        world.trace("log", f"BIT {bit} of entry {generation} FLIPPED")
        world.origin.change(keys.log_entry(world.model, generation), bytes(body))
        world.after(rng.uniform(40.0, 120.0), lambda: self._mend(generation))
        world.deadlines.entry_was_flipped(generation)
        return True

    def _some_bit(self, body: bytes) -> int:
        """Of the whole, of what it says, or of one of the digests in it: each is as likely."""
        rng, statement = self.world.rng, decode_as(Statement, body)
        digest = rng.choice([statement.log_digest, statement.said_digest]).encode()
        part = rng.choice([body, statement.said, digest, digest])
        bits: Sequence[int] = range(8 * len(part))
        if part is digest and rng.random() < 0.5:  # what comes out is a digest, too
            begin = part.index(b":") + 1
            bits = [bit for bit in bits if bit // 8 >= begin and part[bit // 8] ^ 1 << bit % 8 in HEX_DIGITS]
        return 8 * body.index(part) + rng.choice(bits)

    # --- what people do -------------------------------------------------------------------------------------

    def _mend(self, generation: int) -> None:
        self.world.trace("operator", f"puts entry {generation} back")
        self._put_back({generation: self._good[generation]})
        self.undecided = False
        if self.world.operator_mends and self.world.now > self.world.stop_at:
            self.world.after(1.0, self.world.mend)  # what was tried meanwhile could not be written

    def _decide_some_time(self) -> None:
        world, rng = self.world, self.world.rng
        delay = rng.uniform(20.0, 90.0)
        if self.late:
            delay = max(0.0, world.stop_at - world.now) + rng.uniform(*DECIDED_AFTER_PEACE_SECONDS)
        world.after(delay, self._decide)

    def _decide(self) -> None:
        world, self.undecided = self.world, False
        if self.late:
            world.checks.alarms_are_shown({region.name for region, lost in self._unanswered().items() if lost})
        if world.rng.random() < 0.5:
            world.trace("operator", "puts the newer copy of the log back")
            for generation in range(1, world.truth.head + 1):
                world.origin.delete(keys.log_entry(world.model, generation))
            self._put_back(self._good)
            self._read_truth()
            if world.operator_mends:
                world.after(1.0, world.mend)  # the copy that was restored first may have lacked what is held back
            world.after(world.rng.uniform(0.0, 60.0), self.accept)
        else:
            self.accept()

    def accept(self) -> None:
        """A person takes the log as it is, for whoever had read another one."""
        world = self.world
        positions = [position for lost in self._unanswered().values() for position in lost]
        if not positions:
            if any(worker.replica and worker.replica.facts.alarm for r in world.regions for worker in r.workers):
                world.after(AGAIN_SECONDS, self.accept)  # what it knows may not be durable yet
            return
        number = iter(range(10_000))
        try:
            claimed = accept_positions(
                world.reader,
                world.truth,
                positions,
                reason="restored",
                requested_by="operator",
                event_id=lambda: f"accept-{world.now:.3f}-{next(number)}",
                now_us=int(world.now * 1e6),
                deadline_seconds=0,
            )
        except (StoreUnavailable, ContentError) as error:
            world.trace("operator", f"could not accept: {error.message}")
        else:
            world.trace("operator", f"accepts the log as generation {claimed[-1].entry.generation}")
            world.after(0.01, lambda: world.kafka.announce(claimed[-1].entry.generation))
        world.after(AGAIN_SECONDS, self.accept)

    def _unanswered(self) -> dict[Region, list[LogPosition]]:
        """By region: what its state object says that it had read, and the log does not answer."""
        world = self.world
        found = {region: memory_of(world, region) for region in world.regions}
        return {
            region: [p for p in memory.positions if not world.truth.answers(p)] if memory else []
            for region, memory in found.items()
        }

    def _keep(self, head: int) -> None:
        self.tampered = self.undecided = True
        for generation in range(1, head + 1):
            found = self.world.origin.get(keys.log_entry(self.world.model, generation), size_max=RECORD_SIZE_MAX)
            assert found is not None
            self._good[generation] = found.body
        for region in self.world.regions:
            region.touched["log changed"] += 1

    def _put_back(self, bodies: dict[int, bytes]) -> None:
        for generation, body in bodies.items():
            self.world.origin.change(keys.log_entry(self.world.model, generation), body)

    def _read_truth(self) -> None:
        world = self.world
        world.truth = world.reader.tail(world.model, ModelLog(world.model, world.registry_id)).log
        world.checks.rollouts.claimed()  # another copy may grant less
