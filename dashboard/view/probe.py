"""The probe as it is shown: how long each hop took, and which regions did not answer. Pure; ``now_us`` is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelcast.dashboard.view.problems import Problem
from modelcast.schemas.probes import ProbeState
from modelcast.schemas.quantities import duration
from modelcast.schemas.statuses import Status

DAY_US = 86_400 * 1_000_000
OVERDUE_TURNS = 3
"""So many turns without a probe, and none is sent any more."""
OVERDUE_SECONDS = 30.0
LOST_SECONDS = 60.0
"""What a region has not answered after so long, the tracker counts as lost there."""


@dataclass(frozen=True, slots=True)
class SeenProbe:
    """What a tracker told of a partition's probes.

    Attributes:
        state: that.
        page_seconds: from the newest answer on Kafka until the page had it, less the tracker's part; None: not known.
    """

    state: ProbeState
    page_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A region's answers.

    Attributes:
        region: its name.
        answered_at_us: its last answer, Kafka's clock; 0: none yet.
        seconds: from the newest probe on Kafka to the answer there; None: it has not answered that one.
        asked: it was heard of when that was sent, or has answered it.
        lost_today: probes that it did not answer in time.
    """

    region: str
    answered_at_us: int
    seconds: float | None
    asked: bool
    lost_today: int


@dataclass(frozen=True, slots=True)
class ProbeView:
    """The newest probe, hop by hop, and this day's. Seconds; None: not known, or not yet.

    Attributes:
        sent_at_us: when it was sent, tracker's clock.
        every_seconds: between two probes.
        log_seconds: the store's answer to a question about the registry.
        kafka_seconds: until Kafka had the probe.
        region_seconds_p50: until a region's answer was on Kafka, the median of those that answered.
        region_seconds_p95: the same, of the slowest twentieth.
        tracker_seconds: until the tracker had read the newest answer.
        page_seconds: until this dashboard had what the tracker made of it.
        answered: regions that answered.
        asked: regions that were asked.
        finished_today: probes that came to an end this UTC day.
        lost_today: of those, where Kafka or a region that is heard of did not answer in time.
        trouble: what is wrong, for people.
        regions: those that lost most first.
    """

    sent_at_us: int
    every_seconds: float
    log_seconds: float | None
    kafka_seconds: float | None
    region_seconds_p50: float | None
    region_seconds_p95: float | None
    tracker_seconds: float | None
    page_seconds: float | None
    answered: int
    asked: int
    finished_today: int
    lost_today: int
    trouble: str
    regions: tuple[ProbeRow, ...]


class ProbeBoard:
    """What trackers told of probes, by partition."""

    def __init__(self) -> None:
        self._seen: dict[int, SeenProbe] = {}

    def take(self, seen: SeenProbe) -> None:
        """Take in what was told of a partition; a hop to the page that was measured of the same probe stays."""
        before = self._seen.get(seen.state.partition)
        if before is not None and seen.page_seconds is None and before.state.probe_id == seen.state.probe_id:
            seen = SeenProbe(seen.state, before.page_seconds)
        self._seen[seen.state.partition] = seen

    def view(self, now_us: int) -> ProbeView | None:
        """What is shown at ``now_us``; None: no probe was ever seen."""
        if not self._seen:
            return None
        newest = max(self._seen.values(), key=lambda seen: seen.state.sent_at_us)
        state, today = newest.state, [s.state for s in self._seen.values() if s.state.day == now_us // DAY_US]
        rows = _rows(state, [seen.state for seen in self._seen.values()], today)
        times = sorted(row.seconds for row in rows if row.seconds is not None)
        waited_us = now_us - state.sent_at_us
        overdue = waited_us > _overdue_us(state.every_seconds)
        return ProbeView(
            sent_at_us=state.sent_at_us,
            every_seconds=state.every_seconds,
            log_seconds=state.log_seconds,
            kafka_seconds=state.kafka_seconds,
            region_seconds_p50=_quantile(times, 0.5),
            region_seconds_p95=_quantile(times, 0.95),
            tracker_seconds=state.tracker_seconds,
            page_seconds=newest.page_seconds,
            answered=len(times),
            asked=sum(row.asked for row in rows),
            finished_today=sum(each.finished_today for each in today),
            lost_today=sum(each.lost_today for each in today),
            trouble=f"no probe since {duration(waited_us / 1_000_000)}: no tracker runs, or its probe_seconds is 0"
            if overdue
            else state.trouble,
            regions=rows,
        )


def _rows(newest: ProbeState, told: Sequence[ProbeState], today: Sequence[ProbeState]) -> tuple[ProbeRow, ...]:
    answered: dict[str, int] = {}
    lost: dict[str, int] = {}
    for state in told:
        for row in state.regions:
            answered[row.region] = max(row.answered_at_us, answered.get(row.region, 0))
    for state in today:
        for row in state.regions:
            lost[row.region] = lost.get(row.region, 0) + row.lost_today
    rows = [
        ProbeRow(row.region, answered[row.region], row.seconds, row.asked, lost.get(row.region, 0))
        for row in newest.regions
    ]
    return tuple(sorted(rows, key=lambda row: (-row.lost_today, -(row.seconds or 0.0), row.region)))


def _quantile(times: Sequence[float], part: float) -> float | None:
    """The value below or at which ``part`` of the sorted values lie."""
    return times[min(len(times) - 1, int(part * len(times)))] if times else None


def probe_problems(view: ProbeView | None, now_us: int, silent: Callable[[str], bool]) -> list[Problem]:
    """One line a region that is heard of, and answers no probe any more.

    Args:
        view: what is shown of probes; None: none was ever seen.
        now_us: UTC microseconds.
        silent: whether a region is silent, which has a line of its own.
    """
    if view is None or not are_sent(view, now_us):
        return []  # that says nothing of a region
    lost_us = now_us - round((LOST_SECONDS + OVERDUE_TURNS * view.every_seconds) * 1_000_000)
    return [
        Problem(
            id=f"probe:{row.region}",
            status=Status.STALLED,
            cause="probe",
            title=f"probe to {row.region}",
            pairs=0,
            pairs_of=0,
            since_us=row.answered_at_us,
            reason="the region is heard of, and answers no probe: what is announced may not reach it",
            command="modelcast get regions",
            region=row.region,
            regions=(row.region,),
        )
        for row in view.regions
        if row.asked
        and row.seconds is None
        and row.lost_today
        and row.answered_at_us < lost_us
        and not silent(row.region)
    ]


def are_sent(view: ProbeView, now_us: int) -> bool:
    """Whether probes are sent still."""
    return now_us - view.sent_at_us <= _overdue_us(view.every_seconds)


def _overdue_us(every_seconds: float) -> int:
    return round((OVERDUE_TURNS * every_seconds + OVERDUE_SECONDS) * 1_000_000)
