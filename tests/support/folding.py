"""What the registry log's fold and the table of moves amount to, for tests that compare with them."""

from collections.abc import Iterable

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelCommand, ModelUpdate
from modelcast.schemas.states import MOVES, State


def apply_all(log: ModelLog, entries: Iterable[ModelUpdate | ModelCommand]) -> ModelLog:
    """Fold several entries, in the order given."""
    for entry in entries:
        log = log.apply(entry)
    return log


def may_move(old: State, new: State) -> bool:
    """Whether a generation may go from ``old`` to ``new`` (staying is always allowed)."""
    return old is new or new in MOVES[old]
