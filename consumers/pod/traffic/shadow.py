"""Copies of requests for a version that answers nobody: sent after the answer, one at a time, dropped first."""

from collections import deque
from dataclasses import dataclass

from modelcast.consumers.pod.supervisor import Supervisor
from modelcast.consumers.pod.traffic.answers import Answerer, Given, V2Request
from modelcast.consumers.pod.traffic.choosing import ModelTraffic
from modelcast.consumers.pod.traffic.comparing import answers_agree
from modelcast.schemas.traffic.table import TrafficArm

COPIES_MAX = 32
COPIES_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copy:
    """A request that was answered, and its answer."""

    traffic: ModelTraffic
    arm: TrafficArm
    asked: V2Request
    answer: Given

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return len(self.asked.body) + len(self.answer.body)


class Shadow:
    """The copies of all models of a pod. A copy that finds no room is dropped, and counted."""

    def __init__(self, supervisor: Supervisor, answerer: Answerer, seconds_max: float) -> None:
        self._supervisor = supervisor
        self._answerer = answerer
        self._seconds_max = seconds_max
        self._waiting: deque[Copy] = deque()
        self._waiting_bytes = 0
        self._runs = False

    def take(self, copy: Copy) -> None:
        """Send it later, once what waits has been answered."""
        serving = copy.traffic.serving(copy.arm)
        if serving is None:
            return
        if len(self._waiting) >= COPIES_MAX or self._waiting_bytes + copy.size_bytes > COPIES_BYTES_MAX:
            copy.traffic.tally(serving).shadow_dropped += 1
            return
        self._waiting.append(copy)
        self._waiting_bytes += copy.size_bytes
        if not self._runs:
            self._runs = True
            self._supervisor.spawn(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                copy = self._waiting.popleft()
                self._waiting_bytes -= copy.size_bytes
                await self._send(copy)
        finally:
            self._runs = False

    async def _send(self, copy: Copy) -> None:
        serving = copy.traffic.serving(copy.arm)
        if serving is None:
            return
        seconds_max = copy.traffic.candidate_seconds_max(self._seconds_max)
        given = await self._answerer.given(serving, copy.asked, seconds_max, look=True, counted=False)
        answer, tally = copy.answer, copy.traffic.tally(serving)
        if given.status == 200:
            tally.looked_at(given.seen)
        if given.status == answer.status and answers_agree(
            answer.body, answer.json_size_bytes, given.body, given.json_size_bytes
        ):
            tally.shadow_agree += 1
        else:
            tally.shadow_differ += 1
