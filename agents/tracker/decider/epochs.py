"""Which owner epochs of regions are believed: those that the region's own state object bears out.

Every writer to Kafka can make an epoch up, and one that is too high would hide all true reports. So an epoch
above the highest one that was borne out waits until the region's state object was looked at. What is set aside
meanwhile is bounded, and the lowest epochs are kept: true ones follow each other, made-up ones are high.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from modelcast.schemas.records import ModelAck

UNPROVEN_MAX = 1_000
"""Above the highest epoch known, where the region's state object can't be read: so much is believed unseen."""
ASIDE_MAX = 32
"""Pages set aside for one model in one region."""

Where = tuple[str, str]
"""(model, region)."""


class SetAside(NamedTuple):
    """A page whose epoch is not borne out yet."""

    ack: ModelAck
    raw: bytes
    partition: int
    offset: int
    key: bytes | None


@dataclass(slots=True)
class _Pair:
    borne_out: int = 0
    aside: list[SetAside] = field(default_factory=list)


class Epochs:
    """Of the models that this worker owns."""

    def __init__(self) -> None:
        self._pairs: dict[Where, _Pair] = {}

    def is_borne_out(self, model: str, region: str, epoch: int) -> bool:
        """Whether the epoch may be believed as it is."""
        pair = self._pairs.get((model, region))
        return pair is not None and epoch <= pair.borne_out

    def set_aside(self, page: SetAside) -> SetAside | None:
        """Keep a page until its epoch was looked at; what is given up for it, or None."""
        pair = self._pairs.setdefault((page.ack.model, page.ack.region), _Pair())
        pair.aside.append(page)
        if len(pair.aside) <= ASIDE_MAX:
            return None
        highest = max(range(len(pair.aside)), key=lambda n: pair.aside[n].ack.epoch)
        return pair.aside.pop(highest)

    def trust(self, model: str, region: str, epoch: int) -> None:
        """A table holds it: it was borne out before."""
        pair = self._pairs.setdefault((model, region), _Pair())
        pair.borne_out = max(pair.borne_out, epoch)

    def bears_out(
        self, model: str, region: str, epoch: int, *, seen: bool = True
    ) -> tuple[list[SetAside], list[SetAside]]:
        """Up to ``epoch`` all is true, as the state object has it (or is believed, ``seen`` or not).

        Returns:
            What may be taken now, in order, and what is refused.
        """
        pair = self._pairs.setdefault((model, region), _Pair())
        aside, pair.aside = pair.aside, []
        taken = [p for p in aside if p.ack.epoch <= epoch]
        # An epoch that could not be looked up is looked up again when it rises.
        pair.borne_out = epoch if seen else max((p.ack.epoch for p in taken), default=pair.borne_out)
        return taken, [p for p in aside if p.ack.epoch > epoch]

    def keep(self, models: Iterable[str]) -> None:
        """Only these are ours."""
        kept = set(models)
        self._pairs = {where: pair for where, pair in self._pairs.items() if where[0] in kept}


def believed_unseen(known: int) -> int:
    """The highest epoch that is believed where the state object can't be read, and ``known`` was believed before."""
    return known + UNPROVEN_MAX
