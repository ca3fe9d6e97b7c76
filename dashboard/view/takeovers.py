"""When a model in a region got another owner: its epoch has risen."""

from dataclasses import dataclass

from modelcast.dashboard.view.pairs import ModelView
from modelcast.schemas.records import VersionState

TAKEOVERS_KEPT = 500


@dataclass(frozen=True, slots=True)
class TakeoverLine:
    """A worker took a model over.

    Attributes:
        model: its name.
        region: where.
        epoch: the new owner's.
        times: how many owners there were since the last that was seen.
        at_us: when that was seen, UTC microseconds by this machine's clock.
    """

    model: str
    region: str
    epoch: int
    times: int
    at_us: int


def takeovers_of(before: ModelView | None, state: VersionState, at_us: int) -> tuple[TakeoverLine, ...]:
    """The takeovers that a newer state of a model tells of; of a region that is new to us, none is known."""
    if before is None:
        return ()
    found = []
    for row in state.regions:
        known = before.pairs.get(row.region)
        if known is not None and 0 < known.row.owner_epoch < row.owner_epoch:
            times = row.owner_epoch - known.row.owner_epoch
            found.append(TakeoverLine(state.model, row.region, row.owner_epoch, times, at_us))
    return tuple(found)
