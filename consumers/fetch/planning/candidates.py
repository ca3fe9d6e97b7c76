"""Other versions of a model, as candidates for what a file may be made of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.schemas.records import DeltaHint


@dataclass(frozen=True, slots=True)
class BaseCandidates:
    """What the log says of other versions of a model.

    Attributes:
        version: the one wanted.
        hints: the deltas that its publication announced.
        digests: manifest digests by version.
    """

    version: int = 0
    hints: tuple[DeltaHint, ...] = ()
    digests: Mapping[int, str] = field(default_factory=dict)
