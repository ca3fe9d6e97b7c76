"""What the registry log's fold and the table of moves amount to, for tests that compare with them."""

from collections.abc import Iterable

from modelcast.schemas.errors import ContentError
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import ModelCommand, ModelUpdate
from modelcast.schemas.states import MOVES, State

NOWHERE = "sha256:" + "0" * 64
"""The digest of no log."""


def in_statement(entry: ModelUpdate | ModelCommand, log_digest: str = NOWHERE) -> bytes:
    """``entry`` as somebody announces it who need not have read the log."""
    return state(entry, log_digest).body


def apply_all(log: ModelLog, entries: Iterable[ModelUpdate | ModelCommand]) -> ModelLog:
    """Fold several entries, in the order given, as if they had been claimed one after the other."""
    for entry in entries:
        log = log.extend(stated(log, entry))
    return log


def stated(log: ModelLog, entry: ModelUpdate | ModelCommand) -> StatedEntry:
    """``entry`` as a claimant would put it above ``log``; one that can't be written gets other bytes."""
    digest = log.digest_at(min(log.head, entry.generation - 1))
    try:
        return state(entry, digest)
    except ContentError:
        return StatedEntry(entry, digest, repr(entry).encode())


def may_move(old: State, new: State) -> bool:
    """Whether a generation may go from ``old`` to ``new`` (staying is always allowed)."""
    return old is new or new in MOVES[old]
