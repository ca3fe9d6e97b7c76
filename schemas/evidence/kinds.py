"""What can be shown of a candidate."""

from enum import StrEnum


class Kind(StrEnum):
    """What has been shown of a candidate."""

    HARMFUL = "harmful"
    HARMLESS = "harmless"
    UNDECIDED = "undecided"
