"""What the tracker reported about one model while the demo ran: plain values, filled by ``Watch``."""

from dataclasses import dataclass, field

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State


@dataclass(frozen=True, slots=True)
class Crossing:
    """How one version came into one region; ``way``: for people."""

    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    way: str

    @classmethod
    def of(cls, row: RegionState) -> "Crossing":
        """The crossing that the tracker reports."""
        return cls(row.bytes_moved, row.bytes_saved, row.bytes_total, row.way)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is waited for: ``version``, called ``label`` in tables, since ``at_seconds`` (monotonic)."""

    label: str = ""
    version: int = 0
    at_seconds: float = 0.0


@dataclass(slots=True)
class Seen:
    """Everything worth remembering of a model's states.

    Attributes:
        seconds_to_serving: by label, by region.
        crossings: by label, by region; what is served again did not cross, and is not here.
        progress: regions that reported a fetch half done.
        served: every version that all pods of a region served at some time.
        refused: by version, by region: why.
    """

    seconds_to_serving: dict[str, dict[str, float]] = field(default_factory=dict)
    crossings: dict[str, dict[str, Crossing]] = field(default_factory=dict)
    progress: set[str] = field(default_factory=set)
    served: set[int] = field(default_factory=set)
    refused: dict[int, dict[str, str]] = field(default_factory=dict)

    def take(self, state: VersionState, asked: Asked, now_seconds: float) -> None:
        """Remember what ``state`` shows, reported at ``now_seconds``."""
        for row in state.regions:
            if row.served_version is not None:
                self.served.add(row.served_version)
            if asked.label and row.served_version == asked.version:
                self.seconds_to_serving.setdefault(asked.label, {}).setdefault(
                    row.region, now_seconds - asked.at_seconds
                )
                if asked.label == str(asked.version) and row.aspired_version == asked.version:
                    known, crossing = self.crossings.setdefault(asked.label, {}), Crossing.of(row)
                    # A region that goes back to the version, because the next one is refused, moves nothing for it.
                    if row.region not in known or crossing.bytes_moved + crossing.bytes_saved > 0:
                        known[row.region] = crossing
            if row.state is State.FETCHING and 0 < row.bytes_moved < row.bytes_planned:
                self.progress.add(row.region)
            if row.state is State.QUARANTINED and row.aspired_version is not None:
                self.refused.setdefault(row.aspired_version, {})[row.region] = row.error
