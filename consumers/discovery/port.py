"""The port through which a region learns which pods a fleet has, and the values that cross it."""

from dataclasses import dataclass, field
from typing import Protocol

from modelcast.schemas.errors import TransportError


@dataclass(frozen=True, slots=True)
class PodAddress:
    """One pod, as a source names it.

    Attributes:
        name: how reports call it; unique in its fleet.
        url: base URL, without a slash at the end.
        identity: changes when another pod takes the name (a pod's uid, a process' incarnation); "": not known.
        zone: where it stands; "": the source does not say. A pod whose zone alone changes is the same pod.
    """

    name: str
    url: str
    identity: str = ""
    zone: str = field(default="", compare=False)


ZONE_CHARS_MAX = 63


def checked_zone(zone: object) -> str:
    """A pod's zone as it was named. Raises ``ValueError``: it is none."""
    if not isinstance(zone, str) or not zone.isprintable() or len(zone) > ZONE_CHARS_MAX:
        raise ValueError(f"{str(zone)[:80]!r} is no zone: write up to {ZONE_CHARS_MAX} characters")
    return zone


class DiscoveryFailed(TransportError):
    """A source could not answer. The pods that it named before are kept."""


class PodSource(Protocol):
    """A source of one fleet's pods. Used by one task at a time."""

    async def look(self) -> tuple[PodAddress, ...]:
        """All pods there are now, asked anew; pods that are not ready are among them.

        Raises:
            DiscoveryFailed: that can't be said now.
        """
        ...

    async def news(self) -> tuple[PodAddress, ...] | None:
        """Wait until the pods may have changed. All of them, if the source named them; None: look anew.

        Raises:
            DiscoveryFailed: the source can't be followed.
        """
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...
