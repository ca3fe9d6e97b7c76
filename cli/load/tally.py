"""What came of the requests of a load, by the version that answered. Pure.

A latency is counted from when its request was *due*: one that had to wait because the generator or a connection was
late is as slow as its user would have found it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ended:
    """One request that is over; seconds of one clock.

    Attributes:
        due_at: when it was to be sent.
        sent_at: when it was.
        ended_at: when its answer was there, or it was given up.
        version: that answered, as it said; None: it said none.
        failure: in words; "": it was answered.
        user: who asked; "": nobody in particular.
    """

    due_at: float
    sent_at: float
    ended_at: float
    version: int | None
    failure: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class VersionLoad:
    """What one version did.

    Attributes:
        version: None: what no version answered.
        requests: that ended.
        failures: of these.
        p50_seconds: of those that were answered; None: none was.
        p99_seconds: the same.
    """

    version: int | None
    requests: int
    failures: int
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load found.

    Attributes:
        versions: each by itself, lowest first; what no version answered comes last.
        requests: that were due.
        failures: of these, not answered, answered with an error or not sent.
        not_sent: of the failures: too many were under way.
        wrong_version: answers of a version that was not expected.
        went_back: answers of a version that its user had met before, and left.
        sent_late_seconds: how much later than due a request was sent, at most: the generator's own delay.
        examples: the first failures, in words.
    """

    versions: tuple[VersionLoad, ...]
    requests: int
    failures: int
    not_sent: int
    wrong_version: int
    went_back: int
    sent_late_seconds: float
    examples: tuple[str, ...]


EXAMPLES_KEPT = 5


@dataclass(slots=True)
class _Met:
    """Which versions a user has met, the last one, and since when."""

    version: int
    at: float
    ever: set[int]


@dataclass(slots=True)
class LoadTally:
    """Counts requests as they end.

    Attributes:
        expected: versions that may answer; empty: any.
    """

    expected: frozenset[int] = frozenset()
    not_sent: int = 0
    _latencies: dict[int | None, list[float]] = field(default_factory=dict)
    _failures: dict[int | None, int] = field(default_factory=dict)
    _wrong: int = 0
    _went_back: int = 0
    _late: float = 0.0
    _users: dict[str, _Met] = field(default_factory=dict)
    _examples: list[str] = field(default_factory=list)

    def add(self, ended: Ended) -> None:
        """Count a request that is over."""
        self._late = max(self._late, ended.sent_at - ended.due_at)
        if ended.failure:
            self._failures[ended.version] = self._failures.get(ended.version, 0) + 1
            if len(self._examples) < EXAMPLES_KEPT:
                self._examples.append(ended.failure)
            return
        self._latencies.setdefault(ended.version, []).append(ended.ended_at - ended.due_at)
        if self.expected and ended.version not in self.expected:
            self._wrong += 1
        if ended.user and ended.version is not None:
            self._meet(ended, ended.version)

    def _meet(self, ended: Ended, version: int) -> None:
        met = self._users.get(ended.user)
        if met is None:
            self._users[ended.user] = _Met(version, ended.ended_at, {version})
        elif ended.sent_at >= met.at:  # those that overlap have no order
            self._went_back += version != met.version and version in met.ever
            met.version, met.at = version, ended.ended_at
            met.ever.add(version)

    def report(self) -> LoadReport:
        """What was found so far."""
        known = sorted({*self._latencies, *self._failures}, key=lambda each: (each is None, each or 0))
        failures = sum(self._failures.values())
        answered = sum(map(len, self._latencies.values()))
        return LoadReport(
            tuple(self._version(version) for version in known),
            answered + failures + self.not_sent,
            failures + self.not_sent,
            self.not_sent,
            self._wrong,
            self._went_back,
            self._late,
            tuple(self._examples),
        )

    def _version(self, version: int | None) -> VersionLoad:
        latencies, failures = sorted(self._latencies.get(version, ())), self._failures.get(version, 0)
        return VersionLoad(
            version, len(latencies) + failures, failures, _quantile(latencies, 0.5), _quantile(latencies, 0.99)
        )


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else None
