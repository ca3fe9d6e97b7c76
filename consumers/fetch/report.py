"""What a fetch is asked for, and what it cost."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from modelcast.schemas.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be fetched, and what the log says of it.

    Attributes:
        size_bytes: of all files; None: the log was not asked.
        keep: manifest digests that must not be evicted to make room.
        early: waits for the manifest that was asked for before (None: it did not come); None: it was not asked for.
    """

    manifest_digest: str
    manifest_key: str
    size_bytes: int | None
    keep: Set[str]
    early: Callable[[], Manifest | None] | None = None


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch cost.

    ``bytes_moved`` came from the origin in this call (without the manifest; what came twice counts twice),
    ``bytes_saved`` did not have to, neither now nor in an earlier attempt that this one goes on with.
    ``stage_seconds``: manifest, plan, verify, origin, rebuild, regional, stage (room, fsync, rename); their work may
    overlap. ``stage_times_us``: when each first began and last ended, by this machine's clock.
    ``bytes_planned`` is what the plan was to bring from the origin, ``bytes_per_second`` how fast that came of late,
    ``way`` how, for people; ``kind`` is the way that brought most, in a word; ``files`` is how many the artifact has.
    """

    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    bytes_planned: int = 0
    bytes_per_second: float = 0.0
    way: str = ""
    kind: str = ""
    files: int = 0
    stage_times_us: Mapping[str, tuple[int, int]] = field(default_factory=dict)
