"""What is counted in one second and one stratum: requests, errors and slow answers of either version."""

from dataclasses import dataclass

from modelcast.schemas.errors import ContentError

SHARES = 10_000
"""A share is a whole number of ten-thousandths."""
REQUESTS_MAX = 1 << 40
"""Of one version in one second and stratum."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Counts of one version. A request counts when it has ended, in the version that answered; one that timed out is an
    error.

    Slow answers are counted against the threshold that the pods were told, the control's 99th percentile of the minutes
    before.

    Attributes:
        requests: all that ended.
        errors: of these, failed.
        slow: slower than the threshold.
        slow_harmful: slower than the threshold times the latency gate's ``harmful``.
        slow_harmless: slower than the threshold times its ``harmless``.

    Raises:
        ContentError: a count is negative, not whole or larger than ``requests``.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    slow_harmful: int = 0
    slow_harmless: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            count = getattr(self, name)
            if type(count) is not int or count < 0:
                raise ContentError(f"bad count {name}={count!r}", hint="counts are whole numbers, 0 and more")
            if count > self.requests:
                raise ContentError(f"{name}={count} of {self.requests} requests", hint="count each request once")

    def plus(self, other: "Arm") -> "Arm":
        """Both together."""
        return Arm(
            self.requests + other.requests,
            self.errors + other.errors,
            self.slow + other.slow,
            self.slow_harmful + other.slow_harmful,
            self.slow_harmless + other.slow_harmless,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """One second of one stratum (a region, a pod: whatever shares its traffic and troubles between both versions).

    Attributes:
        second: since the epoch.
        stratum: its name.
        control: the version that served before.
        candidate: the new one.
        share: of the requests that the routing table in force sends to the candidate, in ten-thousandths; None where it
            changed within the second or is unknown, and then the sample ratio is not checked.

    Raises:
        ContentError: ``second``, ``share`` or the number of requests is out of range.
    """

    second: int
    stratum: str
    control: Arm
    candidate: Arm
    share: int | None = None

    def __post_init__(self) -> None:
        if type(self.second) is not int or not 0 <= self.second <= REQUESTS_MAX:
            raise ContentError(f"bad second {self.second!r}", subject=self.stratum)
        if self.share is not None and (type(self.share) is not int or not 0 <= self.share <= SHARES):
            raise ContentError(f"bad share {self.share!r}", subject=self.stratum, hint=f"shares are 0 to {SHARES}")
        if max(self.control.requests, self.candidate.requests) > REQUESTS_MAX:
            raise ContentError(f"more than {REQUESTS_MAX} requests in a second", subject=self.stratum)
