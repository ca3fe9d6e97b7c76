"""The deltas that a publication made, as its publisher tells of them while it goes on."""

from dataclasses import dataclass

from modelcast.producers.publication import Publication
from modelcast.schemas.delta_reports import DeltaMade


@dataclass(frozen=True, slots=True)
class Offered:
    """The deltas of one version that start from an earlier one.

    Attributes:
        before_claim: some were in the store before the version was claimed; a region that fetches it finds them there.
        complete: the publisher came to its end and makes no more.
        made: those that are in the store.
        notes: what the publisher says went wrong.
    """

    before_claim: bool = False
    complete: bool = False
    made: tuple[DeltaMade, ...] = ()
    notes: str = ""


class OfferedWatch:
    """A ``PublishProgress`` that keeps which deltas came into the store, and which of them before the claim."""

    def __init__(self) -> None:
        self._made: list[DeltaMade] = []
        self._claimed = self._before_claim = False

    def step(self, name: str, total_bytes: int = 0) -> None:
        """The claim begins: what is not in the store by now may be late."""
        if name == "claim" and not self._claimed:
            self._claimed, self._before_claim = True, bool(self._made)

    def advance(self, done_bytes: int) -> None:
        """Bytes do not matter here."""

    def delta(self, made: DeltaMade) -> None:
        """One is in the store. A compressed whole starts from nothing and is no delta."""
        if made.base_version:
            self._made.append(made)

    def offered(self, publication: Publication | None) -> Offered:
        """All that was told; ``publication``: what came of it, None: it ended before everything was made."""
        notes = "; ".join(publication.notes) if publication else ""
        return Offered(self._before_claim, publication is not None, tuple(self._made), notes)
