"""Assembling pages into snapshots.

A region's rows are the highest complete snapshot and every page of higher ones. Taking pages in any order, any
number of times, ends in the same rows (``PENDING_MAX`` aside): a page at or below the complete snapshot says
nothing new, and completing a snapshot drops all that lies below it.

Each row has a place, (slot, page), under which a table keeps it: a snapshot's pages share a slot, and the slots
of dropped snapshots are used again. A table therefore holds at most ``1 + PENDING_MAX`` slots of pages a region,
whatever was written before; leftovers of a crash are lower snapshots, which ``restore`` ignores.

Whoever can write to Kafka can make up a number that is higher than all true ones. An owner numbers its snapshots as
time passes, so a page that was written later under a lower number of the same epoch shows that the higher number is
made up: what bears it is dropped (``overrules``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelcast.agents.tracker.decider.tally import Group, Tally, merge, tally
from modelcast.schemas.records import ModelAck

PENDING_MAX = 8
"""Incomplete snapshots kept a region. A region numbers its snapshots one after the other, so more than one or two
means that pages are lost; the lowest go."""

FEW = 32
"""Pods that are not worth the time to drop them: a tally keeps as many by name anyway."""

AHEAD_US_MAX = 60_000_000
"""How far ahead of our clock a report's time may be before it counts as made up."""

Order = tuple[int, int, int]
"""(epoch, sequence, pages): what orders snapshots. The page count keeps apart what can't belong together."""

Place = tuple[int, int]
"""(slot, page)."""


@dataclass(frozen=True, slots=True)
class AckPage:
    """One page: what the ack says besides its pods, its pods counted, and its bytes."""

    ack: ModelAck  # without pods where they are many
    pods: Tally
    raw: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pages of one snapshot that arrived."""

    order: Order
    slot: int
    pages: Mapping[int, AckPage]

    @property
    def complete(self) -> bool:
        """Whether every page is here."""
        return len(self.pages) == self.order[2]

    @property
    def header(self) -> ModelAck:
        """What the snapshot says besides its pods (of the first page; all say the same)."""
        return self.pages[min(self.pages)].ack

    @property
    def pods(self) -> Tally:
        """All pods, counted."""
        if len(self.pages) == 1:
            return next(iter(self.pages.values())).pods
        return merge(self.pages[n].pods for n in sorted(self.pages))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its rows lie."""
        return tuple((self.slot, n) for n in self.pages)


@dataclass(frozen=True, slots=True)
class RegionRows:
    """What is kept of one model in one region. Every pending snapshot is incomplete and above the complete one."""

    complete: Snapshot | None = None
    pending: tuple[Snapshot, ...] = ()  # by order


@dataclass(frozen=True, slots=True)
class Change:
    """What taking one page did: the rows now, the place to write the page to (None: nothing new), what to delete.

    ``overruled``: the complete snapshot was dropped, because its number is made up.
    """

    rows: RegionRows
    write: Place | None = None
    delete: tuple[Place, ...] = ()
    completed: bool = False
    overruled: bool = False


EMPTY = RegionRows()


def order_of(ack: ModelAck) -> Order:
    """The place of an ack's snapshot among its region's snapshots."""
    return (ack.epoch, ack.sequence, ack.pages)


def page_of(ack: ModelAck, raw: bytes = b"") -> AckPage:
    """An ack with its pods counted."""
    return AckPage(ack if len(ack.pods) <= FEW else replace(ack, pods=()), tally(ack.pods), raw)


def overrules(ack: ModelAck, known: Snapshot, now_us: int) -> bool:
    """Whether a page shows that the number of a known snapshot, of the same epoch and not below its own, is made up.

    It does if it was written later. A time that is ahead of our clock and of the page's alike proves nothing: it is
    made up, too.
    """
    if known.order[0] != ack.epoch or known.order < order_of(ack):
        return False
    known_at_us = known.header.reported_at_us
    return ack.reported_at_us > known_at_us or known_at_us > max(now_us, ack.reported_at_us) + AHEAD_US_MAX


def repeats(new: Snapshot, old: Snapshot | None) -> bool:
    """Whether a snapshot says what the one before it said, at another time."""
    if old is None or new.order[0] != old.order[0] or _untimed(new.header) != _untimed(old.header):
        return False
    return tuple(map(_untimed_group, new.pods)) == tuple(map(_untimed_group, old.pods))


def _untimed(header: ModelAck) -> ModelAck:
    return replace(header, sequence=1, page=0, pages=1, reported_at_us=0, pods=())


def _untimed_group(group: Group) -> tuple[object, ...]:
    pods = tuple(replace(pod, read_at_us=0) for pod in group.samples)
    return group.state, group.version, group.manifest_digest, group.count, group.generation_min, pods


def take(rows: RegionRows, ack: ModelAck, now_us: int, raw: bytes = b"") -> Change:
    """Take one page, of which ``raw`` are the bytes, at ``now_us`` by our clock (UTC microseconds)."""
    complete, pending = rows.complete, rows.pending
    overruled = complete is not None and overrules(ack, complete, now_us)
    dropped = [s for s in pending if overrules(ack, s, now_us)]
    if complete is not None and overruled:
        dropped.append(complete)
    if not dropped:
        return _take(rows, ack, raw)
    left = RegionRows(None if overruled else complete, tuple(s for s in pending if s not in dropped))
    change = _take(left, ack, raw)
    gone = (*(p for s in dropped for p in s.places), *change.delete)
    return replace(change, delete=tuple(p for p in gone if p != change.write), overruled=overruled)


def _take(rows: RegionRows, ack: ModelAck, raw: bytes) -> Change:
    order, complete = order_of(ack), rows.complete
    if complete is not None and order <= complete.order:
        return Change(rows)
    if ack.pages == 1 and not rows.pending:  # the common case: a region of up to a page of pods, nothing missing
        slot = complete.slot if complete is not None else 0
        snapshot = Snapshot(order, slot, {0: page_of(ack, raw)})
        rest = () if complete is None else tuple(p for p in complete.places if p != (slot, 0))
        return Change(RegionRows(snapshot), (slot, 0), rest, completed=True)
    known = next((s for s in rows.pending if s.order == order), None)
    if known is not None and ack.page in known.pages:
        return Change(rows)
    if known is None:
        snapshot = Snapshot(order, _free_slot(rows), {ack.page: page_of(ack, raw)})
    else:
        snapshot = replace(known, pages={**known.pages, ack.page: page_of(ack, raw)})
    return _put(rows, snapshot, (snapshot.slot, ack.page))


def _put(rows: RegionRows, snapshot: Snapshot, write: Place) -> Change:
    others = [s for s in rows.pending if s.order != snapshot.order]
    if snapshot.complete:
        kept = [s for s in others if s.order > snapshot.order]
        dropped = [s for s in others if s.order < snapshot.order]
        if rows.complete is not None:
            dropped.append(rows.complete)
        after = RegionRows(snapshot, tuple(kept))
    else:
        pending = sorted((*others, snapshot), key=lambda s: s.order)
        dropped, kept = pending[:-PENDING_MAX], pending[-PENDING_MAX:]
        after = RegionRows(rows.complete, tuple(kept))
        if any(s.order == snapshot.order for s in dropped):
            return Change(rows)
    return Change(after, write, tuple(p for s in dropped for p in s.places), completed=snapshot.complete)


def _free_slot(rows: RegionRows) -> int:
    used = {s.slot for s in rows.pending}
    if rows.complete is not None:
        used.add(rows.complete.slot)
    return next(n for n in range(len(used) + 1) if n not in used)


@dataclass(slots=True)
class Restored:
    """Rows as a table gave them back, and the places that hold nothing worth keeping."""

    rows: RegionRows = EMPTY
    leftovers: tuple[Place, ...] = field(default=())


def restore(stored: Iterable[tuple[Place, ModelAck, bytes]]) -> Restored:
    """The rows that a table's content means, wherever each page lies in it."""
    found: dict[Order, dict[int, tuple[Place, AckPage]]] = {}
    leftovers: list[Place] = []
    for place, ack, raw in stored:
        pages = found.setdefault(order_of(ack), {})
        # Pages of one snapshot share a slot; a copy elsewhere, or a page under another's number, is a leftover.
        if place[1] != ack.page or any(p[0] != place[0] for p, _ in pages.values()):
            leftovers.append(place)
        else:
            pages[ack.page] = (place, page_of(ack, raw))
    snapshots = [
        Snapshot(order, next(iter(pages.values()))[0][0], {n: page for n, (_, page) in pages.items()})
        for order, pages in found.items()
        if pages
    ]
    complete = max((s for s in snapshots if s.complete), key=lambda s: s.order, default=None)
    newer = [s for s in snapshots if complete is None or s.order > complete.order]
    pending = sorted(newer, key=lambda s: s.order)[-PENDING_MAX:]
    kept = {s.order for s in pending} | ({complete.order} if complete is not None else set())
    leftovers.extend(p for s in snapshots if s.order not in kept for p in s.places)
    return Restored(RegionRows(complete, tuple(pending)), tuple(leftovers))
