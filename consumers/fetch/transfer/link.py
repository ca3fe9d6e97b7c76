"""What all transfers of a process share: the long link's rate limit, how many read at once, and the leases."""

from dataclasses import dataclass, field
from typing import Protocol

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.planning.steps import Source
from modelcast.consumers.fetch.transfer.rate_limit import CHUNK_BYTES_MAX, RateLimit
from modelcast.consumers.fetch.transfer.throughput import Throughput

READERS = 4


class Lease(Protocol):
    """One artifact's leave to be read from the origin."""

    @property
    def lost(self) -> bool:
        """It went to another worker, because no beat arrived for too long: stop reading."""
        ...

    def take(self) -> bool:
        """Wait for it; at once if it is ours already. Whether others brought the artifact in the meantime.

        Raises:
            FetchCancelled: it is not wanted any more.
            TransportError: the regional bucket does not answer.
        """
        ...

    def drop(self) -> None:
        """Let others have it. Never raises for the link's sake."""
        ...


class Leases(Protocol):
    """Gives out leases."""

    def lease(self, manifest_digest: str, context: Context) -> Lease:
        """A lease that is not taken yet."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """Shared by all fetches of a process.

    Attributes:
        rate_limit: of bytes from the origin.
        leases: who of the region may read from the origin; None: everybody.
        readers: ranged reads at once in one transfer.
        throughput: how fast the links were.
    """

    rate_limit: RateLimit = field(default_factory=RateLimit)
    leases: Leases | None = None
    readers: int = READERS
    throughput: Throughput = field(default_factory=Throughput)

    def chunk_bytes(self, source: Source) -> int:
        """How much to read at once."""
        return self.rate_limit.chunk_bytes() if source is Source.ORIGIN else CHUNK_BYTES_MAX
