"""Probes: when one is due, what the answers tell, and which are lost. Pure; ``now`` is passed in.

The partitions have their turn one after the other, by the clock: whoever owns the partition whose turn it is probes it.
So there is one prober without anybody being chosen, two for a moment while partitions change hands, and a partition
that is not read is found. What is counted of a partition lies in its ``ProbeState``, from which its next owner goes on.
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace

from modelcast.schemas.probes import Probe, ProbeAnswer, ProbeRegion, ProbeState
from modelcast.schemas.topics import MODEL_PARTITIONS

LOST_SECONDS = 60.0
"""A probe that a region has not answered after so long is lost there."""
NAMED_MAX = 5
DAY_US = 86_400 * 1_000_000


@dataclass(slots=True)
class ProbeRound:
    """A probe that was sent less than ``LOST_SECONDS`` ago.

    Attributes:
        partition: the one probed.
        sent_at: monotonic seconds.
        waiting: regions that were heard of, and have not answered.
        answered: those that have.
        delivered: Kafka has it.
        finished: it was counted.
    """

    partition: int
    sent_at: float
    waiting: set[str]
    answered: set[str] = field(default_factory=set)
    delivered: bool = False
    finished: bool = False


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """What one answer tells: from the probe on Kafka to the answer there, and until this worker had read it."""

    region_seconds: float
    tracker_seconds: float


class Probes:
    """What one worker knows of probes.

    Args:
        every_seconds: between two probes.
    """

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._turn = -1
        self._rounds: dict[str, ProbeRound] = {}
        self._handed = ""
        self.states: dict[int, ProbeState] = {}
        """By partition: what is known of its newest probe."""
        self.changed: set[int] = set()
        """Partitions of which the state was not told yet; whoever tells it takes it out."""

    def due(self, now_us: int, owned: Set[int]) -> int | None:
        """The partition to probe at ``now_us``, once a turn; None: none of this worker's. Missed turns stay missed."""
        turn = now_us // max(1, round(self._every_seconds * 1_000_000))
        if turn == self._turn:
            return None
        self._turn = turn
        partition = turn % MODEL_PARTITIONS
        return partition if partition in owned else None

    def restore(self, state: ProbeState, owned: Set[int]) -> None:
        """Go on from what the owner before has told."""
        known = self.states.get(state.partition)
        if state.partition in owned and (known is None or known.updated_at_us < state.updated_at_us):
            self.states[state.partition] = state

    def keep(self, owned: Set[int]) -> None:
        """Know nothing of other partitions: others count there."""
        self.states = {partition: state for partition, state in self.states.items() if partition in owned}
        self._rounds = {id_: each for id_, each in self._rounds.items() if each.partition in owned}
        self.changed &= owned

    def begin(
        self, probe: Probe, partition: int, expected: Set[str], heard: Set[str], now: float, log_seconds: float | None
    ) -> bool:
        """A probe is about to be sent; ``log_seconds`` is None if the store did not answer.

        Returns:
            False if it must not be sent: Kafka has not taken the one before, so this one is lost at once.
        """
        before = self.states.get(partition)
        answered_us = {row.region: row.answered_at_us for row in before.regions} if before else {}
        lost = {row.region: row.lost_today for row in before.regions} if before else {}
        goes = not self._handed
        state = ProbeState(
            registry_id=probe.registry_id,
            partition=partition,
            probe_id=probe.probe_id,
            worker=probe.worker,
            every_seconds=self._every_seconds,
            sent_at_us=probe.sent_at_us,
            updated_at_us=probe.sent_at_us,
            log_seconds=log_seconds,
            kafka_seconds=None,
            tracker_seconds=None,
            answered_at_us=0,
            day=before.day if before else 0,
            finished_today=before.finished_today if before else 0,
            lost_today=before.lost_today if before else 0,
            trouble="" if log_seconds is not None else "the registry in the origin store did not answer",
            regions=tuple(
                ProbeRegion(name, answered_us.get(name, 0), None, goes and name in heard, lost.get(name, 0))
                for name in sorted(expected)
            ),
        )
        self._set(state, probe.sent_at_us)
        if not goes:
            self._count(partition, probe.sent_at_us, lost=True, trouble="Kafka has not taken the probe before")
            return False
        self._handed = probe.probe_id
        self._rounds[probe.probe_id] = ProbeRound(partition, now, set(expected & heard))
        return True

    def delivered(self, probe_id: str, done: bool, now: float, now_us: int) -> float | None:
        """Kafka has a probe, or it was not delivered; the seconds that it took, None if it is of no use any more."""
        if self._handed == probe_id:
            self._handed = ""
        found = self._rounds.get(probe_id)
        if found is None or found.delivered:
            return None
        if not done:
            self._undelivered(probe_id, found, now_us)
            return None
        found.delivered = True
        seconds = max(0.0, now - found.sent_at)
        if (state := self._newest(probe_id, found)) is not None:
            self._set(replace(state, kafka_seconds=seconds), now_us)
        self._finish_if_all_answered(found, now_us)
        return seconds

    def answer(
        self, answer: ProbeAnswer, partition: int, appended_us: int, now_us: int, ahead_us: int
    ) -> ProbeTimes | None:
        """A region has answered.

        Args:
            answer: what it says.
            partition: where it stood.
            appended_us: when Kafka received it, by its clock.
            now_us: when this worker read it.
            ahead_us: how far this worker's clock is ahead of Kafka's.

        Returns:
            None if it tells nothing: it answers no probe that is under way here, or was given before.
        """
        found = self._rounds.get(answer.probe_id)
        if found is None or found.partition != partition or answer.region in found.answered:
            return None
        found.answered.add(answer.region)
        found.waiting.discard(answer.region)
        times = ProbeTimes(
            region_seconds=min(LOST_SECONDS, max(0.0, (appended_us - answer.announced_at_us) / 1_000_000)),
            tracker_seconds=max(0.0, (now_us - ahead_us - appended_us) / 1_000_000),
        )
        if (state := self._newest(answer.probe_id, found)) is not None:
            rows = tuple(
                replace(row, answered_at_us=appended_us, seconds=times.region_seconds, asked=True)
                if row.region == answer.region
                else row
                for row in state.regions
            )
            newest_us = max(appended_us, state.answered_at_us)
            told = replace(state, regions=rows, tracker_seconds=times.tracker_seconds, answered_at_us=newest_us)
            self._set(told, now_us)
        self._finish_if_all_answered(found, now_us)
        return times

    def tick(self, heard: Set[str], now: float, now_us: int) -> None:
        """Count what was not answered in time by regions that are heard of."""
        for probe_id, found in list(self._rounds.items()):
            if now - found.sent_at < LOST_SECONDS:
                continue
            if not found.delivered and not found.finished:
                self._undelivered(probe_id, found, now_us)
                continue
            del self._rounds[probe_id]
            if found.finished:
                continue
            lost = sorted(found.waiting & heard)
            if (state := self.states.get(found.partition)) is not None:
                state = self._of_today(state, now_us)
                rows = tuple(replace(row, lost_today=row.lost_today + (row.region in lost)) for row in state.regions)
                self.states[found.partition] = replace(state, regions=rows)
            self._count(found.partition, now_us, lost=bool(lost), trouble=_unanswered(lost))

    def _undelivered(self, probe_id: str, found: ProbeRound, now_us: int) -> None:
        del self._rounds[probe_id]
        if (state := self._newest(probe_id, found)) is not None:  # no region was asked
            rows = tuple(replace(row, asked=False) for row in state.regions)
            self.states[found.partition] = replace(state, regions=rows)
        self._count(found.partition, now_us, lost=True, trouble="Kafka did not take it")

    def _finish_if_all_answered(self, found: ProbeRound, now_us: int) -> None:
        if found.delivered and not found.waiting and not found.finished:
            found.finished = True
            self._count(found.partition, now_us, lost=False)

    def _count(self, partition: int, now_us: int, *, lost: bool, trouble: str = "") -> None:
        if (state := self.states.get(partition)) is None:
            return
        state = self._of_today(state, now_us)
        troubles = [each for each in (state.trouble, trouble) if each]
        counted = replace(
            state,
            finished_today=state.finished_today + 1,
            lost_today=state.lost_today + lost,
            trouble="; ".join(dict.fromkeys(troubles)),
        )
        self._set(counted, now_us)

    def _of_today(self, state: ProbeState, now_us: int) -> ProbeState:
        """What is counted begins anew each UTC day."""
        day = now_us // DAY_US
        if state.day == day:
            return state
        rows = tuple(replace(row, lost_today=0) for row in state.regions)
        return replace(state, day=day, finished_today=0, lost_today=0, regions=rows)

    def _newest(self, probe_id: str, found: ProbeRound) -> ProbeState | None:
        """The partition's state, if it is about this probe."""
        state = self.states.get(found.partition)
        return state if state is not None and state.probe_id == probe_id else None

    def _set(self, state: ProbeState, now_us: int) -> None:
        self.states[state.partition] = replace(self._of_today(state, now_us), updated_at_us=now_us)
        self.changed.add(state.partition)


def _unanswered(lost: list[str]) -> str:
    if not lost:
        return ""
    more = f" and {len(lost) - NAMED_MAX} more" if len(lost) > NAMED_MAX else ""
    return f"{', '.join(lost[:NAMED_MAX])}{more} did not answer in {LOST_SECONDS:.0f} s"
