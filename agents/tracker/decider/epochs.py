"""Which owner epochs of regions are believed: those that the region's own state object bears out.

Every writer to Kafka can make an epoch up, and one that is too high would hide all true reports. So an epoch
above the highest one that was borne out waits until the region's state object was looked at. What is set aside
meanwhile is bounded, and the lowest epochs are kept: true ones follow each other, made-up ones are high.

A look decides only what was set aside before it began: an epoch that came meanwhile may be newer than what was read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from modelcast.schemas.records import ModelAck

UNPROVEN_MAX = 1_000
"""Above the highest epoch known, where the region's state object can't be read: so much is believed unseen."""
ASIDE_MAX = 32
"""Pages set aside for one model in one region."""
ASIDE_BYTES_MAX = 32 * 1024 * 1024
"""All pages set aside."""


class SetAside(NamedTuple):
    """A page that waits for a decision, and where it stood; ``appended_us`` is when it came, by Kafka's clock."""

    ack: ModelAck
    raw: bytes
    partition: int
    offset: int
    key: bytes | None
    appended_us: int


class Decided(NamedTuple):
    """The outcome of a look: the pages to take now, in order, and those refused."""

    taken: list[SetAside]
    refused: list[SetAside]


@dataclass(slots=True)
class _Pair:
    borne_out: int = 0
    aside: list[SetAside] = field(default_factory=list)  # no look at it has begun
    on_trial: list[SetAside] = field(default_factory=list)  # the look under way decides it
    given_up_epoch: int = 0  # the lowest of the pages that there was no room for, and that were not decided; 0: none
    given_up_us: int = 0  # when the oldest of them came
    missing_us: int = 0  # since when a true page is missing for want of room; the next report brings what it said

    @property
    def undecided_since_us(self) -> int:
        """When the oldest page came that is not decided; 0: all are."""
        times = [page.appended_us for page in (*self.aside, *self.on_trial)]
        return min(filter(None, (*times, self.given_up_us, self.missing_us)), default=0)


class Epochs:
    """The epochs of models that this worker owns, and of those that are still looked up."""

    def __init__(self) -> None:
        self._pairs: dict[str, dict[str, _Pair]] = {}
        self._undecided: dict[str, set[str]] = {}  # model -> regions of which something is not decided
        self._bytes = 0

    def is_borne_out(self, model: str, region: str, epoch: int) -> bool:
        """Whether the epoch may be believed as it is."""
        pair = self._pairs.get(model, {}).get(region)
        return pair is not None and epoch <= pair.borne_out

    def set_aside(self, page: SetAside) -> SetAside | None:
        """Keep a page until its epoch was looked at; what is given up for it (or itself), or None."""
        pair = self._pair(page.ack.model, page.ack.region)
        self._undecided.setdefault(page.ack.model, set()).add(page.ack.region)
        pair.aside.append(page)
        self._bytes += len(page.raw)
        if len(pair.aside) + len(pair.on_trial) > ASIDE_MAX:
            given_up = max((*pair.on_trial, *pair.aside), key=lambda p: p.ack.epoch)
        elif self._bytes > ASIDE_BYTES_MAX:
            given_up = page
        else:
            return None
        (pair.aside if given_up in pair.aside else pair.on_trial).remove(given_up)
        self._bytes -= len(given_up.raw)
        pair.given_up_epoch = min(pair.given_up_epoch or given_up.ack.epoch, given_up.ack.epoch)
        pair.given_up_us = min(pair.given_up_us or given_up.appended_us, given_up.appended_us)
        return given_up

    def trust(self, model: str, region: str, epoch: int) -> None:
        """Believe an epoch that a table holds: it was confirmed before."""
        pair = self._pair(model, region)
        pair.borne_out = max(pair.borne_out, epoch)

    def look_begins(self, model: str, region: str) -> None:
        """The state object is being read: what was set aside until now will be decided by it."""
        pair = self._pair(model, region)
        pair.on_trial += pair.aside
        pair.aside = []

    def bears_out(self, model: str, region: str, epoch: int, *, seen: bool = True) -> Decided:
        """Believe all epochs up to ``epoch``; ``seen``: the state object holds it."""
        pair = self._pair(model, region)
        pages = [*pair.on_trial, *pair.aside]
        decided = Decided([p for p in pages if p.ack.epoch <= epoch], [p for p in pair.on_trial if p.ack.epoch > epoch])
        pair.aside, pair.on_trial = [p for p in pair.aside if p.ack.epoch > epoch], []
        self._bytes -= sum(len(p.raw) for found in decided for p in found)
        # An epoch that could not be looked up is looked up again when it rises.
        pair.borne_out = epoch if seen else max((p.ack.epoch for p in decided.taken), default=pair.borne_out)
        if pair.given_up_us and pair.given_up_epoch <= epoch:
            pair.missing_us = min(pair.missing_us or pair.given_up_us, pair.given_up_us)
        pair.given_up_epoch = pair.given_up_us = 0
        self._note(model, region, pair)
        return decided

    def reported(self, model: str, region: str) -> None:
        """A report that is borne out was taken: it says anew what an earlier one said that there was no room for."""
        pair = self._pairs.get(model, {}).get(region)
        if pair is not None and pair.missing_us:
            pair.missing_us = 0
            self._note(model, region, pair)

    def waiting(self, region: str) -> list[str]:
        """The models of which something of this region waits for a look that has not begun."""
        return [m for m, regions in self._undecided.items() if region in regions and self._pairs[m][region].aside]

    def regions_waiting(self, model: str) -> list[str]:
        """The regions of which something waits for a look that has not begun."""
        return [r for r in self._undecided.get(model, ()) if self._pairs[model][r].aside]

    def undecided_since_us(self, model: str) -> int:
        """When the oldest report on the model came that is not decided, by Kafka's clock; 0: all are."""
        pairs, regions = self._pairs.get(model, {}), self._undecided.get(model, ())
        return min((pairs[region].undecided_since_us for region in regions), default=0)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The models of which some report is not decided."""
        return tuple(self._undecided)

    def drop(self, model: str) -> list[SetAside]:
        """Forget a model of another worker or of no registry; return what was set aside of it."""
        pairs = self._pairs.pop(model, {})
        self._undecided.pop(model, None)
        pages = [page for pair in pairs.values() for page in (*pair.on_trial, *pair.aside)]
        self._bytes -= sum(len(page.raw) for page in pages)
        return pages

    def keep(self, is_ours: Callable[[str], bool]) -> None:
        """Forget all models but those that ``is_ours`` names."""
        for model in [m for m in self._pairs if not is_ours(m)]:
            self.drop(model)

    def _pair(self, model: str, region: str) -> _Pair:
        return self._pairs.setdefault(model, {}).setdefault(region, _Pair())

    def _note(self, model: str, region: str, pair: _Pair) -> None:
        regions = self._undecided.setdefault(model, set())
        (regions.add if pair.undecided_since_us else regions.discard)(region)
        if not regions:
            del self._undecided[model]


def believed_unseen(known: int) -> int:
    """The highest epoch that is believed where the state object can't be read, and ``known`` was believed before."""
    return known + UNPROVEN_MAX
