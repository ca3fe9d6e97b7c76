"""What has not changed, told in one record a partition."""

from modelcast.schemas.unchanged.telling import (
    UNCHANGED_KEYS,
    UNCHANGED_MAX,
    StatesUnchanged,
    UnchangedState,
    is_unchanged,
    renewed,
)

__all__ = ["UNCHANGED_KEYS", "UNCHANGED_MAX", "StatesUnchanged", "UnchangedState", "is_unchanged", "renewed"]
