"""The deltas that were beside a version before any region fetched it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from modelcast.producers import Publication

if TYPE_CHECKING:
    from modelcast.deltas.publish.reports import DeltaOffer


@dataclass(frozen=True, slots=True)
class Offered:
    """The deltas of one version that start from an earlier one.

    Attributes:
        complete: the publisher came to its end and makes no more.
        made: those that are in the store.
        notes: what the publisher says went wrong.
    """

    complete: bool = False
    made: "tuple[DeltaOffer, ...]" = ()
    notes: str = ""

    @classmethod
    def by(cls, publication: Publication | None) -> Self:
        """What a publication made; None: it ended before everything was. A compressed whole is no delta."""
        if publication is None:
            return cls()
        notes = "; ".join(publication.notes)
        if not publication.additions:
            return cls(True, (), notes)
        from modelcast.deltas.publish.reports import DeltaOffer

        made = tuple(each for each in publication.additions if isinstance(each, DeltaOffer) and each.base_version)
        return cls(True, made, notes)
