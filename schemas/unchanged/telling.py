"""What has not changed is told in one record a partition, not by repeating each model's whole state.

It follows the states on ``version-state``, under a key of its own, and names each state by when it was made. A reader
that holds exactly that state knows how old it is now; one that holds another learns nothing.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelcast.schemas.topics import partition_keys

if TYPE_CHECKING:
    from modelcast.schemas.records import RegionState, VersionState

UNCHANGED_KEYS: tuple[str, ...] = partition_keys("unchanged/")
"""The key of each partition's record, by partition. It holds a ``/``, which no model's name may."""

UNCHANGED_MAX = 2_500
"""Models that one record names at most: it must fit, however long their names are."""

_KEYS = frozenset(key.encode() for key in UNCHANGED_KEYS)


def is_unchanged(key: bytes | None) -> bool:
    """Whether a record on ``version-state`` is a ``StatesUnchanged``, by its key."""
    return key in _KEYS


@dataclass(frozen=True, slots=True)
class UnchangedState:
    """One model's row of a ``StatesUnchanged``."""

    model: str
    said_at_us: int  # ``updated_at_us`` of the state that still holds, tracker's clock
    as_of_us: int  # every acknowledgement up to here is in it, tracker's clock
    read_at_us: (
        int  # when the pod that was read back longest ago was, where regions are heard, tracker's clock; 0: none
    )


@dataclass(frozen=True, slots=True)
class StatesUnchanged:
    """Of these models, what was last said still holds."""

    registry_id: str
    partition: int
    updated_at_us: int  # tracker's clock
    heard_at_us: int  # every region that is not silent was heard since, tracker's clock
    models: tuple[UnchangedState, ...] = ()

    def of(self, model: str) -> UnchangedState | None:
        """The model's row."""
        return next((each for each in self.models if each.model == model), None)


def renewed(state: "VersionState", told: StatesUnchanged, row: UnchangedState | None) -> "VersionState | None":
    """The state as of ``told``; None if ``told`` is not about this state.

    Args:
        state: as the tracker said it, never one that was renewed.
        told: what was told since.
        row: the model's row of it.
    """
    if row is None or (told.registry_id, row.said_at_us) != (state.registry_id, state.updated_at_us):
        return None
    return replace(
        state,
        updated_at_us=max(told.updated_at_us, state.updated_at_us),
        as_of_us=max(row.as_of_us, state.as_of_us),
        regions=tuple(renewed_row(each, told.heard_at_us, row.read_at_us) for each in state.regions),
    )


def renewed_row(row: "RegionState", heard_at_us: int, read_at_us: int) -> "RegionState":
    if row.silent or row.unread or row.left_out == "unexpected":  # nobody looks whether that one is heard
        return row
    return replace(
        row,
        heard_at_us=max(row.heard_at_us, heard_at_us),
        read_at_us=max(row.read_at_us, read_at_us) if row.read_at_us else 0,
    )
