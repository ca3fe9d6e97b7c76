"""What is known of fleets, by the answers of their sources. Pure.

A source that fails takes nothing away, and neither does a single answer that names no pods: a fleet falls to none
only when a second look, ``CONFIRM_SECONDS`` later, finds none either. ``now`` is in seconds on any monotonic clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelcast.consumers.discovery.port import PodAddress

CONFIRM_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PodsFound:
    """A source named these pods, and no others."""

    endpoints: tuple[PodAddress, ...]


@dataclass(frozen=True, slots=True)
class LookFailed:
    """A source could not be read, and why."""

    reason: str


Observed = PodsFound | LookFailed


@dataclass(frozen=True, slots=True)
class FleetView:
    """What is known of one fleet."""

    # By name.
    pods: Mapping[str, PodAddress] = field(default_factory=dict)
    # When the source last answered; None: it never did, or so long ago that its pods are forgotten.
    seen_at: float | None = None
    # Why the last look failed; "": it did not.
    error: str = ""
    # When the source first named no pods although some are known; None: its last answer named some, or failed.
    empty_since: float | None = None

    @property
    def doubted(self) -> bool:
        """Whether the pods are to be looked for once more before it is believed that there are none."""
        return self.empty_since is not None


@dataclass(frozen=True, slots=True)
class PodChanges:
    """Names that came, that left, and whose pod or address is another one now."""

    came: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.came or self.left or self.replaced)


def merge_look(
    old: FleetView, observed: Observed, now: float, *, keep_seconds: float = float("inf")
) -> tuple[FleetView, PodChanges]:
    """The view after ``observed``, and what that changes.

    Args:
        old: what was known.
        observed: what the source said.
        now: when.
        keep_seconds: for how long a source that fails is taken to mean what it said last; then the fleet is unknown.
    """
    match observed:
        case LookFailed(reason):
            new = replace(old, error=reason, empty_since=None)
            if old.seen_at is not None and now - old.seen_at > keep_seconds:
                new = FleetView(error=reason)
        case PodsFound(()) if old.pods and (old.empty_since is None or now - old.empty_since < CONFIRM_SECONDS):
            since = now if old.empty_since is None else old.empty_since
            new = replace(old, seen_at=now, error="", empty_since=since)
        case PodsFound(endpoints):
            new = FleetView({e.name: e for e in endpoints}, seen_at=now)
    return new, pod_changes(old.pods, new.pods)


def pod_changes(old: Mapping[str, object], new: Mapping[str, object]) -> PodChanges:
    """The pods that came, left or moved between ``old`` and ``new``."""
    return PodChanges(
        came=frozenset(new.keys() - old.keys()),
        left=frozenset(old.keys() - new.keys()),
        replaced=frozenset(name for name in old.keys() & new.keys() if old[name] != new[name]),
    )


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of the region, and which of its fleets (by place in the settings) it is of."""

    endpoint: PodAddress
    fleet: int


def members_of(views: Sequence[FleetView]) -> tuple[dict[str, Member], tuple[str, ...]]:
    """The region's pods by name, and what its fleets contradict each other about, for people.

    Two fleets may name one pod, or different pods by one name: the fleet that stands first in the settings is right.
    """
    members: dict[str, Member] = {}
    at: dict[str, Member] = {}
    conflicts = []
    for number, view in enumerate(views):
        for endpoint in sorted(view.pods.values(), key=lambda e: e.name):
            other = members.get(endpoint.name) or at.get(endpoint.url)
            if other is not None:
                conflicts.append(_conflict(endpoint, other.endpoint))
                continue
            members[endpoint.name] = at[endpoint.url] = Member(endpoint, number)
    return members, tuple(conflicts)


def _conflict(endpoint: PodAddress, other: PodAddress) -> str:
    if endpoint.name == other.name and endpoint.url != other.url:
        return f"two pods are called {endpoint.name}: {other.url}, and {endpoint.url}, which is left out"
    return f"two pods are at {endpoint.url}: {other.name}, and {endpoint.name}, which is left out"


def unique_pods(endpoints: Iterable[PodAddress]) -> tuple[PodAddress, ...]:
    """Each name once, in the order of names: of several the first that was named."""
    found: dict[str, PodAddress] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.name, endpoint)
    return tuple(found[name] for name in sorted(found))
