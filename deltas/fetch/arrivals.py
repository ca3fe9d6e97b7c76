"""Deltas on their way here, one after the other, beside the thread that applies them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelcast.consumers.fetch import Destination, Source, VerifiedPrefix
from modelcast.deltas.fetch.planning.paths import Offer


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delta that is being brought to ``path``, and how much of it is there."""

    offer: Offer
    path: Path
    prefix: VerifiedPrefix
    brought: "Future[None]"

    def join(self) -> None:
        """Return when it is whole; raise what kept it from coming."""
        self.brought.result()


@contextmanager
def arriving(destination: Destination, offers: Sequence[Offer], paths: Sequence[Path]) -> Iterator[list[Arrival]]:
    """Deltas come in this order while the block runs; what has not come at its end does not come.

    Args:
        destination: brings them.
        paths: where to.
    """
    prefixes = [VerifiedPrefix(offer.size_bytes) for offer in offers]

    def bring(offer: Offer, path: Path, prefix: VerifiedPrefix) -> None:
        try:
            destination.bring(offer.key, path, offer.size_bytes, source=Source.ORIGIN, prefix=prefix)
        except BaseException:
            prefix.give_up()
            raise

    with ThreadPoolExecutor(1, "arriving") as pool:
        arrivals = [
            Arrival(offer, path, prefix, pool.submit(bring, offer, path, prefix))
            for offer, path, prefix in zip(offers, paths, prefixes, strict=True)
        ]
        try:
            yield arrivals
        finally:
            for arrival in arrivals:
                arrival.prefix.leave()
                arrival.brought.cancel()
