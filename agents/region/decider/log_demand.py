"""What is asked of a model's log, and when and how it is read next. Pure."""

from dataclasses import dataclass, replace

from modelcast.agents.region.decider.policy import Policy


@dataclass(frozen=True, slots=True)
class LogReading:
    """One reading of the log.

    Attributes:
        until: the generation to read to, if it exists.
        refresh: look for all that is new, and prove that what was read still stands.
        whole: read from entry 1 on, whatever was read before.
        at: the event loop's time at which it may begin.
    """

    until: int
    refresh: bool
    whole: bool
    at: float


@dataclass(frozen=True, slots=True)
class LogDemand:
    """What was asked for and not read yet."""

    until: int = 0
    refresh: bool = False
    failures: int = 0  # of readings in a row
    whole_from: float = float("-inf")  # before that, no whole reading of a log that is not obeyed begins

    def reaching(self, generation: int) -> "LogDemand":
        """Somebody has heard of ``generation``."""
        return replace(self, until=max(self.until, generation))

    def refreshing(self) -> "LogDemand":
        """Somebody wants to know whether what was read still stands, and what is new."""
        return replace(self, refresh=True)

    def next(self, now: float, policy: Policy, *, known: bool, obeyed: bool) -> tuple[LogReading, "LogDemand"]:
        """The next reading, and what is asked for beside it.

        Announcements may come in any number, and each asks for the log: one that is not obeyed, and therefore read
        from entry 1, waits for its turn.

        Args:
            now: the event loop's time.
            policy: how patient to be.
            known: whether the log was read before.
            obeyed: whether it says what the region had read of it.
        """
        at = now if obeyed else max(now, self.whole_from)
        whole_from = self.whole_from if obeyed else at + policy.whole_read_pause
        reading = LogReading(self.until, self.refresh, whole=not (known and obeyed), at=at)
        return reading, replace(self, refresh=False, whole_from=whole_from)

    def failed(self, reading: LogReading) -> "LogDemand":
        """The store was away: ``reading`` is asked for again."""
        return replace(self, refresh=self.refresh or reading.refresh, failures=self.failures + 1)

    def answered(self) -> "LogDemand":
        """The store has answered."""
        return replace(self, failures=0)

    def met_by(self, reading: LogReading) -> bool:
        """Whether nothing was asked for that ``reading`` did not bring."""
        return self.until <= reading.until and not self.refresh
