"""Pods that register themselves: an object each below ``pods/`` in the region's bucket, renewed by being written again.

The store's clock alone decides whether a registration stands: the time of its last write is compared with the newest
time that the store has given plus the seconds that have passed here since. That is never ahead of the store's own
clock, so no registration ends early, however wrong the clocks of pods and workers are.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from modelcast.consumers.discovery.port import PodAddress, checked_zone
from modelcast.schemas.errors import DecodeError

RENEW_SECONDS = 5.0
EXPIRY_SECONDS = 15.0
FORGET_SECONDS = 3600.0
"""After so long without renewal an object is deleted: a pod's name may never come back."""
REGISTRATION_SIZE_MAX = 4096


@dataclass(frozen=True, slots=True)
class Registration:
    """A pod's name and URL, and ``incarnation``, which no other process of that name has."""

    name: str
    url: str
    incarnation: str
    zone: str = ""  # where it stands

    def encode(self) -> bytes:
        """The object's bytes: JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, body: bytes, *, key: str) -> "Registration":
        """Read a registration from the object below ``key``.

        Raises:
            DecodeError: it is no registration.
        """
        try:
            fields = json.loads(body)
            registration = cls(fields["name"], fields["url"], fields["incarnation"], checked_zone(fields["zone"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DecodeError("is no registration of a pod", subject=key) from None
        if not all(isinstance(value, str) and value.isprintable() for value in (registration.name, registration.url)):
            raise DecodeError("is no registration of a pod", subject=key)
        return registration

    @property
    def endpoint(self) -> PodAddress:
        """The pod that it announces."""
        return PodAddress(self.name, self.url.rstrip("/"), str(self.incarnation), self.zone)


@dataclass(frozen=True, slots=True)
class StoreClock:
    """What is known of a store's clock: it is at least ``ahead_seconds`` ahead of our monotonic one."""

    ahead_seconds: float = field(default=float("-inf"))

    def seen(self, modified_us: Iterable[int], now: float) -> "StoreClock":
        """The clock once the store has given these times; ``now`` is this process's monotonic time."""
        return StoreClock(max([self.ahead_seconds, *(us / 1e6 - now for us in modified_us)]))

    def age_seconds(self, modified_us: int, now: float) -> float:
        """How long ago something was written, at least."""
        return self.ahead_seconds + now - modified_us / 1e6
