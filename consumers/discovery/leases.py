"""Pods that register themselves: an object each below ``pods/`` in the region's bucket, renewed by being written again.

Whether a lease stands is told by the store's clock alone: what it gives as the time of a lease's last writing is
compared with the newest time that it has given, and the seconds that have passed here since. That is never ahead of
the store's own clock, so no lease ends early, however wrong the clocks of pods and workers are.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from modelcast.consumers.discovery.port import PodAddress, checked_zone
from modelcast.schemas.errors import DecodeError

RENEW_SECONDS = 5.0
EXPIRY_SECONDS = 15.0
FORGET_SECONDS = 3600.0
"""After so long a dead pod's object is deleted; many pods never have the same name twice."""
LEASE_SIZE_MAX = 4096


@dataclass(frozen=True, slots=True)
class PodLease:
    """What a pod says of itself."""

    name: str
    url: str
    incarnation: str  # unlike any other process'
    zone: str = ""  # where it stands

    def encode(self) -> bytes:
        """The object's bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, body: bytes, *, key: str) -> "PodLease":
        """Read an object.

        Raises:
            DecodeError: it is no lease.
        """
        try:
            fields = json.loads(body)
            lease = cls(fields["name"], fields["url"], fields["incarnation"], checked_zone(fields["zone"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DecodeError("is no lease of a pod", subject=key) from None
        if not all(isinstance(value, str) and value.isprintable() for value in (lease.name, lease.url)):
            raise DecodeError("is no lease of a pod", subject=key)
        return lease

    @property
    def endpoint(self) -> PodAddress:
        """The pod that it announces."""
        return PodAddress(self.name, self.url.rstrip("/"), str(self.incarnation), self.zone)


@dataclass(frozen=True, slots=True)
class StoreClock:
    """What is known of a store's clock: it is at least ``ahead_seconds`` ahead of our monotonic one."""

    ahead_seconds: float = field(default=float("-inf"))

    def seen(self, modified_us: Iterable[int], now: float) -> "StoreClock":
        """The clock once the store has given these times; ``now`` is ours."""
        return StoreClock(max([self.ahead_seconds, *(us / 1e6 - now for us in modified_us)]))

    def age_seconds(self, modified_us: int, now: float) -> float:
        """How long ago something was written, at least."""
        return self.ahead_seconds + now - modified_us / 1e6
