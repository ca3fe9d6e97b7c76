"""What ways cost, in seconds: the measured speeds of links, disk and codecs, put to what a way has to do. Pure."""

from dataclasses import dataclass

from modelcast.consumers.fetch.planning.bandwidth import LinkSpeeds

RISK_DELTA = 0.3
"""A delta that costs more than 70 % of the whole is not worth what a failed one costs on top."""
RISK_HOP = 0.05
"""Each further delta of a chain may fail too."""
RISK_COMPRESSED = 0.05
"""A compressed whole needs no base: less can be wrong."""

LAST_PART = 0.1
"""A delta is applied as it arrives; this share of the shorter of the two does not go beside the other."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Bytes a second, and seconds a request. What was not measured is guessed.

    Attributes:
        origin_bytes_per_second: over the long link.
        origin_request_seconds: until the first byte.
        region_bytes_per_second: from the region's own bucket.
        decode_bytes_per_second: of files rebuilt from a base.
        unpack_bytes_per_second: of compressed wholes.
        disk_bytes_per_second: reading, hashing and writing here.
        measured: whether the long link's speed is known.
    """

    origin_bytes_per_second: float = 25e6
    origin_request_seconds: float = 0.05
    region_bytes_per_second: float = 250e6
    decode_bytes_per_second: float = 400e6
    unpack_bytes_per_second: float = 500e6
    disk_bytes_per_second: float = 800e6
    measured: bool = False

    def over_the_link(self, size_bytes: float, requests: int = 1) -> float:
        """Seconds for ``size_bytes`` from the origin."""
        return size_bytes / self.origin_bytes_per_second + requests * self.origin_request_seconds

    def from_the_region(self, size_bytes: float) -> float:
        """Seconds for ``size_bytes`` from the regional bucket."""
        return size_bytes / self.region_bytes_per_second

    def on_disk(self, size_bytes: float) -> float:
        """Seconds to copy and check ``size_bytes`` here."""
        return size_bytes / self.disk_bytes_per_second

    def rebuild(self, new_size_bytes: float, *, has_base: bool) -> float:
        """Seconds to make a file of ``new_size_bytes``."""
        return new_size_bytes / (self.decode_bytes_per_second if has_base else self.unpack_bytes_per_second)

    def by_delta(self, size_bytes: float, new_size_bytes: float, *, has_base: bool) -> float:
        """Seconds to bring a delta and to make a file of it meanwhile; of its last part that is done afterwards."""
        link, rebuild = self.over_the_link(size_bytes), self.rebuild(new_size_bytes, has_base=has_base)
        return max(link, rebuild) + LAST_PART * min(link, rebuild)


def risk_of(deltas: int, *, has_base: bool) -> float:
    """What share of the whole's cost is added to a way of so many deltas, in case that one fails."""
    return (RISK_DELTA if has_base else RISK_COMPRESSED) + RISK_HOP * (deltas - 1)


def delta_speeds(link: LinkSpeeds, decode_bytes_per_second: float, unpack_bytes_per_second: float) -> Speeds:
    """What is known of the links and of the codec; guesses for the rest."""
    return Speeds(
        origin_bytes_per_second=link.origin_bytes_per_second,
        origin_request_seconds=link.origin_request_seconds,
        region_bytes_per_second=link.region_bytes_per_second,
        decode_bytes_per_second=decode_bytes_per_second,
        unpack_bytes_per_second=unpack_bytes_per_second,
        measured=link.measured,
    )
