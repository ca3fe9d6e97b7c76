"""Deltas on their way here, one after the other, beside whoever applies them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelcast.consumers.fetch.planning.steps import Way
from modelcast.consumers.fetch.transfer.throughput import Gauge
from modelcast.consumers.fetch.transfer.verified_prefix import Growth
from modelcast.consumers.fetch.ways import Offer


class Objects(Protocol):
    """Brings objects that nobody can check in advance (``Download``)."""

    def object(
        self, key: str, path: Path, size_bytes: int, *, way: Way = Way.ORIGIN, growth: Growth | None = None
    ) -> None:
        """Bring the object at ``key`` to ``path``, going on from what an interruption left there."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delta that is being brought to ``path``, and how much of it is there."""

    offer: Offer
    path: Path
    growth: Growth
    brought: "Future[None]"

    def join(self) -> None:
        """Return when it is whole; raise what kept it from coming."""
        self.brought.result()


@contextmanager
def arriving(objects: Objects, gauge: Gauge, offers: Sequence[Offer], paths: Sequence[Path]) -> Iterator[list[Arrival]]:
    """Deltas come in this order while the block runs; what has not come at its end does not come.

    Args:
        gauge: told how fast the link was.
        paths: where to.
    """
    growths = [Growth(offer.size_bytes) for offer in offers]

    def bring(offer: Offer, path: Path, growth: Growth) -> None:
        moved_bytes = 0
        try:
            with gauge.over_the_link(lambda: moved_bytes):
                objects.object(offer.key, path, offer.size_bytes, growth=growth)
                moved_bytes = offer.left_bytes
        except BaseException:
            growth.give_up()
            raise

    with ThreadPoolExecutor(1, "arriving") as pool:
        arrivals = [
            Arrival(offer, path, growth, pool.submit(bring, offer, path, growth))
            for offer, path, growth in zip(offers, paths, growths, strict=True)
        ]
        try:
            yield arrivals
        finally:
            for arrival in arrivals:
                arrival.growth.leave()
                arrival.brought.cancel()
